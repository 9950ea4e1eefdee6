"""Converts a model's output to one score for each class."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasvis.graph.outputs import output_tensor
from kerasvis.graph.reading import read_graph
from kerasvis.graph.replaying import replay
from kerasvis.graph.score_activation import (
    EXPONENTIAL,
    FUNCTIONS,
    LINEAR,
    SIGMOID,
    SOFTMAX,
    activation_of_values,
    are_inside,
    ends_in_weighted_sum,
    far_images,
    known_activation,
    probe_images,
    tolerance_of,
)
from kerasvis.graph.shapes import image_shape, infer_shapes

ACTIVATIONS = ("auto", *FUNCTIONS)
PROBABILITY, SUMMED_PROBABILITY = "probability", "summed probability"

# How the output was interpreted: of several units, and of one.
PHRASES = {
    LINEAR: ("the model's own probabilities", "the model's own probability"),
    SOFTMAX: ("softmax of the model's logits", ""),
    SIGMOID: ("sigmoid of the model's logits", "sigmoid of the model's logit"),
    EXPONENTIAL: (
        "exponential of the model's log probabilities",
        "exponential of the model's log probability",
    ),
}


class Scores:
    """Converts a model's output to one value for each class.

    A single unit distinguishes two classes: class 1 has its probability, class 0 the rest. If the
    output consists of class maps, as in segmentation, the score of a class is its probability
    summed over a region. A user's function of the output may replace the classes.

    Args:
        model: a functional or Sequential `keras.Model` with one image input; it does not change.
        output: the output: the name of its layer, its key in a dict, or its number; or the name of
            another layer. Required if there are several outputs.
        activation: what turns the output into probabilities: `"softmax"`, `"sigmoid"`,
            `"exponential"` for logarithms of probabilities, or `"linear"` for probabilities;
            `"auto"` infers it from the model's values.
        region: `(top, left, bottom, right)` in pixels of class maps; by default the whole maps, if
            they are as large as the image.
        score: function of the output that returns one number for each image, `(images,)`, written
            with `keras.ops`. It receives the output as `predict` returns it, unless `activation` is
            given.
        image_size: `(height, width)` in pixels, for a model that takes images of any size.

    Attributes:
        graph: the model's `Graph`.
        tensor: number of the output tensor.
        num_classes: number of classes; 1 for a `score`.
        measure: what the values are: `"probability"`, `"summed probability"`, or the name of
            `score`.
        activation: the activation that is applied; None while it is unknown, see `decide`.

    Call arguments:
        outputs: tensor of the shape of the output.

    Returns:
        Float32 tensor `(images, classes)`.

    Raises:
        ValueError: if the output, the activation or the region does not exist, or the output
            consists neither of scores nor of class maps.

    Example:
        >>> import keras
        >>> import kerasvis as kv
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
        >>> model.add(keras.layers.Dense(1, activation="sigmoid"))
        >>> scores = kv.graph.Scores(model)
        >>> scores.num_classes, scores.interpretation
        (2, "the model's own probability of class 1, the rest is class 0")
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        output: str | int | None = None,
        activation: str = "auto",
        region: tuple[int, int, int, int] | None = None,
        score: Callable[[Any], Any] | None = None,
        image_size: tuple[int, int] | None = None,
    ):
        _check_activation(activation)
        self.model, self.score = model, score
        self.image_shape = (*(image_size or image_shape(model)[:2]), image_shape(model)[2])
        self.graph = read_graph(model)
        self.tensor = output_tensor(model, self.graph, output)
        self.nodes = self.graph.ancestors([self.tensor])
        shape = _output_shape(self, image_size)
        self.map_size = None if score else _map_size(model, shape, self.image_shape, region)
        is_one = len(shape) == 1 or (self.map_size is not None and len(shape) == 3)
        self.num_units = 1 if is_one else shape[-1]
        self.region = _checked_region(region, self.map_size)
        self.num_classes = 1 if score else max(2, self.num_units)
        self.measure = _measure(score, self.map_size)
        if activation == SOFTMAX and self.num_units == 1 and not score:
            raise ValueError(
                f"The model {model.name!r} returns one number, whose softmax is 1 whatever it is: "
                "give 'sigmoid' or 'linear'. Received: activation='softmax'"
            )
        self.activation = activation
        if activation == "auto":
            self.activation = LINEAR if score else known_activation(self.graph, self.tensor)
        self._may_be_wrong = False

    @property
    def interpretation(self) -> str:
        """How the output is interpreted, as a phrase; "" while that is unknown."""
        if self.activation is None:
            return ""
        if self.score is not None:
            is_linear = self.activation == LINEAR
            return "the model's output" if is_linear else f"{self.activation} of the model's output"
        of_several, of_one = PHRASES[self.activation]
        phrase = f"{of_one} of class 1, the rest is class 0" if self.num_units == 1 else of_several
        if self.map_size is None:
            return phrase
        is_whole = self.region == (0, 0, *self.map_size)
        where = "the map" if is_whole else f"(top, left, bottom, right) = {self.region} of the map"
        return f"{phrase}, summed over {where}"

    def decide(self, images: np.ndarray | None = None) -> "Scores":
        """Infers from the model's values how to interpret the output, if that is still unknown.

        Args:
            images: `(images, rows, columns, channels)`, as the model takes them: one or a few of
                those to be analysed; by default pixels in [0, 255].

        Returns:
            Itself.
        """
        if self.score is not None:
            self._check_score(self._run(probe_images(self._some(images))))
        if self.activation is None:
            self.activation = self._found(self._some(images))
            self._may_be_wrong = self.activation == LINEAR
        return self

    def _found(self, images):
        """The activation that turns the model's output into probabilities."""
        tolerance = tolerance_of(self.nodes)
        is_weighted_sum = ends_in_weighted_sum(self.graph, self.tensor)
        parts = []
        for probes in (probe_images(images), far_images(images)):
            values = ops.convert_to_numpy(self._run(probes))
            parts.append(values.reshape(len(values), -1, self.num_units))
            activation = activation_of_values(np.concatenate(parts), tolerance, is_weighted_sum)
            if activation != LINEAR:
                break  # one value that is not a probability is enough
        return activation

    def _some(self, images):
        """The images, or an empty array."""
        if images is None and None in self.image_shape:
            raise ValueError(
                f"The model {self.model.name!r} takes images of any size: give image_size, "
                "(height, width) in pixels. Received: image_size=None"
            )
        return np.zeros((0, *self.image_shape)) if images is None else np.asarray(images)

    def _run(self, images):
        """The output for images, as the model returns it."""
        dtype = keras.backend.standardize_dtype(self.model.inputs[0].dtype)
        if "int" in dtype:
            images = np.clip(images, np.iinfo(dtype).min, np.iinfo(dtype).max)
        tensors = replay(self.nodes, {self.graph.inputs[0]: ops.convert_to_tensor(images, dtype)})
        return ops.cast(tensors[self.tensor], "float32")

    def check(self, values: np.ndarray) -> None:
        """Raises if values contradict the interpretation that was inferred from other images.

        Args:
            values: values of the model's output, of any shape.

        Raises:
            ValueError: if they should be probabilities and are not.
        """
        values = np.asarray(values)[np.isfinite(values)]
        if self._may_be_wrong and not are_inside(values, tolerance_of(self.nodes)):
            raise ValueError(
                f"The outputs of the model {self.model.name!r} lie in [0, 1] for other images and "
                f"were taken for probabilities, but here they range from {values.min():.4g} to "
                f"{values.max():.4g}: state activation='softmax', 'sigmoid' or 'linear'. Received: "
                "activation='auto'"
            )

    def __call__(self, outputs: Any) -> Any:
        if self.score is not None:
            return self._scored(outputs)
        shape = (-1, *(self.map_size or ()), self.num_units)
        values = ops.cast(ops.reshape(outputs, shape), "float32")
        values = self._as_two(values) if self.num_units == 1 else self._activated(values)
        if self.map_size is None:
            return values
        top, left, bottom, right = self.region
        return ops.sum(values[:, top:bottom, left:right], axis=(1, 2))

    def _activated(self, values):
        return FUNCTIONS[self.activation](values)

    def _as_two(self, values):
        """One unit as two classes; of a logit, both probabilities have full precision."""
        if self.activation == SIGMOID:
            return self._activated(ops.concatenate([-values, values], axis=-1))
        values = self._activated(values)
        return ops.concatenate([1 - values, values], axis=-1)

    def _scored(self, outputs):
        return ops.cast(self.score(self._activated(ops.cast(outputs, "float32"))), "float32")[
            :, None
        ]

    def _check_score(self, outputs):
        """Raises if the function does not return one number for each image."""
        shape = getattr(self.score(self._activated(outputs)), "shape", None)
        if shape is None or tuple(shape) != outputs.shape[:1]:
            raise ValueError(
                "score must return one number for each image, (images,), but for an output of "
                f"shape {tuple(outputs.shape)} it returned one of {shape}. Received: "
                f"score={self.score!r}"
            )


