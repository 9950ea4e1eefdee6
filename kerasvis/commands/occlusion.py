"""`kerasvis occlusion`: which parts of a photograph a model relies on."""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import Parameter

import kerasvis as kv
from kerasvis.commands.argument_types import (
    BatchSize,
    Devices,
    FilePath,
    Index,
    Name,
)
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
from kerasvis.commands.output import (
    OutputFolder,
    save_figure,
    write_csv,
)
from kerasvis.commands.quiet_start import start_keras
from kerasvis.storage.counted import counted

if TYPE_CHECKING:
    import numpy as np

    from kerasvis.analyses import OcclusionAnalysis, OcclusionSensitivity
    from kerasvis.engines import Ray
    from kerasvis.figures import OcclusionRow

TOGETHER = ("occlusion.png", "occlusion.csv")
NUM_OTHER_PROJECTIONS = 3
MAX_ROWS = 12  # rows in the figure of all photographs


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class WatchedOptions:
    """The feature map to watch.

    Attributes:
        layer: layer of the feature map; by default the last convolution.
        feature: number of the feature map; by default the strongest one.
        scan: top_activations.npz from `kerasvis features`, to show projections from other images.
        scan_images: the scanned images, a folder or demo.
    """

    layer: str | None = None
    feature: Index | None = None
    scan: FilePath | None = None
    scan_images: Name | None = None

    def check(self) -> None:
        """Raises a ValueError for a scan without its images, or images without their scan."""
        if self.scan is None and self.scan_images is not None:
            raise ValueError(
                "--scan-images belong to a scan: also give --scan, top_activations.npz from "
                f"`kerasvis features`. Received: --scan-images={self.scan_images}"
            )
        if self.scan is not None and self.scan_images is None:
            raise ValueError(
                "--scan refers to images by number: also give --scan-images, the scanned images. "
                f"Received: --scan={self.scan}"
            )


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ComputingOptions:
    """The computation.

    Attributes:
        method: incremental computes only what the occluder affects; auto chooses the faster method.
        devices: devices that share the work: their number, or names such as GPU:0,GPU:1.
        batch_size: positions per step.
    """

    method: Literal["auto", "incremental", "full"] = "auto"
    devices: Devices | None = None
    batch_size: BatchSize | None = None
    cluster: EngineOptions = EngineOptions()

    def scope(self) -> AbstractContextManager:
        """The context in which to load the model; devices share the positions of an image."""
        start_keras()
        if self.devices is None:
            return contextlib.nullcontext()
        from kerasvis.training.strategies import strategy_for

        return strategy_for("mirrored", self.devices).scope()


def occlusion(
    *,
    model: ModelOptions,
    images: tuple[Name, ...],
    scores: ScoreOptions = ScoreOptions(),
    watched: WatchedOptions = WatchedOptions(),
    occluder: OccluderOptions = OccluderOptions(),
    computing: ComputingOptions = ComputingOptions(),
    out: FilePath = Path("occlusion"),
) -> None:
    """Occlude each part of photographs in turn and show the model's output (Figure 6).

    Writes `occlusion.png`, a row for every photograph as in the paper; for each photograph
    `<name>.png`, the heat maps laid over it, and `<name>.npz`, the arrays of an
    `OcclusionSensitivity`; and `occlusion.csv`, one line per photograph. An interrupted run resumes
    when it is started again.

    Args:
        images: files, folders, or bundled images such as demo:coffee.
        out: folder to write into.
    """
    output = OutputFolder(out, inputs=images, files=TOGETHER)
    check_images(images)
    watched.check()
    names = scores.names(model)
    model.check(layer=watched.layer)
    with computing.scope():
        opened = model.open()
        photographs = read_photographs(images, opened.image_size, opened.channels, TOGETHER)
        class_index = class_of(scores, names, opened)
        analysis = kv.analyses.OcclusionAnalysis(
            opened.model,
            opened.image_size,
            preprocessing=opened.preprocessing,
            layer=watched.layer,
            feature=watched.feature,
            activation=scores.activation,
            rules=opened.rules,
            method=computing.method,
            batch_size=computing.batch_size,
            **occluder.settings(),
        )
        others = OtherProjections(opened, watched, analysis.layer)
        files = [f"{photograph.name}.{end}" for photograph in photographs for end in ("png", "npz")]
        output.expect(files)
        print_plan(analysis, len(photographs))
        with output.made() as folder:
            engine = computing.cluster.open()
            results = analyse(analysis, opened, photographs, folder, class_index, engine)
            write_results(results, photographs, folder, names, others)
    print(f"Scores: {analysis.scores.interpretation}.")
    print(f"All photographs: {out / 'occlusion.png'}")


