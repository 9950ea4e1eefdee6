"""`kerasvis explain`: why a model gives photographs their classes."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

import kerasvis as kv
from kerasvis.commands.argument_types import Count, FilePath, Name
from kerasvis.commands.class_names import class_index_of
from kerasvis.commands.image_arguments import (
    OpenModel,
    Photograph,
    check_images,
    open_images,
    read_photographs,
)
from kerasvis.commands.options import (
    EngineOptions,
    ModelOptions,
    OccluderOptions,
    ScoreOptions,
)
from kerasvis.commands.output import OutputFolder
from kerasvis.commands.told_as import told_as

if TYPE_CHECKING:
    from kerasvis.analyses import Explanation, ExplanationAnalysis, FeatureVisualization
    from kerasvis.data.images import Images
    from kerasvis.engines import Ray
    from kerasvis.reports import ExplainedImage

ARRAYS = "explanation.npz"
PAGE = ("index.html", "gallery.css", "gallery.js")
FILES = (*PAGE, ARRAYS, "photograph.png", "occlusion.webp", "layers")

Visualizations: TypeAlias = "dict[str, FeatureVisualization]"  # by layer


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class EvidenceOptions:
    """The feature maps.

    Attributes:
        layers: names of layers; by default the last of each feature map size, the four deepest.
        num_features: number of feature maps shown per layer.
        strongest_in: folder of photographs, or demo; also show those in which each feature map is
            strongest.
        relevance: also show those in which each feature map is most relevant to the decision.
        gallery: folder that `kerasvis gallery` wrote for the same model; the pages link to it, and
            show its images if --strongest-in is not given.
    """

    layers: tuple[str, ...] = ()
    num_features: Count = 6
    strongest_in: Name | None = None
    relevance: bool = False
    gallery: FilePath | None = None

    def check(self) -> None:
        """Raises a ValueError for missing folders, and for relevance without photographs."""
        if self.strongest_in is not None:
            check_images([self.strongest_in], option="--strongest-in")
        elif self.relevance:
            raise ValueError(
                "--relevance needs photographs: also give --strongest-in; or replace it by a "
                "--gallery that was written with --relevance, whose images are always shown. "
                "Received: --relevance"
            )
        if self.gallery is not None and not (self.gallery / "index.html").is_file():
            raise ValueError(
                "There is no gallery: give a folder that `kerasvis gallery` wrote. Received: "
                f"--gallery={self.gallery}"
            )

    def open_images(self, opened: OpenModel) -> "Images | None":
        """The photographs in which feature maps are strongest; None without any."""
        if self.strongest_in is None:
            return None
        return open_images(self.strongest_in, opened, option="--strongest-in")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ComparedOptions(ScoreOptions):
    """The class to explain, and the one that it is compared with.

    Attributes:
        versus: the class that it is compared with, by name or number; by default the most probable
            other class.
    """

    versus: str | None = None


def explain(
    *,
    model: ModelOptions,
    image: Annotated[tuple[Name, ...], Parameter(name="--image")],
    scores: ComparedOptions = ComparedOptions(),
    evidence: EvidenceOptions = EvidenceOptions(),
    occluder: OccluderOptions = OccluderOptions(),
    cluster: EngineOptions = EngineOptions(),
    out: FilePath = Path("explanation"),
) -> None:
    """Explain decisions on photographs, as pages for a browser.

    Writes `index.html`, to be opened from disk: the most probable classes, which parts of the image
    the class needs, and which feature maps of each layer it needs, found by removing each in turn;
    and `explanation.npz`, the arrays of an `Explanation`. Each of several photographs gets its own
    folder, linked from `index.html`. An interrupted run resumes when it is started again.

    Args:
        image: files, folders, or bundled images such as demo:coffee.
        out: folder to write into.
    """
    output = OutputFolder(out, inputs=image, files=PAGE)
    check_images(image, option="--image")
    evidence.check()
    names = scores.names(model)
    model.check(layers=evidence.layers)
    opened = model.open()
    photographs = read_photographs(
        image, opened.image_size, opened.channels, FILES, option="--image"
    )
    is_one = len(photographs) == 1 and not Path(image[0]).is_dir()
    folders = {Path() if is_one else Path(each.name): each for each in photographs}
    output.expect(FILES if is_one else [folder.name for folder in folders])
    looked_at = evidence.open_images(opened)
    classes = classes_of(scores, names, opened)
    analysis = kv.analyses.ExplanationAnalysis(
        opened.model,
        opened.image_size,
        layers=evidence.layers or None,
        num_features=evidence.num_features,
        preprocessing=opened.preprocessing,
        rules=opened.rules,
        activation=scores.activation,
        **occluder.settings(),
    )
    with output.made() as folder:
        results = explained(analysis, opened, folders, folder, classes, cluster.open())
        features: dict[str, set[int]] = {}
        with told_as("--versus", scores.versus, "class_index="):
            for found, photograph in zip(results, photographs, strict=True):
                print_summary(found, names, "" if is_one else f"{photograph.title}: ")
                for layer in found.projections:
                    shown = found.maps[layer].feature_indices.tolist()
                    features.setdefault(layer, set()).update(shown)
        references = reference_images(features, looked_at, evidence.relevance, opened)
        entries = list(write_pages(folders, folder, names, references, evidence.gallery))
        if not is_one:
            kv.reports.write_explanation_index(entries, folder)
    print(f"Explanation: {folder / 'index.html'}")


def explained(
    analysis: "ExplanationAnalysis",
    opened: OpenModel,
    folders: dict[Path, Photograph],
    out: Path,
    classes: tuple[int | None, int | None],
    engine: "Ray | None",
) -> Iterator["Explanation"]:
    """The `Explanation` of each photograph, as soon as it is computed."""
    class_index, other_index = classes
    return kv.analyses.stream_explanations(
        analysis,
        [opened.preprocessing.images(photograph.pixels) for photograph in folders.values()],
        out,
        [(folder / ARRAYS).as_posix() for folder in folders],
        class_index=class_index,
        other_index=other_index,
        engine=engine,
    )


def write_pages(
    folders: dict[Path, Photograph],
    out: Path,
    names: dict[int, str],
    references: tuple[Visualizations, Visualizations],
    gallery: Path | None,
) -> Iterator["ExplainedImage"]:
    """Writes a page for each photograph; yields its entry on the index page."""
    from kerasvis.analyses import Explanation

    for folder, photograph in folders.items():
        found = Explanation.load(out / folder / ARRAYS)
        strongest, relevant = references
        kv.reports.write_explanation(
            found,
            out / folder,
            title=photograph.title,
            class_names=names,
            strongest=strongest,
            relevant=relevant,
            gallery=None if gallery is None else os.path.relpath(gallery, out / folder),
        )
        yield kv.reports.ExplainedImage.of(found, folder.as_posix(), photograph.title, names)


def classes_of(
    scores: ComparedOptions, names: dict[int, str], opened: OpenModel
) -> tuple[int | None, int | None]:
    """`(class_index, other_index)`, None for a class that was not given."""
    from kerasvis.graph.scores import Scores

    num_classes = Scores(opened.model, image_size=opened.image_size).num_classes
    versus = scores.versus
    other = (
        None if versus is None else class_index_of(versus, names, num_classes, option="--versus")
    )
    class_index = scores.class_index(names, num_classes)
    if other is not None and other == class_index:
        raise ValueError(
            f"A class cannot be compared with itself: give another one. Received: --versus={versus}"
        )
    return class_index, other


def reference_images(
    features: Mapping[str, Iterable[int]],
    images: "Images | None",
    by_relevance: bool,
    opened: OpenModel,
) -> tuple[Visualizations, Visualizations]:
    """The strongest activations, and the highest relevances, in some images.

    Args:
        features: `{layer: numbers}` of the feature maps.
        images: where to look, if anywhere.
        by_relevance: whether to look for relevances too.
        opened: the model.

    Returns:
        Two dictionaries `{layer: FeatureVisualization}`.
    """
    chosen = {layer: sorted(numbers) for layer, numbers in features.items() if numbers}
    if images is None or not chosen:
        return {}, {}
    given = (opened.model, list(chosen), images)
    strongest = kv.visualize_features(*given, chosen, rules=opened.rules)
    if not by_relevance:
        return strongest, {}
    top = kv.analyses.find_top_relevances(*given)
    return strongest, kv.visualize_features(*given, chosen, top=top, rules=opened.rules)


def print_summary(found: "Explanation", names: dict[int, str], beginning: str = "") -> None:
    """Prints the classes, and the feature maps of each layer that add most to the score."""
    index, other = (
        names.get(number, f"class {number}") for number in (found.class_index, found.other_index)
    )
    print(f"{beginning}{index} {found.occlusion.base_probability:.4f}, compared with {other}")
    for layer, evidence in found.evidence.items():
        best = ", ".join(f"{f} adds {evidence.effects[f]:.3g}" for f in evidence.ranked[:3])
        print(f"{layer}: {best}; rank agreement with the estimate {evidence.agreement:.2f}")
