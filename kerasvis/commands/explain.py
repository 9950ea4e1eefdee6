"""`kerasvis explain`: why a model gives one photograph its class."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import kerasvis as kv
from kerasvis.commands.argument_types import Count, FilePath, Name, Size
from kerasvis.commands.class_names import class_index_of
from kerasvis.commands.image_arguments import check_images, open_images, read_photographs
from kerasvis.commands.options import BaselineOptions, ModelOptions, ScoreOptions, as_size
from kerasvis.commands.output import OutputFolder

FILES = (
    *("index.html", "explanation.npz", "photograph.png", "occlusion.webp"),
    *("gallery.css", "gallery.js", "layers"),
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class EvidenceOptions:
    """The feature maps.

    Attributes:
        layers: by default the last of each size of feature maps, the four deepest.
        num_features: shown of each layer.
        strongest_in: folder of photographs, or demo, whose strongest images are shown, too.
        relevance: beside these, the images in which they matter most to the decision.
        gallery: folder of `kerasvis gallery` of the same model, to whose pages they lead and whose
            images are shown where --strongest-in is not given.
    """

    layers: tuple[str, ...] = ()
    num_features: Count = 6
    strongest_in: Name | None = None
    relevance: bool = False
    gallery: FilePath | None = None

    def check(self) -> None:
        """Refuses folders that are not there."""
        if self.strongest_in is not None:
            check_images([self.strongest_in])
        elif self.relevance:
            raise ValueError(
                "It is not known among which images: give --strongest-in, or a gallery that was "
                "written with --relevance, of which they are shown in any case. Received: "
                "--relevance"
            )
        if self.gallery is not None and not (self.gallery / "index.html").is_file():
            raise ValueError(
                "There is no gallery: give a folder that `kerasvis gallery` wrote. Received: "
                f"--gallery={self.gallery}"
            )


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class OccluderOptions(BaselineOptions):
    """The occluder.

    Attributes:
        patch_size: height and width, or a side, in pixels; by default a seventh of the image.
        strides: between its positions in pixels; by default half of that.
    """

    patch_size: Size = ()
    strides: Size = ()

    def settings(self) -> dict:
        """What was stated."""
        sizes = {"patch_size": self.patch_size, "strides": self.strides}
        sizes = {name: as_size(size) for name, size in sizes.items() if size}
        return {"baseline": self.value(), "seed": self.seed, **sizes}


def explain(
    *,
    model: ModelOptions,
    image: Annotated[Name, Parameter(name="--image")],
    scores: ScoreOptions = ScoreOptions(),
    versus: str | None = None,
    evidence: EvidenceOptions = EvidenceOptions(),
    occluder: OccluderOptions = OccluderOptions(),
    out: FilePath = Path("explanation"),
) -> None:
    """Explain one decision on one photograph, as a page for a browser.

    Writes `index.html`, to be opened from disk: the most probable classes, which parts of the image
    the class needs, and which feature maps of each layer carry it, found by taking each away; and
    `explanation.npz`, the arrays of an `Explanation`.

    Args:
        image: a file, or demo:coffee.
        versus: the class that it is compared with, by name or number; by default the most probable
            one of the others.
        out: folder to write into.
    """
    output = OutputFolder(out, inputs=[image], files=FILES)
    check_images([image])
    evidence.check()
    names = scores.names(model)
    model.check(*evidence.layers)
    opened = model.open()
    (photograph,) = one_photograph(image, opened)
    class_index, other_index = classes_of(scores, versus, names, opened)
    with output.made() as folder:
        found = kv.explain(
            opened.model,
            opened.preprocessing.images(photograph.pixels),
            class_index,
            other_index,
            layers=evidence.layers or None,
            num_features=evidence.num_features,
            preprocessing=opened.preprocessing,
            rules=opened.rules,
            activation=scores.activation,
            **occluder.settings(),
        )
        found.save(folder / "explanation.npz")
        strongest, relevant = reference_images(found, evidence, opened)
        page = kv.reports.write_explanation(
            found,
            folder,
            title=photograph.title,
            class_names=names,
            strongest=strongest,
            relevant=relevant,
            gallery=evidence.gallery and os.path.relpath(evidence.gallery, folder),
        )
    print_summary(found, names)
    print(f"Explanation: {page}")


def one_photograph(image: str, opened):
    """The photograph; a folder is refused."""
    if Path(image).is_dir():
        raise ValueError(f"This is a folder: give one photograph. Received: --image={image}")
    return read_photographs([image], opened.image_size, opened.channels, FILES)


def classes_of(scores: ScoreOptions, versus: str | None, names: dict[int, str], opened) -> tuple:
    """`(class_index, other_index)`, None for what was not stated."""
    from kerasvis.graph.scores import Scores

    num_classes = Scores(opened.model, image_size=opened.image_size).num_classes
    other = None if versus is None else class_index_of(versus, names, num_classes)
    return scores.class_index(names, num_classes), other


def reference_images(found, evidence: EvidenceOptions, opened) -> tuple[dict, dict]:
    """Two of `{layer: FeatureVisualization}` of the feature maps shown, over a folder.

    The one is of the strongest activations, the other of the highest relevances.
    """
    if evidence.strongest_in is None or not found.projections:
        return {}, {}
    images = open_images(evidence.strongest_in, opened)
    features = {layer: found.maps[layer].feature_indices for layer in found.projections}
    features = {layer: numbers for layer, numbers in features.items() if len(numbers)}
    given = (opened.model, list(features), images)
    strongest = kv.visualize_features(*given, features, rules=opened.rules)
    if not evidence.relevance:
        return strongest, {}
    top = kv.analyses.find_top_relevances(*given)
    return strongest, kv.visualize_features(*given, features, top=top, rules=opened.rules)


def print_summary(found, names: dict[int, str]) -> None:
    """The classes, and of each layer the feature maps that add most."""
    index, other = (
        names.get(number, f"class {number}") for number in (found.class_index, found.other_index)
    )
    print(f"{index} {found.occlusion.base_probability:.4f}, compared with {other}")
    for layer, evidence in found.evidence.items():
        best = ", ".join(f"{f} adds {evidence.effects[f]:.3g}" for f in evidence.ranked[:3])
        print(f"{layer}: {best}; rank agreement with the estimate {evidence.agreement:.2f}")
