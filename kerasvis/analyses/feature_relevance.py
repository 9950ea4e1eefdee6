"""The images in which each feature map matters most to the decision, a complement to Figure 2.

A strongly active feature map may hardly affect the decision, and a weakly active one may decide it.
So images are also ranked by gradient × activation: what the feature map adds to the score of the
most probable class, to first order.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasvis.activations import LayerActivations, StrongestActivations, TopActivations
from kerasvis.activations.channel_maxima import ChannelMaxima, channel_maxima
from kerasvis.activations.forward_pass import ForwardPass
from kerasvis.activations.scan import Scan, progress_bar
from kerasvis.activations.scan_in_parts import ScanWorker
from kerasvis.analyses.explanation.decision_scores import DecisionScores
from kerasvis.arguments import (
    standardize_engine,
    standardize_images,
    standardize_layers,
    standardize_model,
    standardize_verbose,
)
from kerasvis.engines import Ray
from kerasvis.graph.activation_functions import without_activation
from kerasvis.graph.batch_function import BatchFunction
from kerasvis.graph.dependence import tensors_that_depend_on
from kerasvis.graph.differentiation import vector_jacobian_product
from kerasvis.graph.replaying import call_layer, replay


def find_top_relevances(
    model: keras.Model,
    layers: str | Sequence[str],
    images: Any,
    k: int = 9,
    *,
    output: str | int | None = None,
    batch_size: int = 16,
    steps: int | None = None,
    engine: Ray | None = None,
    verbose: str | int = "auto",
) -> TopActivations:
    """Finds the k images in which each feature map adds most to the score of the predicted class.

    The relevance of a feature map in an image is gradient × activation, summed over the feature
    map. The gradient is that of the score of the most probable class, before a softmax or sigmoid.
    This takes as long as about three forward passes, for all layers together.

    Args:
        model: a functional or Sequential `keras.Model` of scores; it is not changed.
        layers: names of layers on which the score depends, or one name.
        images: what `kerasvis.arguments.standardize_images` takes.
        k: number of images of each feature map.
        output: which of the model's outputs, see `kerasvis.graph.Scores`.
        batch_size: images per step.
        steps: maximum number of batches to read; required for data sets without a known end.
        engine: a `kerasvis.engines.Ray` to scan on the machines of a cluster; None to scan in this
            process.
        verbose: 1 shows a progress bar, 0 none; `"auto"` shows one on a terminal.

    Returns:
        A `TopActivations` whose values are relevances, in units of the score, and whose positions
        are those where gradient × activation is largest.

    Raises:
        ValueError: if a layer is unknown, the scores do not depend on it, or an image or a
            relevance is NaN or infinite.

    Reference:
        Achtibat et al. 2023, "From attribution maps to human-understandable explanations", on
        ranking by relevance. Deviation: gradient × activation replaces layer-wise relevance
        propagation. The two agree for ReLU models with a fixed pattern of active units.

    Example:
        >>> import keras
        >>> from keras import layers
        >>> import kerasvis as kv
        >>> model = keras.Sequential(
        ...     [keras.Input((32, 32, 3)), layers.Conv2D(4, 5, 4, activation="relu", name="a")]
        ...     + [layers.Flatten(), layers.Dense(8, activation="softmax")]
        ... )
        >>> images = kv.data.PlantedObjects(6, (32, 32))[:]
        >>> top = kv.analyses.find_top_relevances(model, "a", images, k=2, verbose=0)
        >>> top["a"].values.shape
        (4, 2)
    """
    layers, engine = standardize_layers(layers), standardize_engine(engine)
    model = standardize_model(model, images)
    scan = RelevanceScan(model, layers, k, output)
    source = standardize_images(model, images, batch_size=batch_size, steps=steps)
    with progress_bar("Relevance", source, standardize_verbose(verbose)) as on_progress:
        found = scan.run(source, engine=engine, on_progress=on_progress)
    return TopActivations(dict(zip(layers, found, strict=True)))


def num_shared(top: LayerActivations, other: LayerActivations) -> np.ndarray:
    """int64 `(features,)`: how many images of each feature map are in both rankings."""
    both = zip(top.image_indices, other.image_indices, strict=True)
    return np.array([len(np.intersect1d(a[a >= 0], b[b >= 0])) for a, b in both], "int64")


class RelevanceScan(Scan):
    """A scan of images for the most relevant ones of each feature map.

    Args:
        model: a functional or Sequential `keras.Model` of scores.
        layers: names of layers.
        k: number of images of each feature map.
        output: which of the model's outputs.
    """

    def __init__(self, model, layers, k, output=None):
        super().__init__(model, [(layer, MostRelevant(k)) for layer in layers])
        scores = DecisionScores(model, (), output)
        measurements = [(layer, MostRelevant.measure) for layer in layers]
        products = _products(scores, list(dict.fromkeys(layers)))
        self.forward_pass = ForwardPass(scores.model, measurements, products)
        self.nodes = scores.nodes
        self._k, self._output = k, output

    def worker(self):
        make_scan = functools.partial(
            RelevanceScan, layers=self.layers, k=self._k, output=self._output
        )
        return ScanWorker(self._model, None, make_scan)


def channel_sums(outputs: Any, layer: keras.layers.Layer) -> ChannelMaxima:
    """The sum of each feature map of a batch, and the position of its maximum.

    Args:
        outputs: tensor `(images, rows, columns, feature maps)` or `(images, units)`.
        layer: the layer that they belong to.
    """
    maxima = channel_maxima(outputs, layer)
    sums = outputs if len(outputs.shape) == 2 else ops.sum(outputs, axis=(1, 2))
    return ChannelMaxima(ops.cast(sums, "float32"), maxima.rows, maxima.columns)


class MostRelevant(StrongestActivations):
    """The k images with the largest sums of each feature map: a `LayerActivations`."""

    measure = staticmethod(channel_sums)


def _products(scores, layers):
    """A `BatchFunction` from images to activation × gradient of the highest score, by layer."""
    targets = [scores.graph.node(name).outputs[0] for name in layers]
    for name, number in zip(layers, targets, strict=True):
        above = tensors_that_depend_on(number, scores.nodes)
        if scores.tensor not in above - {number}:
            raise ValueError(
                f"The scores do not depend on layer {name!r}: give a layer below them. "
                f"Received: layers={list(layers)}"
            )

    def products(images):
        images = ops.convert_to_tensor(images, scores.model.inputs[0].dtype)
        inputs = {scores.graph.inputs[0]: images}
        activations = scores.replay(scores.graph.ancestors(targets), inputs)
        zeros = [ops.zeros_like(activations[number]) for number in targets]

        def highest(*added):
            return _highest_scores(scores, inputs, dict(zip(targets, added, strict=True)))

        ones = ops.ones((ops.shape(images)[0],), "float32")
        gradients = vector_jacobian_product(highest, zeros, ones)
        return [
            ops.cast(activations[number], "float32") * ops.cast(gradient, "float32")
            for number, gradient in zip(targets, gradients, strict=True)
        ]

    return BatchFunction(products, [scores.model])


def _highest_scores(scores, inputs, added):
    """The highest score of each image, with `added` added to the outputs of layers."""

    def call(node, args, kwargs):
        if node is scores.scored:
            node = dataclasses.replace(node, layer=without_activation(node.layer))
        outputs = keras.tree.flatten(call_layer(node, args, kwargs))
        if node.outputs[0] in added:
            outputs[0] = outputs[0] + added[node.outputs[0]]
        return outputs

    of_classes = ops.cast(replay(scores.nodes, inputs, call)[scores.tensor], "float32")
    of_classes = ops.reshape(of_classes, (-1, int(np.prod(of_classes.shape[1:]))))
    if of_classes.shape[1] == 1:  # the score of class 1; class 0 has its negative
        of_classes = ops.concatenate([-of_classes, of_classes], axis=1)
    return ops.max(of_classes, axis=1)
