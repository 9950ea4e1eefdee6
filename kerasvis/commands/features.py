"""`kerasvis features`: what feature maps respond to."""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

from cyclopts import Parameter

import kerasvis as kv
from kerasvis.commands.argument_types import Count, FilePath, Index, Rectification, Seed
from kerasvis.commands.image_arguments import check_images, print_skipped
from kerasvis.commands.options import EngineOptions, FolderOptions, ModelOptions
from kerasvis.commands.output import (
    OutputFolder,
    layer_names,
    save_figure,
    write_csv,
)
from kerasvis.commands.trained_models import convolution_layers

TOGETHER = ("features.png", "images.csv", "top_activations.npz")
NUM_MAPS_OF_EACH_LAYER = 8  # in the figure of all layers


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FeatureOptions:
    """Which activations of which feature maps are shown.

    Attributes:
        features: numbers of feature maps; random ones by default.
        num_features: how many random ones.
        seed: of the random ones.
        k: strongest activations of each feature map.
    """

    features: tuple[Index, ...] = ()
    num_features: Count = 16
    seed: Seed = 0
    k: Count = 9


def features(
    *,
    model: ModelOptions,
    images: FolderOptions,
    layers: tuple[str, ...] = (),
    shown: FeatureOptions = FeatureOptions(),
    rectification: Rectification = "deconvnet",
    cluster: EngineOptions = EngineOptions(),
    tensorboard: FilePath | None = None,
    out: FilePath = Path("features"),
) -> None:
    """Show what the feature maps of a trained convnet respond to (Figure 2 of the paper).

    Writes for every layer `<layer>.png` and `<layer>.npz`, the arrays of a `FeatureVisualization`;
    all layers together in `features.png`; the strongest activations of all feature maps in
    `top_activations.npz`; and in `images.csv` which image has which index. An interrupted run
    resumes when it is started again.

    Args:
        layers: all convolution layers by default.
        rectification: what a ReLU lets pass in the backward projection.
        tensorboard: folder; show the figures in TensorBoard, too.
        out: folder to write into.
    """
    output = OutputFolder(out, inputs=[images.images], files=TOGETHER)
    if tensorboard is not None:
        OutputFolder(tensorboard, "--tensorboard", inputs=[images.images])
    check_images([images.images])
    model.check()
    opened = model.open()
    photographs = images.open(opened)
    layers = layers or convolution_layers(opened.model)
    deconvs = [
        kv.DeconvModel(opened.model, name, rectification, opened.rules)
        for name in dict.fromkeys(layers)
    ]
    stems = layer_names([deconv.layer for deconv in deconvs], TOGETHER)
    check_features(deconvs, shown.features)
    output.expect([f"{stem}.{end}" for stem in stems for end in ("png", "npz")])
    print(f"{photographs.count()} images, {len(deconvs)} layers of {opened.model.name}", flush=True)
    with output.made() as folder:
        top = kv.find_top_activations(
            opened.model,
            [deconv.layer for deconv in deconvs],
            photographs,
            shown.k,
            filepath=folder / "top_activations.npz",
            engine=cluster.open(),
        )
        write_csv(["image_index", "image"], enumerate(photographs.names), folder / "images.csv")
        print_skipped(photographs)
        first = []
        for deconv, stem in zip(deconvs, stems, strict=True):
            found = visualize(deconv, opened.rules, photographs, top, shown, folder / stem)
            first.append(first_maps(found, NUM_MAPS_OF_EACH_LAYER))
        save_figure(kv.figures.feature_grid(first), folder / "features.png")
        if tensorboard is not None:
            grids = {d.layer: folder / f"{s}.png" for d, s in zip(deconvs, stems, strict=True)}
            write_to_tensorboard(tensorboard, grids)
    print(f"All layers: {folder / 'features.png'}")


def check_features(deconvs, features) -> None:
    """Refuses feature maps that a layer does not have, before the scan."""
    for deconv in deconvs:
        num_features = deconv.target_shape[-1]
        if missing := [feature for feature in features if feature >= num_features]:
            raise ValueError(
                f"Layer {deconv.layer!r} has {num_features} feature maps: give --features from 0 "
                f"to {num_features - 1}. Received: --features={missing[0]}"
            )


def visualize(deconv, rules, images, top, shown: FeatureOptions, path: Path):
    """Visualizes and saves one layer; returns its `FeatureVisualization`."""
    begin = time.monotonic()
    found = kv.visualize_features(
        deconv.convnet,
        deconv.layer,
        images,
        shown.features or None,
        top=top,
        num_features=shown.num_features,
        seed=shown.seed,
        rectification=deconv.rectification,
        rules=rules,
        verbose=0,
    )
    found.save(path.with_name(f"{path.name}.npz"))
    figure_path = path.with_name(f"{path.name}.png")
    save_figure(kv.figures.feature_grid(found), figure_path)
    num_features, k = found.activations.shape
    print(
        f"{deconv.layer}: {num_features} feature maps, {k} activations of each, "
        f"{time.monotonic() - begin:.1f} s: {figure_path}",
        flush=True,
    )
    return found


def first_maps(found, number: int):
    """The first feature maps alone, copied, so that the others' memory is given back."""
    arrays = {
        field.name: getattr(found, field.name)[:number].copy()
        for field in dataclasses.fields(found)
        if field.name not in ("layer", "pixel_range")
    }
    return dataclasses.replace(found, **arrays)


def write_to_tensorboard(log_dir: Path, figures: dict) -> None:
    """Shows the figure of every layer in TensorBoard, too."""
    from kerasvis.reports.tensorboard import write_feature_grids

    write_feature_grids(log_dir, {layer: path.read_bytes() for layer, path in figures.items()})
    print(f"TensorBoard: tensorboard --logdir {log_dir}")