def class_of(scores: ScoreOptions, names: dict[int, str], opened: OpenModel) -> int | None:
    """The number of the requested class."""
    from kerasvis.graph.scores import Scores

    if scores.class_name is None and not names:
        return None
    return scores.class_index(names, Scores(opened.model, image_size=opened.image_size).num_classes)


class OtherProjections:
    """Projections of the watched feature map from the images in which it is strongest.

    Args:
        opened: the model.
        watched: the options, with the scan and its images.
        layer: layer of the watched feature map.

    Raises:
        ValueError: if the scan is not of this layer, or its images cannot be opened.
    """

    def __init__(self, opened: OpenModel, watched: WatchedOptions, layer: str):
        self._strongest = None
        if watched.scan is None or watched.scan_images is None:
            return
        self._strongest = kv.TopActivations.load(watched.scan)[layer]
        self._images = open_images(watched.scan_images, opened, option="--scan-images")
        self._deconv = kv.DeconvModel(opened.model, layer, rules=opened.rules)

    def of_feature(self, feature: int) -> tuple["np.ndarray", ...]:
        """The projections for a feature map, the strongest first; none without a scan."""
        if self._strongest is None:
            return ()
        indices = self._strongest.image_indices[feature]
        images = self._images[indices[indices >= 0][:NUM_OTHER_PROJECTIONS]]
        projections = self._deconv.project(images, kv.targets.WholeMap(feature))
        return tuple(self._images.rgb(projections)[..., :3])


def print_plan(analysis: "OcclusionAnalysis", num_photographs: int) -> None:
    plan, (num_rows, num_columns) = analysis.sweep.plan, analysis.occluders.shape
    print(
        f"{counted(num_photographs, 'photograph')}, {num_rows}×{num_columns} positions, "
        f"{plan.method}: {plan.reason}",
        flush=True,
    )


def analyse(
    analysis: "OcclusionAnalysis",
    opened: OpenModel,
    photographs: list[Photograph],
    folder: Path,
    class_index: int | None,
    engine: "Ray | None",
) -> Iterator["OcclusionSensitivity"]:
    """The result of each photograph, as soon as it is computed."""
    return kv.analyses.stream_occlusion_sensitivity(
        analysis,
        (opened.preprocessing.images(photograph.pixels) for photograph in photographs),
        [class_index] * len(photographs),
        folder,
        [photograph.name for photograph in photographs],
        engine,
    )


def write_results(
    results: Iterable["OcclusionSensitivity"],
    photographs: list[Photograph],
    folder: Path,
    names: dict[int, str],
    others: OtherProjections,
) -> None:
    """Writes the results of the photographs, one by one."""
    rows: list[OcclusionRow] = []
    lines: list[dict[str, Any]] = []
    for photograph, result in zip(photographs, results, strict=True):
        projections = others.of_feature(result.feature_index)
        shown = in_rgb(result)
        row = kv.figures.OcclusionRow(shown, photograph.rgb, names, photograph.name, projections)
        overlay = kv.figures.occlusion_overlay(
            shown, photograph.rgb, class_name=row.name(result.class_index)
        )
        save_figure(overlay, folder / f"{photograph.name}.png")
        lines.append(summary(photograph, result, row))
        print(
            "{image}: {class} {probability}; lowest {lowest}, with {box} occluded".format(
                **lines[-1]
            )
        )
        if len(rows) < MAX_ROWS:
            rows.append(row)
    save_figure(kv.figures.occlusion_panel(rows), folder / "occlusion.png")
    write_csv(list(lines[0]), [list(line.values()) for line in lines], folder / "occlusion.csv")


def in_rgb(result: "OcclusionSensitivity") -> "OcclusionSensitivity":
    """The result with its projection as displayed, without transparency."""
    if result.projection is None:
        return result
    return dataclasses.replace(result, projection=result.projection[..., :3])


def summary(
    photograph: Photograph, result: "OcclusionSensitivity", row: "OcclusionRow"
) -> dict[str, Any]:
    """The row of a photograph in the table; without a convolution no feature map is watched."""
    lowest = result.probability.argmin()
    watched = dict.fromkeys(("feature_map", "activity", "lowest_activity"), "")
    if result.activity is not None:
        watched = {
            "feature_map": f"{result.layer} {result.feature_index}",
            "activity": f"{result.base_activity:.6g}",
            "lowest_activity": f"{result.activity.min():.6g}",
        }
    return {
        "image": photograph.title,
        "class": row.name(result.class_index),
        "probability": f"{result.base_probability:.4f}",
        "label": row.name(result.base_label),
        "lowest": f"{result.probability.min():.4f}",
        "box": " ".join(map(str, result.boxes.reshape(-1, 4)[lowest])),
        **watched,
        "labels": len(set(result.label.ravel().tolist())),
        "method": result.method,
    }
