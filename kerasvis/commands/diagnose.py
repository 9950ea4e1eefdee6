"""`kerasvis diagnose`: problems in the first layers of models."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import Parameter

import kerasvis as kv
from kerasvis.commands.argument_types import BatchSize, FilePath, Name
from kerasvis.commands.image_arguments import OpenModel, check_images, open_images, print_skipped
from kerasvis.commands.options import MODEL, EngineOptions, InputOptions
from kerasvis.commands.output import (
    OutputFolder,
    layer_names,
    save_figure,
    write_csv,
)

if TYPE_CHECKING:
    from kerasvis.analyses import FilterDiagnosis, Finding
    from kerasvis.data.images import Images
    from kerasvis.engines import Ray
    from kerasvis.storage.parts import Parts

FIGURE = "filter_diagnosis.png"
ENDINGS = (".npz", ".csv", ".json", "_scan")


@Parameter(name="*", group=MODEL)
@dataclass(frozen=True, kw_only=True)
class ModelsOptions(InputOptions):
    """The models.

    Attributes:
        model: .keras files, or models of keras.applications, such as VGG16.
    """

    model: tuple[Name, ...]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class LookedAtOptions:
    """What to diagnose.

    Attributes:
        images: folder of 50 or more photographs, or demo for bundled images.
        first_layer: layer whose input is the image; by default the first convolution.
        second_layer: layer whose features are projected; by default the next convolution.
        batch_size: images per step of the scan.
    """

    images: Name | None = None
    first_layer: str | None = None
    second_layer: str | None = None
    batch_size: BatchSize = 16


def diagnose(
    *,
    models: ModelsOptions,
    looked_at: LookedAtOptions = LookedAtOptions(),
    cluster: EngineOptions = EngineOptions(),
    out: FilePath = Path("filter_diagnosis"),
) -> None:
    """Diagnose the first layers of convnets (Figure 5 of the paper).

    Prints, for every model, each problem, whether it was found, the numbers, and the paper's
    remedy. Writes `filter_diagnosis.png`, all models side by side; and for each model `<name>.npz`,
    the arrays of a `FilterDiagnosis`; `<name>.json`, its findings and numbers; `<name>.csv`, a line
    for each filter of the first layer. Without --images, only the weights are diagnosed. An
    interrupted run resumes when it is started again, and completed models are not diagnosed again.

    Args:
        out: folder to write into.
    """
    inputs = [] if looked_at.images is None else [looked_at.images]
    output = OutputFolder(out, inputs=inputs, files=[FIGURE])
    check_images(inputs)
    for name in models.model:
        first, second = looked_at.first_layer, looked_at.second_layer
        models.check_name(name, first_layer=first, second_layer=second)
    takes_images = looked_at.images is not None
    trained = [models.load_model(name) for name in models.model]
    opened = [models.opened(model, takes_images=takes_images) for model in trained]
    images = [open_for(model, looked_at) for model in opened]
    stems = layer_names([each.model.name for each in opened], [FIGURE])
    output.expect([f"{stem}{ending}" for stem in stems for ending in ENDINGS])
    from kerasvis.storage.parts import Parts

    with output.made() as folder, Parts(folder, dict) as parts:
        for model, photographs, stem in zip(opened, images, stems, strict=True):
            parts.check_part(f"{stem}.npz", computed_from(model, photographs, looked_at))
        diagnoses = []
        for model, photographs, stem in zip(opened, images, stems, strict=True):
            diagnosis = diagnosis_of(model, photographs, stem, looked_at, parts, cluster.open())
            diagnoses.append(diagnosis)
            write(diagnosis, folder, stem)
        save_figure(kv.figures.filter_diagnosis_grid(diagnoses), folder / FIGURE)
    print(f"\nFigure: {folder / FIGURE}")


def open_for(opened: OpenModel, looked_at: LookedAtOptions) -> "Images | None":
    """The images for a model, or None if none were given."""
    if looked_at.images is None:
        return None
    return open_images(looked_at.images, opened, batch_size=looked_at.batch_size)


def diagnosis_of(
    opened: OpenModel,
    photographs: "Images | None",
    stem: str,
    looked_at: LookedAtOptions,
    parts: "Parts",
    engine: "Ray | None",
) -> "FilterDiagnosis":
    """The diagnosis of one model, computed or read."""
    from kerasvis.analyses import FilterDiagnosis

    def compute() -> FilterDiagnosis:
        diagnosis = kv.analyses.diagnose_filters(
            opened.model,
            photographs,
            first_layer=looked_at.first_layer,
            second_layer=looked_at.second_layer,
            rules=opened.rules,
            preprocessing=None if photographs else opened.preprocessing,
            directory=parts.path(f"{stem}_scan"),
            engine=engine,
        )
        if photographs is not None:
            print_skipped(photographs)
        return diagnosis

    of = computed_from(opened, photographs, looked_at)
    return parts.result(f"{stem}.npz", FilterDiagnosis, compute, of=of)


def computed_from(
    opened: OpenModel, photographs: "Images | None", looked_at: LookedAtOptions
) -> dict[str, Any]:
    """Everything that a diagnosis depends on."""
    from kerasvis.deconvnet.rule_table import rule_names
    from kerasvis.graph import read_graph
    from kerasvis.graph.model_fingerprint import model_fingerprint

    return {
        "model": model_fingerprint(read_graph(opened.model).nodes),
        "images": photographs and photographs.fingerprint(),
        "preprocessing": opened.preprocessing.mode,
        "rules": rule_names(opened.rules),
        "first layer": looked_at.first_layer,
        "second layer": looked_at.second_layer,
    }


def write(diagnosis: "FilterDiagnosis", folder: Path, stem: str) -> None:
    """Prints the findings of one model, and writes its numbers."""
    from kerasvis.storage.files import write_text

    findings = kv.analyses.filter_findings(diagnosis)
    print(f"\n{diagnosis.model}", *map(str, findings), sep="\n", flush=True)
    write_csv(*table_of(diagnosis), folder / f"{stem}.csv")
    numbers = json.dumps(numbers_of(diagnosis, findings), indent=2, ensure_ascii=False)
    write_text(folder / f"{stem}.json", f"{numbers}\n")


def numbers_of(diagnosis: "FilterDiagnosis", findings: Sequence["Finding"]) -> dict[str, Any]:
    """The content of the JSON file; null for undefined values."""
    return {
        "model": diagnosis.model,
        "first_layer": diagnosis.first_layer,
        "second_layer": diagnosis.second_layer or None,
        "num_images": diagnosis.num_images,
        "strides": diagnosis.strides.tolist(),
        "dominance": number_or_none(diagnosis.dominance),
        "median_aliasing": number_or_none(diagnosis.median_aliasing),
        "dead": {layer.layer: layer.is_dead.nonzero()[0].tolist() for layer in diagnosis.layers},
        "findings": [finding._asdict() for finding in findings],
    }


def number_or_none(number: float) -> float | None:
    """The number, or None for NaN, which JSON does not have."""
    return None if number != number else float(number)


def table_of(diagnosis: "FilterDiagnosis") -> tuple[list[str], list[list]]:
    """`(header, rows)` of the first layer, a row for each filter."""
    header = "filter rms low middle high is_dead earlier_twin correlation".split()
    columns = zip(
        diagnosis.rms,
        *diagnosis.band_shares.T,
        diagnosis.first.is_dead,
        diagnosis.twins,
        diagnosis.correlations,
        strict=True,
    )
    return header, [[number, *row] for number, row in enumerate(columns)]