def _check_activation(activation):
    if activation not in ACTIVATIONS:
        known = ", ".join(map(repr, ACTIVATIONS))
        raise ValueError(
            f"There is no such activation: give {known}. Received: activation={activation!r}"
        )


def _output_shape(scores, image_size):
    """The output's shape, inferred only if the model does not know it."""
    if scores.tensor in scores.graph.outputs:
        output = scores.model.outputs[scores.graph.outputs.index(scores.tensor)]
        if "int" in output.dtype or output.dtype == "bool":
            raise ValueError(
                f"The model {scores.model.name!r} returns integers ({output.dtype}), such as class "
                "indices, but scores were expected: give the model without its last step."
            )
        if None not in output.shape[1:]:
            return tuple(output.shape)
    return infer_shapes(scores.graph, scores.nodes, scores.model, image_size)[scores.tensor]


def _map_size(model, shape, image_shape, region):
    """`(rows, columns)` of class maps; None if the output has one score for each class."""
    if len(shape) in (3, 4) and None not in shape[1:] and shape[1:3] == image_shape[:2]:
        return shape[1:3]
    is_map = len(shape) == 4 and shape[1:3] != (1, 1)
    if is_map and None not in shape[1:] and region is not None:
        return shape[1:3]
    if None in shape[1:] or any(size != 1 for size in shape[1:-1]):
        of_maps = f"; if these are maps of classes, region=(0, 0, {shape[1]}, {shape[2]})"
        raise ValueError(
            f"The model {model.name!r} returns {shape}, but scores (images, classes) were "
            f"expected: give the model with its classifier{of_maps if is_map else ''}; or score=, "
            "a function of that output."
        )
    return None


def _checked_region(region, map_size):
    if map_size is None:
        if region is not None:
            raise ValueError(
                "region belongs to models that return maps of classes: leave it out. Received: "
                f"region={region!r}"
            )
        return None
    region = (0, 0, *map_size) if region is None else tuple(region)
    top, left, bottom, right = region
    if not (0 <= top < bottom <= map_size[0] and 0 <= left < right <= map_size[1]):
        raise ValueError(
            "region must be (top, left, bottom, right) in pixels, inside the maps of "
            f"{map_size[0]}×{map_size[1]}. Received: region={region!r}"
        )
    return region


def _measure(score, map_size):
    if score is None:
        return PROBABILITY if map_size is None else SUMMED_PROBABILITY
    name = getattr(score, "__name__", "score")
    return "score" if name == "<lambda>" else name
