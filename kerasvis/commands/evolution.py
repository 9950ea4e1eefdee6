"""`kerasvis evolution`: how feature maps evolve while a convnet is trained."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from cyclopts import Parameter

import kerasvis as kv
from kerasvis.commands.argument_types import (
    Count,
    Epochs,
    FilePath,
    Index,
    Name,
    Rectification,
    Seed,
)
from kerasvis.commands.image_arguments import check_images, open_images
from kerasvis.commands.options import InputOptions
from kerasvis.commands.output import OutputFolder, save_figure
from kerasvis.commands.quiet_start import start_keras
from kerasvis.commands.trained_models import convolution_layers
from kerasvis.storage.counted import counted

if TYPE_CHECKING:
    import keras

    from kerasvis.analyses import Evolution

FILES = ("evolution.npz", "evolution.png", "convergence.png")


@Parameter(name="*", group="Snapshots or checkpoints")
@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """The source of the evolution.

    Attributes:
        snapshots: folder of a FeatureEvolution; the option's name may be left out.
        checkpoints: .keras files of one training run.
        images: for checkpoints: folder of photographs, or demo for bundled images.
        epochs: epochs of the checkpoints; by default the last numbers in their names.
    """

    snapshots: FilePath | None = field(default=None, kw_only=False)
    checkpoints: tuple[Name, ...] = ()
    images: Name | None = None
    epochs: tuple[Epochs, ...] = ()

    def check(self) -> None:
        """Raises a ValueError for two sources, no source or an incomplete one."""
        if (self.snapshots is None) == (not self.checkpoints):
            raise ValueError(
                "Give either the folder of a FeatureEvolution (--snapshots), or --checkpoints with "
                "--images."
            )
        if self.checkpoints and self.images is None:
            raise ValueError("The checkpoints need images: give --images, a folder of photographs.")
        check_images([] if self.images is None else [self.images])

    def in_order(self) -> tuple[list[int], list[str]]:
        """`(epochs, checkpoints)`, sorted by epoch, which is given or in the file's name."""
        epochs = list(self.epochs) or [last_number(Path(path)) for path in self.checkpoints]
        if len(epochs) != len(self.checkpoints):
            raise ValueError(
                "Give one epoch for each checkpoint with --epochs. Received: "
                f"{counted(len(epochs), 'epoch')} for "
                f"{counted(len(self.checkpoints), 'checkpoint')}"
            )
        if repeated := [epoch for epoch in epochs if epochs.count(epoch) > 1]:
            raise ValueError(
                "More than one checkpoint has the same epoch: give each its number with --epochs. "
                f"Received: epoch {repeated[0]}"
            )
        pairs = sorted(zip(epochs, self.checkpoints, strict=True))
        return [epoch for epoch, _ in pairs], [path for _, path in pairs]


@Parameter(name="*", group="Feature maps")
@dataclass(frozen=True, kw_only=True)
class MapOptions:
    """What to show.

    Attributes:
        layers: by default all convolution layers, or all recorded ones.
        features: numbers of feature maps; random ones by default.
        num_features: number of feature maps shown per layer.
        seed: seed of the random feature maps; 0 by default.
        patches: also show the image patches of the last epoch.
    """

    layers: tuple[str, ...] = ()
    features: tuple[Index, ...] = ()
    num_features: Count | None = None
    seed: Seed | None = None
    patches: bool = False


def evolution(
    source: SourceOptions = SourceOptions(),
    *,
    inputs: InputOptions = InputOptions(),
    maps: MapOptions = MapOptions(),
    rectification: Rectification | None = None,
    out: FilePath = Path("evolution_figures"),
) -> None:
    """Draw how feature maps evolve while a convnet is trained (Figure 4 of the paper).

    Reads the folder of a `kerasvis.callbacks.FeatureEvolution`, which may still be running, or
    models that were saved during training. Writes `evolution.png`, a block for each layer with a
    row for each feature map and a column for each epoch; `convergence.png`, how similar the
    projections are to the final ones; and `evolution.npz`, the arrays of an `Evolution`.

    Args:
        rectification: rule for ReLUs in the backward projection; deconvnet by default.
        out: folder to write into.
    """
    source.check()
    output = OutputFolder(out, inputs=filter(None, [source.images]), files=FILES)
    if source.snapshots is not None:
        check_nothing_for_checkpoints(source, inputs, maps, rectification)
        start_keras()
        found = kv.analyses.load_evolution(source.snapshots)
        check_layers(found, maps.layers)
    else:
        found = evolution_of_checkpoints(source, inputs, maps, rectification or "deconvnet")
    num_layers = counted(len(found.layers), "layer")
    print(f"{counted(len(found.epochs), 'epoch')}, {num_layers}", flush=True)
    with output.made() as folder:
        write_figures(found, maps, folder)


