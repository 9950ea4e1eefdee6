"""Figure 4: how the features that feature maps respond to evolve during training."""

import dataclasses
import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import keras
import numpy as np

from kerasvis.analyses.evolution.feature_snapshot import FeatureSnapshots
from kerasvis.analyses.evolution.snapshot_files import SnapshotFiles, changed_settings
from kerasvis.arguments import standardize_model
from kerasvis.storage.fields import Array, names_of
from kerasvis.storage.results import Result, layers_as_dict


@dataclasses.dataclass(frozen=True, eq=False)
class LayerEvolution(Result):
    """Some feature maps of one layer over epochs: a row per feature map, a column per epoch.

    Each column shows the strongest activation over all images with the weights at the end of that
    epoch. Windows are as in `FeatureVisualization`.

    Attributes:
        layer: name of the layer.
        feature_indices: int64 `(features,)`.
        activations: float32 `(features, epochs)`.
        image_indices: int64 `(features, epochs)`.
        positions: int32 `(features, epochs, 2)`, (row, column) in the feature map.
        projections: float32 `(features, epochs, height, width, channels)`, RGB, signed.
        patches: uint8 `(features, epochs, height, width, channels)`, RGB pixels; of 0 × 0 pixels
            where they were left out.
        boxes: int32 `(features, epochs, 4)`: the part of the window inside the image, as (top,
            left, bottom, right) in the window, half open.
    """

    layer: str
    feature_indices: Annotated[np.ndarray, Array("int64", "features")]
    activations: Annotated[np.ndarray, Array("float32", "features", "epochs")]
    image_indices: Annotated[np.ndarray, Array("int64", "features", "epochs")]
    positions: Annotated[np.ndarray, Array("int32", "features", "epochs", 2)]
    projections: Annotated[
        np.ndarray, Array("float32", "features", "epochs", "height", "width", "channels")
    ]
    patches: Annotated[
        np.ndarray, Array("uint8", "features", "epochs", "patch height", "patch width", "channels")
    ]
    boxes: Annotated[np.ndarray, Array("int32", "features", "epochs", 4)]

    @property
    def jumps(self):
        """bool `(features, epochs)`: whether the strongest image is not that of the column before.

        Reference:
            Zeiler & Fergus 2013, Figure 4: sudden jumps in appearance.
        """
        jumps = np.zeros(self.image_indices.shape, bool)
        jumps[:, 1:] = self.image_indices[:, 1:] != self.image_indices[:, :-1]
        return jumps


