"""`kerasvis features`: what feature maps respond to."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import Parameter

import kerasvis as kv
from kerasvis.commands.argument_types import Count, FilePath, Index, Seed
from kerasvis.commands.image_arguments import OpenModel, check_images, print_skipped
from kerasvis.commands.method_names import MethodName, load_methods
from kerasvis.commands.options import EngineOptions, FolderOptions, ModelOptions
from kerasvis.commands.output import (
    OutputFolder,
    layer_names,
    save_figure,
    write_csv,
)
from kerasvis.commands.trained_models import convolution_layers
from kerasvis.storage.counted import counted

if TYPE_CHECKING:
    from kerasvis.activations import TopActivations
    from kerasvis.analyses import FeatureVisualization
    from kerasvis.data.images import Images
    from kerasvis.engines import Ray

TOGETHER = ("features.png", "images.csv", "top_activations.npz")
NUM_MAPS_OF_EACH_LAYER = 8  # feature maps per layer in the figure of all layers


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FeatureOptions:
    """The activations and feature maps to show.

    Attributes:
        features: numbers of feature maps; random ones by default.
        num_features: number of random feature maps.
        seed: seed of the random feature maps.
        k: number of strongest activations of each feature map.
        methods: how activations are projected, with a block of the figure for each: names, or
            module:NAME, your own function.
    """

    features: tuple[Index, ...] = ()
    num_features: Count = 16
    seed: Seed = 0
    k: Count = 9
    methods: tuple[MethodName, ...] = ("deconvnet",)


def features(
    *,
    model: ModelOptions,
    images: FolderOptions,
    layers: tuple[str, ...] = (),
    shown: FeatureOptions = FeatureOptions(),
    cluster: EngineOptions = EngineOptions(),
    tensorboard: FilePath | None = None,
    out: FilePath = Path("features"),
) -> None:
    """Show what the feature maps of a trained convnet respond to (Figure 2 of the paper).

    Writes for every layer `<layer>.png` and `<layer>.npz`, the arrays of a `FeatureVisualization`,
    those of further methods in `<layer>-<method>.npz`; all layers together in `features.png`; the
    strongest activations of all feature maps in `top_activations.npz`; and in `images.csv` which
    image has which index. An interrupted run resumes when it is started again.

    Args:
        layers: all convolution layers by default.
        tensorboard: folder to which the figures are also written for TensorBoard.
        out: folder to write into.
    """
    output = OutputFolder(out, inputs=[images.images], files=TOGETHER)
    if tensorboard is not None:
        OutputFolder(tensorboard, "--tensorboard", inputs=[images.images])
    check_images([images.images])
    methods = load_methods(shown.methods)
    model.check(layers=layers)
    opened = model.open()
    photographs = images.open(opened)
    layers = tuple(dict.fromkeys(layers or convolution_layers(opened.model)))
    check_features(opened, layers, methods, shown.features)
    files = file_names(layers, [*methods])
    output.expect([f"{stem}.npz" for stems in files.values() for stem in stems])
    output.expect([f"{stems[0]}.png" for stems in files.values()])
    num_images = counted(photographs.count(), "image")
    print(f"{num_images}, {counted(len(layers), 'layer')} of {opened.model.name}", flush=True)
    engine = cluster.open()
    with output.made() as folder, engine or contextlib.nullcontext():
        top = kv.find_top_activations(
            opened.model,
            layers,
            photographs,
            shown.k,
            filepath=folder / "top_activations.npz",
            engine=engine,
        )
        write_csv(["image_index", "image"], enumerate(photographs.names), folder / "images.csv")
        print_skipped(photographs)
        first = []
        for layer, stems in files.items():
            found = visualize(opened, layer, methods, photographs, top, shown, engine)
            save_figures(found, folder, stems)
            first += [first_maps(each, NUM_MAPS_OF_EACH_LAYER) for each in found]
        save_figure(kv.figures.feature_grid(first), folder / "features.png")
        if tensorboard is not None:
            grids = {layer: folder / f"{stems[0]}.png" for layer, stems in files.items()}
            write_to_tensorboard(tensorboard, grids)
    number = counted(NUM_MAPS_OF_EACH_LAYER, "feature map")
    print(f"All layers, up to {number} of each: {folder / 'features.png'}")
    if left := output.of_earlier_runs():
        print(f"Results of earlier runs are left as they were: {', '.join(left)}")


def file_names(layers: tuple[str, ...], methods: list[str]) -> dict[str, tuple[str, ...]]:
    """`{layer: names of its arrays' files}`, one for each method, without their ending."""
    suffixes = ["", *(f"-{method}" for method in methods[1:])]
    names = layer_names([f"{layer}{end}" for end in suffixes for layer in layers], TOGETHER)
    return {layer: names[number :: len(layers)] for number, layer in enumerate(layers)}


def check_features(
    opened: OpenModel,
    layers: Sequence[str],
    methods: Mapping[str, "str | Callable"],
    features: Sequence[int],
) -> None:
    """Raises a ValueError if a layer cannot be projected or lacks a feature map."""
    from kerasvis.attributions.unit_projections import UnitProjections

    for layer in layers:
        deconv = UnitProjections.of(opened.model, layer, methods, opened.rules).deconv
        num_features = deconv.target_shape[-1]
        if missing := [feature for feature in features if feature >= num_features]:
            raise ValueError(
                f"Layer {deconv.layer!r} has {num_features} feature maps: give --features from 0 "
                f"to {num_features - 1}. Received: --features={missing[0]}"
            )


def visualize(
    opened: OpenModel,
    layer: str,
    methods: Mapping[str, "str | Callable"],
    images: "Images",
    top: "TopActivations",
    shown: FeatureOptions,
    engine: "Ray | None",
) -> list["FeatureVisualization"]:
    """The `FeatureVisualization` of a layer by each method."""
    begin = time.monotonic()
    by_method = kv.visualize_features(
        opened.model,
        layer,
        images,
        shown.features or None,
        top=top,
        num_features=shown.num_features,
        seed=shown.seed,
        methods=methods,
        rules=opened.rules,
        engine=engine,
        verbose=0,
    )
    found = [*by_method.values()]
    num_features, k = found[0].activations.shape
    print(
        f"{layer}: {num_features} feature maps, {k} activations of each, "
        f"{time.monotonic() - begin:.1f} s",
        flush=True,
    )
    return found


def save_figures(found: list["FeatureVisualization"], folder: Path, stems: tuple[str, ...]) -> None:
    """Writes the arrays of a layer by each method, and their figure."""
    for each, stem in zip(found, stems, strict=True):
        each.save(folder / f"{stem}.npz")
    figure_path = folder / f"{stems[0]}.png"
    save_figure(kv.figures.feature_grid(found), figure_path)
    print(f"  {figure_path}", flush=True)


def first_maps(found: "FeatureVisualization", number: int) -> "FeatureVisualization":
    """A copy of the first feature maps, so that the memory of the others is freed."""
    arrays = {
        field.name: getattr(found, field.name)[:number].copy()
        for field in dataclasses.fields(found)
        if field.name not in ("layer", "pixel_range", "method")
    }
    return dataclasses.replace(found, **arrays)


def write_to_tensorboard(log_dir: Path, figures: dict[str, Path]) -> None:
    """Writes the figure of every layer for TensorBoard."""
    from kerasvis.reports.tensorboard import write_feature_grids

    write_feature_grids(log_dir, {layer: path.read_bytes() for layer, path in figures.items()})
    print(f"TensorBoard: tensorboard --logdir {log_dir}")
