"""`kerasvis gallery`: HTML pages on every feature map."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

import kerasvis as kv
from kerasvis.commands.argument_types import Count, FilePath
from kerasvis.commands.class_names import load_class_names
from kerasvis.commands.image_arguments import check_images, print_skipped
from kerasvis.commands.method_names import MethodName, load_methods
from kerasvis.commands.options import EngineOptions, FolderOptions, ModelOptions
from kerasvis.commands.output import OutputFolder
from kerasvis.commands.trained_models import convolution_layers
from kerasvis.storage.counted import counted
from kerasvis.storage.text_files import parse_json, read_text

if TYPE_CHECKING:
    from kerasvis.figures import OcclusionRow

RESULTS = ("index.html", "layers", "occlusion")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FindingOptions:
    """The contents of the pages.

    Attributes:
        methods: how activations are projected; the pages switch between the methods: names, or
            module:NAME, your own function.
        class_names: JSON file of class names; by default classes.json in the model's folder.
        occlusion: an .npz file from `kerasvis occlusion` and its photograph; can be repeated.
        evolution: folder of a FeatureEvolution from the training of this model.
        fidelity: measure, for each layer, how faithful the projections are.
        relevance: also show, for each feature map, the images in which it is most relevant to the
            decision.
    """

    methods: tuple[MethodName, ...] = ("deconvnet",)
    class_names: FilePath | None = None
    occlusion: Annotated[
        tuple[tuple[FilePath, FilePath], ...],
        Parameter(consume_multiple=False),
    ] = ()
    evolution: FilePath | None = None
    fidelity: bool = False
    relevance: bool = False


def gallery(
    *,
    model: ModelOptions,
    images: FolderOptions,
    layers: tuple[str, ...] = (),
    k: Count = 9,
    findings: FindingOptions = FindingOptions(),
    cluster: EngineOptions = EngineOptions(),
    out: FilePath = Path("gallery"),
) -> None:
    """Write HTML pages on every feature map of a trained convnet.

    Writes `index.html`, to be opened from disk, a page for each layer and one for each feature map,
    with its strongest activations as projections and image patches. An interrupted build resumes
    when it is started again, and a build with more layers adds these.

    Args:
        layers: all convolution layers by default.
        k: number of strongest activations of each feature map.
        out: folder to write into.
    """
    output = OutputFolder(out, inputs=[images.images])
    check_images([images.images])
    names = load_class_names(model.model, findings.class_names)
    methods_by_name = load_methods(findings.methods)
    model.check(layers=layers)
    opened = model.open()
    photographs = images.open(opened)
    folder = getattr(photographs, "folder", None)  # bundled images have no classes
    labels = kv.reports.class_labels(folder, names_by_wnid(findings.class_names))
    occlusions = open_occlusions(findings.occlusion, names)
    evolution = findings.evolution and kv.analyses.load_evolution(findings.evolution)
    layers = tuple(dict.fromkeys(layers or convolution_layers(opened.model)))
    classes = counted(len(set(labels)), "class", "classes") if labels else "classes unknown"
    num_images = counted(photographs.count(), "image")
    print(f"{num_images}, {classes}, {counted(len(layers), 'layer')} of {opened.model.name}")
    with output.made(*RESULTS) as folder:
        first_page = kv.write_gallery(
            opened.model,
            layers,
            photographs,
            folder,
            labels=labels,
            occlusions=occlusions,
            evolution=evolution,
            fidelity=findings.fidelity,
            relevance=findings.relevance,
            k=k,
            methods=methods_by_name,
            rules=opened.rules,
            engine=cluster.open(),
        )
    print_skipped(photographs)
    print(f"Gallery: {first_page}")


def names_by_wnid(filepath: Path | None) -> dict[str, str]:
    """`{WordNet ID: name}` of the objects in a JSON list that have both."""
    entries = [] if filepath is None else parse_json(read_text(filepath))
    entries = [entry for entry in entries if isinstance(entry, dict)]
    named = [entry for entry in entries if {"wnid", "name"} <= entry.keys()]
    return {str(entry["wnid"]): str(entry["name"]) for entry in named}


def open_occlusions(
    occlusions: Iterable[tuple[Path, Path]], names: dict[int, str]
) -> list["OcclusionRow"]:
    """An `OcclusionRow` for each analysis given, with the pixels of its photograph."""
    from kerasvis.analyses import OcclusionSensitivity
    from kerasvis.data.photographs import read_photograph
    from kerasvis.figures import OcclusionRow

    rows = []
    for filepath, photograph in occlusions:
        result = OcclusionSensitivity.load(filepath)
        try:
            pixels = read_photograph(photograph, result.image_size)
        except ValueError as error:
            raise ValueError(
                f"The photograph of {filepath} cannot be read: {error}; give another. Received: "
                f"--occlusion={filepath} {photograph}"
            ) from error
        rows.append(OcclusionRow(result, pixels, names, photograph.name))
    return rows
