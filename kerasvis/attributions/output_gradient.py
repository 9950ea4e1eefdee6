"""Derivatives of a model's outputs by the backend's own differentiation, where no graph is known.

A graph of layers is mirrored rule by rule (`activation_gradient.py`), which also tells where a
derivative goes. A subclassed model is one layer, and its outputs can be derived as a whole. Nothing
is left out there: of a model that ends in a softmax, probabilities are derived.
"""

import keras
import numpy as np
import tqdm
from keras import ops

from kerasvis.arguments import standardize_images
from kerasvis.attributions.activation_gradient import ActivationGradient
from kerasvis.deconvnet import passes
from kerasvis.deconvnet.targets import WHOLE, Strongest, Unit, as_arrays
from kerasvis.deconvnet.whole_images import fitting_batch_size
from kerasvis.graph import FeatureExtractor, OneNodeModel


def activation_gradient(model, layer, rules=()):
    """The derivatives of a layer's activations: an `ActivationGradient`, or an `OutputGradient`."""
    if isinstance(model, OneNodeModel):
        return OutputGradient(model, layer)
    return ActivationGradient(model, layer, "gradient", rules)


class OutputGradient:
    """Maps images and targets to the derivatives of an output, as an `ActivationGradient` does.

    Args:
        model: a `OneNodeModel`.
        layer: name of one of its layers.

    Raises:
        ValueError: if there is no such layer, or it returns neither feature maps nor units.
    """

    def __init__(self, model, layer):
        self._model, self._layer = model, layer
        self._extractor = FeatureExtractor(model, [layer])
        self._dtype = keras.backend.standardize_dtype(model.inputs[0].dtype)
        output = keras.Model(model.inputs, model.get_layer(layer).output)
        self._shape = tuple(output.output_shape[1:])
        if len(self._shape) not in (1, 3):
            raise ValueError(
                f"The output {layer!r} has the shape {(None, *self._shape)}: give one of units "
                f"(batch, units) or feature maps (batch, rows, columns, features). Received: "
                f"layer={layer!r}"
            )

    def check_images(self, images):
        """Refuses images that do not fit the model; returns them as an array."""
        return standardize_images(self._model, images).all()

    def derive(self, images, target, batch_size=None, verbose=0):
        """Derives the chosen activation of every image: see `ActivationGradient.derive`.

        Raises:
            ValueError: if the output does not depend on the image in a way that can be derived.
        """
        images = self.check_images(images)
        features, positions = as_arrays(target, len(images), self._shape)
        batch_size = batch_size or fitting_batch_size(images.shape)
        is_quiet = not verbose or len(images) <= batch_size
        parts = []
        for i in tqdm.trange(0, len(images), batch_size, desc="Gradients", disable=is_quiet):
            batch = slice(i, i + batch_size)
            parts.append(self._derive(images[batch], features[batch], positions[batch]))
        gradients, activations = zip(*parts, strict=True)
        return {"gradient": np.concatenate(gradients), "activation": np.concatenate(activations)}

    def fixed(self, images, target, batch_size=None):
        """The target with the strongest unit of every image as that unit, wherever it is then."""
        if not isinstance(target, Strongest):
            return target
        images = self.check_images(images)
        features, positions = as_arrays(target, len(images), self._shape)
        batch_size = batch_size or fitting_batch_size(images.shape)
        found = [
            self._choose(self._tensor(images[i : i + batch_size]), features[i:], positions[i:])[2]
            for i in range(0, len(images), batch_size)
        ]
        found = np.concatenate([ops.convert_to_numpy(part) for part in found])
        return Unit(target.feature, *([] if len(self._shape) == 1 else found.T))

    def _derive(self, images, features, positions):
        def function(images):
            start, activations, _ = self._choose(images, features, positions)
            chosen = ops.sum(start * activations, axis=(1, 2, 3))
            return ops.sum(chosen), chosen

        gradient, activation = _DIFFERENTIATE[keras.backend.backend()](
            function, self._tensor(images)
        )
        if gradient is None:
            raise ValueError(
                f"The output {self._layer!r} of {self._model.name!r} cannot be derived by its "
                "images, as whole numbers or a constant lie between: give a model without them. "
                f"Received: layer={self._layer!r}"
            )
        return ops.convert_to_numpy(gradient), ops.convert_to_numpy(activation)

    def _tensor(self, images):
        return ops.convert_to_tensor(images, self._dtype)

    def _choose(self, images, features, positions):
        """1 at the chosen units, all activations, and the positions of the chosen ones."""
        features, positions = features[: len(images)], positions[: len(images)]
        (outputs,) = self._extractor(images)
        activations = passes.with_positions(ops.cast(outputs, "float32"))
        _, _, found = passes.choose(activations, features, positions)
        found = ops.where(ops.equal(positions, WHOLE), positions, found)
        start, _, _ = passes.choose(ops.ones_like(activations), features, found)
        return start, activations, found


def _by_tensorflow(function, images):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(images)
        total, chosen = function(images)
    return tape.gradient(total, images), chosen


def _by_torch(function, images):
    import torch

    images = images.detach().requires_grad_()
    total, chosen = function(images)
    return torch.autograd.grad(total, images)[0], chosen.detach()


def _by_jax(function, images):
    import jax

    return jax.grad(function, has_aux=True)(images)


_DIFFERENTIATE = {"tensorflow": _by_tensorflow, "torch": _by_torch, "jax": _by_jax}