@dataclasses.dataclass(frozen=True, eq=False)
class Evolution(Result):
    """The evolution of feature maps of some layers.

    `evolution["conv3"]` is a layer's `LayerEvolution`; iterating gives the layers' names.

    Attributes:
        epochs: int64 `(epochs,)`, ascending, from 1.
        features: `{layer: LayerEvolution}`.

    Reference:
        Zeiler & Fergus 2013, Section 4 and Figure 4.
    """

    epochs: Annotated[np.ndarray, Array("int64", "epochs")]
    features: dict[str, LayerEvolution]

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers."""
        return tuple(self.features)

    def __getitem__(self, layer):
        if layer not in self.features:
            raise ValueError(
                f"The evolution of layer {layer!r} was not recorded: choose one of "
                f"{', '.join(self.layers)}. Received: layer={layer!r}"
            )
        return self.features[layer]

    def __iter__(self):
        return iter(self.features)

    @classmethod
    def upgraded(cls, arrays: Mapping[str, np.ndarray], version: int) -> dict[str, np.ndarray]:
        return layers_as_dict(arrays, "features")


def evolution_of_snapshots(epochs, snapshots):
    """Puts snapshots of the same feature maps side by side.

    Args:
        epochs: numbers of the epochs, ascending.
        snapshots: for each epoch `{layer: FeatureVisualization}` with k = 1.

    Returns:
        An `Evolution`.
    """
    features = {}
    for name, first in snapshots[0].items():
        columns = {
            part: np.concatenate([getattr(snapshot[name], part) for snapshot in snapshots], axis=1)
            for part in names_of(LayerEvolution)
            if part not in ("layer", "feature_indices")
        }
        features[name] = LayerEvolution(name, first.feature_indices, **columns)
    return Evolution(np.array(epochs, "int64"), features)


def load_evolution(directory: str | os.PathLike) -> Evolution:
    """Reads the files that `kerasvis.callbacks.FeatureEvolution` wrote into a folder.

    Args:
        directory: path of the folder. The training may still be running.

    Returns:
        An `Evolution`.

    Raises:
        ValueError: if the folder contains no snapshots, or those of different training runs.
    """
    files = SnapshotFiles(directory)
    epochs = files.epochs()
    if not epochs:
        raise ValueError(
            "The folder contains no snapshots such as epoch_0001.npz: give the directory of a "
            f"FeatureEvolution. Received: directory={os.fspath(directory)!r}"
        )
    snapshots = [files.load(epoch) for epoch in epochs]
    for epoch, snapshot in zip(epochs, snapshots, strict=True):
        changed = changed_settings(snapshots[0].settings, snapshot.settings)
        if not changed and snapshot.run != snapshots[0].run:
            changed = "initial weights"
        if changed:
            raise ValueError(
                f"{files.filepath(epoch)} was made with other {changed} than "
                f"{files.filepath(epochs[0])}: give a folder with the snapshots of one training "
                f"run. Received: directory={os.fspath(directory)!r}"
            )
    return evolution_of_snapshots(epochs, [snapshot.features for snapshot in snapshots])


def evolution_of_models(
    models: Iterable[keras.Model],
    layers: str | Sequence[str],
    images: Any,
    epochs: Sequence[int],
    features: Mapping[str, Sequence[int]] | None = None,
    **options: Any,
) -> Evolution:
    """The evolution of features over the checkpoints of one training run.

    The first model takes the weights of the others in turn, so that nothing is compiled twice. Its
    own weights are restored at the end.

    Args:
        models: `keras.Model`s of one architecture; an iterator may load one at a time.
        layers: names of layers, or one name.
        images: array `(images, rows, columns, channels)`, an `ImageFolder`, or batches of images
            that can be read repeatedly.
        epochs: numbers of their epochs, ascending.
        features: `{layer: numbers of feature maps}`; a random subset for layers left out.
        **options: further arguments of `FeatureSnapshots`: `num_features`, `seed`,
            `rectification`, `preprocessing`, `batch_size`.

    Returns:
        An `Evolution`.

    Raises:
        ValueError: if the architectures differ, or an argument does not fit the models.
    """
    models = (standardize_model(model, images) for model in models)
    numbered = _with_epochs(models, epochs)
    _, first = next(numbered, (None, None))
    if first is None:
        raise ValueError("Give one model or more. Received: models=[]")
    snapshots = FeatureSnapshots(first, layers, features, **options)
    own_weights = first.get_weights()
    try:
        taken = [snapshots.take(images)]
        for epoch, model in numbered:
            _check_same_architecture(first, model, epoch)
            first.set_weights(model.get_weights())
            taken.append(snapshots.take(images))
    finally:
        first.set_weights(own_weights)
    return evolution_of_snapshots(epochs, taken)


def _with_epochs(models, epochs):
    """Yields `(epoch, model)`."""
    for number, (epoch, model) in enumerate(itertools.zip_longest(epochs, models)):
        if epoch is None or model is None:
            num_models = f"{number} models" if model is None else f"more than {number} models"
            raise ValueError(
                f"Give one epoch for each model. Received: {len(epochs)} epochs for {num_models}"
            )
        yield epoch, model


def _check_same_architecture(first, model, epoch):
    shapes, expected = (
        [(type(layer).__name__, *(w.shape for w in layer.weights)) for layer in each.layers]
        for each in (model, first)
    )
    if shapes != expected:
        raise ValueError(
            f"The model of epoch {epoch} differs in architecture from the first: give checkpoints "
            f"of one training run. Received: {_first_difference(shapes, expected)}"
        )


def _first_difference(layers, expected):
    """The first layers that differ, as `(type, *shapes of weights)`."""
    pairs = itertools.zip_longest(layers, expected)
    layer, first = next(pair for pair in pairs if pair[0] != pair[1])
    return f"layer {layer}, expected {first}"
