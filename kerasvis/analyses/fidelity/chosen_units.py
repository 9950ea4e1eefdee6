"""The units under test, one in every image: where they are, and how active."""

import dataclasses
import functools
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from kerasvis.deconvnet import passes
from kerasvis.deconvnet.planning import make_plan
from kerasvis.deconvnet.targets import Strongest, Unit, as_arrays
from kerasvis.deconvnet.whole_images import fitting_batch_size
from kerasvis.graph import read_graph, receptive_field
from kerasvis.graph.batch_function import BatchFunction
from kerasvis.graph.replicas import predict_undivided


@dataclasses.dataclass(frozen=True, eq=False)
class ChosenUnits:
    """One unit of a layer in every image: what a fidelity report tests.

    Attributes:
        model: the functional or Sequential `keras.Model`; it is not changed.
        layer: name of the layer.
        images: float32 `(images, rows, columns, channels)`.
        rules: the user's rules for layers that the deconvnet does not know.
        layer_activations: float32 `(images, rows, columns, features)`, of the whole layer; one row
            and column for a dense layer.
        features: int32 `(images,)`, numbers of feature maps, or of units of a dense layer.
        positions: int32 `(images, 2)`, (row, column) in the feature map; 0 for a dense layer.
        activations: float32 `(images,)`, before a softmax or sigmoid.
        boxes: int64 `(images, 4)`: the receptive field of each unit inside its image, as (top,
            left, bottom, right) in pixels, half open.
        is_dense: whether units have no position.
    """

    model: keras.Model
    layer: str
    images: np.ndarray
    rules: Sequence[tuple]
    layer_activations: np.ndarray
    features: np.ndarray
    positions: np.ndarray
    activations: np.ndarray
    boxes: np.ndarray
    is_dense: bool

    @property
    def target(self):
        """The `Unit` with one entry per image."""
        return Unit(self.features, *([] if self.is_dense else self.positions.T))

    def activation_in(self, images, number):
        """How active the unit chosen in image `number` is in other images.

        Args:
            images: float32 `(images, rows, columns, channels)`.
            number: index of the image in which the unit was chosen.

        Returns:
            float32 `(images,)`.
        """
        inputs = {
            "images": images,
            "feature": np.repeat(self.features[[number]], len(images)),
            "position": np.repeat(self.positions[[number]], len(images), axis=0),
        }
        return in_batches(self._unit_activations, inputs)

    @functools.cached_property
    def _unit_activations(self):
        activations = layer_activations(plan_of(self.model, self.layer, rules=self.rules))
        return BatchFunction(
            lambda inputs: passes.choose(
                activations(inputs), inputs["feature"], inputs["position"]
            )[1],
            activations.layers_used,
        )


def choose_units(model, layer, images, feature=None, rules=()):
    """Chooses the strongest unit in every image.

    Args:
        model: a functional or Sequential `keras.Model`.
        layer: name of the layer.
        images: float32 `(images, rows, columns, channels)`.
        feature: number of a feature map, or a list of one per image; by default the feature
            map that contains the strongest unit of the layer.
        rules: the user's rules for layers that the deconvnet does not know.

    Returns:
        The `ChosenUnits`.

    Raises:
        ValueError: if the layer or a feature is unknown, or a chosen unit is not active.
    """
    plan = plan_of(model, layer, rules=rules)
    activations = in_batches(layer_activations(plan), {"images": images})
    features = activations.max(axis=(1, 2)).argmax(axis=1).astype("int32")
    if feature is not None:
        target = Strongest(feature)
        features = as_arrays(target, len(images), activations.shape[1:])[0]
    positions = strongest_positions(activations, features)
    units = ChosenUnits(
        model=model,
        layer=layer,
        images=images,
        rules=rules,
        layer_activations=activations,
        features=features,
        positions=positions,
        activations=activations[np.arange(len(images)), *positions.T, features],
        boxes=boxes_seen(model, layer, images.shape[1:3], positions),
        is_dense=len(plan.shapes[plan.target]) == 2,
    )
    _check_active(units)
    return units


def strongest_positions(activations, features):
    """The position of the strongest unit of a feature map in each image; the first of ties.

    Returns:
        int32 `(images, 2)`.
    """
    maps = activations[np.arange(len(activations)), :, :, features]
    places = maps.reshape(len(maps), -1).argmax(axis=1)
    return np.stack(np.unravel_index(places, maps.shape[1:]), axis=1).astype("int32")


def boxes_seen(model, layer, image_size, positions):
    """The receptive fields of units: int64 `(units, 4)`, clipped at the image border."""
    field = receptive_field(model, layer, image_size)
    if field.is_whole_image:
        return np.tile(np.array([0, 0, *image_size], "int64"), (len(positions), 1))
    boxes = np.array([field.box(*map(int, position)) for position in positions], "int64")
    return np.clip(boxes, 0, np.tile(image_size, 2))


def layer_activations(plan):
    """Maps images to the activations of the plan's target, as feature maps."""

    def activations(inputs):
        tensors, _ = passes.forward(plan, inputs["images"])
        return passes.with_positions(ops.cast(tensors[plan.target], "float32"))

    return BatchFunction(activations, plan.layers)


def in_batches(model, inputs):
    """Runs a model on a dict of arrays, one of which is `"images"`, batch by batch.

    `predict` would set up a data pipeline for each call, which takes longer than a few images.
    """
    images = inputs["images"]
    size = fitting_batch_size(images.shape)
    parts = [slice(begin, begin + size) for begin in range(0, len(images), size)]
    batches = [predict_undivided(model, {k: v[part] for k, v in inputs.items()}) for part in parts]
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)


def plan_of(model, layer, rectification="deconvnet", rules=()):
    """The `Plan` of the backward projection from a layer."""
    return make_plan(model, read_graph(model), layer, rectification, rules)


def _check_active(units):
    for number, activation in enumerate(units.activations):
        if not np.isfinite(activation):
            raise ValueError(
                f"Layer {units.layer!r} returns {activation} in image {number}: check the range of "
                f"the images and the model's weights. Received: images={_range_of(units.images)}"
            )
        if activation <= 0:
            raise ValueError(
                f"Feature {units.features[number]} of layer {units.layer!r} is not active in "
                f"image {number}: give another feature, or other images. "
                f"Received: layer={units.layer!r}, feature={units.features[number]}"
            )


def _range_of(images):
    return f"values from {images.min():.4g} to {images.max():.4g}"