def write_figures(found: "Evolution", maps: MapOptions, folder: Path) -> None:
    """Writes the arrays and the figures."""
    found.save(folder / "evolution.npz")
    grid = kv.figures.evolution_grid(
        found,
        layers=maps.layers or None,
        num_features=maps.num_features,
        with_patches=maps.patches,
    )
    save_figure(grid, folder / "evolution.png")
    print(f"Evolution: {folder / 'evolution.png'}", flush=True)
    if len(found.epochs) < 2:
        print("No convergence.png: it needs snapshots of two epochs.")
        return
    curves = kv.figures.convergence_curves(kv.analyses.convergence(found))
    save_figure(curves, folder / "convergence.png")
    print(f"Convergence: {folder / 'convergence.png'}")


def check_nothing_for_checkpoints(
    source: SourceOptions, inputs: InputOptions, maps: MapOptions, rectification: str | None
) -> None:
    """Raises a ValueError for options that do not apply to snapshots."""
    of_maps = {"features": maps.features, "seed": maps.seed, "rectification": rectification}
    given = {"images": source.images, "epochs": source.epochs} | vars(inputs) | of_maps
    for name, value in given.items():
        if value not in (None, ()):
            option = f"--{name.replace('_', '-')}"
            told = " ".join(map(str, value)) if isinstance(value, tuple) else value
            raise ValueError(
                f"Snapshots were taken with their own options: leave out {option}, which is "
                f"for --checkpoints. Received: {option}={told}"
            )


def check_layers(found: "Evolution", layers: tuple[str, ...]) -> None:
    """Raises a ValueError for layers that were not recorded."""
    if unknown := [layer for layer in layers if layer not in found.layers]:
        raise ValueError(
            f"The snapshots contain {', '.join(found.layers)}: choose --layers from these. "
            f"Received: --layers={unknown[0]}"
        )


def evolution_of_checkpoints(
    source: SourceOptions, inputs: InputOptions, maps: MapOptions, rectification: str
) -> "Evolution":
    """The `Evolution` of models that were saved during training."""
    epochs, checkpoints = source.in_order()
    for path in checkpoints:
        inputs.check_name(path, layers=maps.layers)
    first = inputs.open_model(checkpoints[0])
    layers = maps.layers or convolution_layers(first.model)
    return kv.analyses.evolution_of_models(
        models_of(first.model, checkpoints, epochs, inputs),
        layers,
        open_images(cast(str, source.images), first),  # checked
        epochs,
        dict.fromkeys(layers, maps.features) if maps.features else None,
        num_features=maps.num_features or 8,
        seed=maps.seed or 0,
        rectification=rectification,
        rules=first.rules,
    )


def models_of(
    first: "keras.Model", checkpoints: list[str], epochs: list[int], inputs: InputOptions
) -> Iterator["keras.Model"]:
    """Loads the models one at a time."""
    print(f"Epoch {epochs[0]}: {checkpoints[0]}", flush=True)
    yield first
    for epoch, path in zip(epochs[1:], checkpoints[1:], strict=True):
        print(f"Epoch {epoch}: {path}", flush=True)
        yield inputs.load_model(path)


def last_number(filepath: Path) -> int:
    """The last number in a file's name, which is the epoch."""
    numbers = re.findall(r"\d+", filepath.stem)
    if not numbers or not int(numbers[-1][-9:]) >= 1 or len(numbers[-1]) > 9:
        raise ValueError(
            "The name of the file contains no epoch, a number from 1 on: give the epochs of the "
            f"checkpoints with --epochs. Received: --checkpoints={filepath}"
        )
    return int(numbers[-1])
