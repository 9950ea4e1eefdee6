"""The derivative of an activation with respect to the image, or to feature maps below it.

The backend differentiates, so this works for any layer and for models without a graph of layers.
Guided backpropagation is not a derivative of the model: it is the deconvnet's backward projection
with another rule for rectification. Here its signal starts at 1.
"""

import abc
from typing import Any

import keras
import numpy as np
import tqdm
from keras import ops

from kerasvis.deconvnet import DeconvModel, passes
from kerasvis.deconvnet.check_images import check_images
from kerasvis.deconvnet.start import Start
from kerasvis.deconvnet.targets import Strongest, Unit, as_arrays
from kerasvis.deconvnet.whole_images import fitting_batch_size
from kerasvis.graph import read_graph
from kerasvis.graph.batch_function import BatchFunction
from kerasvis.graph.dependence import tensors_that_depend_on
from kerasvis.graph.differentiation import output_and_pullback
from kerasvis.graph.replaying import replay
from kerasvis.graph.replicas import predict_undivided


class _OfActivations(abc.ABC):
    """Base of what maps images and targets to arrays of the shape of the images.

    Args:
        convnet: the model that the images belong to.
        target_shape: of the layer's output, without the batch.

    Attributes:
        fills_batches: whether a single small batch is filled as well: for many calls, each with a
            number of its own.
    """

    def __init__(self, convnet, target_shape):
        self._convnet, self._target_shape = convnet, target_shape
        self.fills_batches = False
        self._refusal = None  # the sentence that a call is refused with
        self._function = BatchFunction(self._arrays, [convnet])

    def check_images(self, images: Any) -> np.ndarray:
        """Returns the images as an array; raises a ValueError if they do not fit the model."""
        return check_images(self._convnet, images)

    def predict_on_batch(self, inputs: Any) -> dict[str, np.ndarray]:
        """The arrays of a batch, from what `inputs_for` returns."""
        try:
            return predict_undivided(self._function, inputs)
        except ValueError:
            if self._refusal is None:
                raise
        raise ValueError(self._refusal)  # without what Keras adds to it

    @abc.abstractmethod
    def _arrays(self, inputs):
        """The tensors of the arrays, from those of `inputs_for`."""

    def derive(self, images, target, batch_size=None, verbose=0):
        """Differentiates the chosen activation of every image.

        Args:
            images: array `(images, rows, columns, channels)`, as the model takes them.
            target: `kerasvis.targets.Unit`, `Strongest` or `WholeMap`.
            batch_size: images per step; by default chosen from their size.
            verbose: whether a progress bar is shown if there are several steps.

        Returns:
            A dict of arrays, as the class returns it.

        Raises:
            ValueError: if images or target do not fit the model, or there are no images.
        """
        images = self.check_images(images)
        if len(images) == 0:
            raise ValueError(f"Give at least one image. Received: images of shape {images.shape}")
        batch_size = batch_size or fitting_batch_size(images.shape)
        inputs = self.inputs_for(images, target)
        is_quiet = not verbose or len(images) <= batch_size
        begins = tqdm.trange(0, len(images), batch_size, desc="Gradients", disable=is_quiet)
        # Batch by batch: `predict` takes longer to start than a small batch to run. The last image
        # is repeated until the last batch is as large as the others: it is compiled for one size.
        number = len(images)
        if number % batch_size and (number > batch_size or self.fills_batches):
            rows = np.minimum(np.arange(-(-number // batch_size) * batch_size), number - 1)
            inputs = {name: values[rows] for name, values in inputs.items()}
        parts = [
            self.predict_on_batch({k: v[i : i + batch_size] for k, v in inputs.items()})
            for i in begins
        ]
        return {name: np.concatenate([part[name] for part in parts])[:number] for name in parts[0]}

    def inputs_for(self, images, target):
        """Checks images and target; returns the dict that `predict_on_batch` takes."""
        features, positions = as_arrays(target, len(images), self._target_shape)
        return {"images": images, "feature": features, "position": positions}

    def fixed(self, images, target, batch_size=None):
        """The target, with `Strongest` replaced by the `Unit` that is strongest in each image."""
        if not isinstance(target, Strongest):
            return target
        positions = self.derive(images, target, batch_size)["position"]
        return Unit(target.feature, *([] if len(self._target_shape) == 1 else positions.T))


class ActivationGradient(_OfActivations):
    """Maps images and targets to derivatives of the activations.

    Args:
        model: a functional or Sequential `keras.Model` with one input of images, channels last; or
            a `OneNodeModel` around one without a graph.
        layer: name of the layer whose activations are differentiated; a softmax or sigmoid at that
            layer is left out, as in a `DeconvModel`.
        maps_layer: name of a layer below; activations are differentiated with respect to its first
            output. None for the image.

    Returns:
        A dict of arrays: `"gradient"`, of the shape of the images, or of `"maps"` if `maps_layer`
        was given; `"maps"`, the outputs of `maps_layer`, only if it was given; `"activation"`
        `(batch,)`, the value that was differentiated (for a whole feature map, the sum); and
        `"position"` int32 `(batch, 2)`, of the unit.

    Raises:
        ValueError: if the layer is unknown, does not depend on the image or on `maps_layer`, or
            returns neither feature maps nor units; in a call, if no derivative is defined.
    """

    def __init__(self, model, layer, maps_layer=None):
        graph = read_graph(model)
        start = Start.of(model, graph, layer)
        super().__init__(model, start.target_shape)
        self._start, self._layer = start, layer
        self._has_maps = maps_layer is not None
        self._number = (
            graph.inputs[0]
            if maps_layer is None
            else graph.node(maps_layer, "maps_layer").outputs[0]
        )
        above = tensors_that_depend_on(self._number, start.nodes) - {self._number}
        if start.target not in above:
            raise ValueError(
                f"The target in layer {layer!r} does not depend on {maps_layer!r}: give a layer "
                f"between the image and the target. Received: maps_layer={maps_layer!r}"
            )
        self._below = [node for node in start.nodes if not above.intersection(node.outputs)]
        self._above = [node for node in start.nodes if above.intersection(node.outputs)]
        self._image_dtype = keras.backend.standardize_dtype(model.inputs[0].dtype)

    def _arrays(self, inputs):
        dtype = "float64" if keras.config.floatx() == "float64" else "float32"
        images = ops.cast(inputs["images"], self._image_dtype)
        tensors = replay(self._below, {self._start.image: images}, self._start.call)
        maps = ops.cast(tensors[self._number], dtype)

        def function(maps):
            above = replay(self._above, {**tensors, self._number: maps}, self._start.call)
            return passes.with_positions(ops.cast(above[self._start.target], dtype))

        activations, pullback = output_and_pullback(function, [maps])
        signal, position = passes.ones_at(activations, inputs["feature"], inputs["position"])
        (gradient,) = pullback(signal)
        if gradient is None:
            self._refusal = (
                f"The activations of {self._layer!r} have no derivative with respect to what lies "
                "below, since integers or a constant lie between: give a model without them. "
                f"Received: layer={self._layer!r}"
            )
            raise ValueError(self._refusal)
        activation = ops.sum(signal * activations, axis=(1, 2, 3))
        outputs = {"gradient": gradient, "activation": activation, "position": position}
        return outputs | {"maps": maps} if self._has_maps else outputs


class GuidedGradient(_OfActivations):
    """Maps images and targets to guided backpropagation, with a signal that starts at 1.

    Args:
        model, layer, rules: as for a `DeconvModel`.

    Returns:
        A dict of arrays, as from an `ActivationGradient`.

    Raises:
        ValueError: as `DeconvModel`.
    """

    def __init__(self, model, layer, rules=()):
        deconv = DeconvModel(model, layer, "guided", rules)
        super().__init__(model, deconv.target_shape)
        self._plan = deconv.plan

    def _arrays(self, inputs):
        tensors, switches = passes.forward(self._plan, inputs["images"])
        target = tensors[self._plan.target]
        dtype = self._plan.steps[0].mirrors[0].compute_dtype
        activations = passes.with_positions(ops.cast(target, dtype))
        signal, position = passes.ones_at(activations, inputs["feature"], inputs["position"])
        start = ops.reshape(signal, ops.shape(target))
        return {
            "gradient": passes.project(self._plan, start, tensors, switches),
            "activation": ops.sum(signal * activations, axis=(1, 2, 3)),
            "position": position,
        }
