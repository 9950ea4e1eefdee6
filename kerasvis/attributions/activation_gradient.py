"""The derivative of an activation with respect to the image, or to feature maps on the way to it.

Keras has no gradient that is the same on every backend. The backward projection with the gradient
as the rule for rectification is one: each mirror passes down the vector-Jacobian product of its
layer. Here the signal starts at 1, so that what arrives is the derivative itself; a `DeconvModel`
starts at the activation, and so returns the activation times that.
"""

import dataclasses

import keras
import numpy as np
import tqdm
from keras import ops

from kerasvis.deconvnet import DeconvModel, passes
from kerasvis.deconvnet.targets import WHOLE, Strongest, Unit, as_arrays
from kerasvis.deconvnet.whole_images import fitting_batch_size
from kerasvis.graph import read_graph
from kerasvis.graph.dependence import tensors_that_depend_on


class ActivationGradient(keras.Model):
    """Maps images and targets to the derivatives of the activations.

    Args:
        model: a functional or Sequential `keras.Model` with one input of images, channels last.
        layer: name of the layer whose activations are derived; a softmax or sigmoid there is left
            out, as in a `DeconvModel`.
        rectification: `"gradient"`, or `"guided"` for guided backpropagation.
        rules: pairs in front of the built-in rules; see `kerasvis.rules`.
        maps_layer: name of a layer below, whose first output is derived by; None for the image.

    Call arguments:
        inputs: a dict of tensors as those of a `DeconvModel`.

    Returns:
        A dict of tensors: `"gradient"`, of the shape of the images, or of `"maps"`, the outputs of
        `maps_layer`, which are there where it was given; and `"activation"` `(batch,)`, what is
        derived: of a whole map the sum.

    Raises:
        ValueError: as `DeconvModel`, or if the target does not depend on `maps_layer`.
    """

    def __init__(self, model, layer, rectification="gradient", rules=(), maps_layer=None):
        super().__init__(autocast=False)
        self.deconv = DeconvModel(model, layer, rectification, rules)
        plan = self.deconv.plan
        self._plan_to_maps = plan if maps_layer is None else plan_down_to(plan, model, maps_layer)
        self.built = True

    def call(self, inputs):
        images, features, positions = (inputs[key] for key in ("images", "feature", "position"))
        plan = self.deconv.plan
        tensors, switches = passes.forward(plan, images)
        target = tensors[plan.target]
        dtype = plan.steps[0].mirrors[0].compute_dtype
        activations = passes.with_positions(ops.cast(target, dtype))
        _, _, found = passes.choose(activations, features, positions)
        chosen = ops.where(ops.equal(positions, WHOLE), positions, found)
        start, _, _ = passes.choose(ops.ones_like(activations), features, chosen)
        signal = ops.reshape(start, ops.shape(target))
        outputs = {
            "gradient": passes.project(self._plan_to_maps, signal, tensors, switches),
            "activation": ops.sum(start * activations, axis=(1, 2, 3)),
        }
        if self._plan_to_maps is not plan:
            outputs["maps"] = ops.cast(tensors[self._plan_to_maps.image], dtype)
        return outputs

    def check_images(self, images):
        """Refuses images that do not fit the model; returns them as an array."""
        return self.deconv.check_images(images)

    def derive(self, images, target, batch_size=None, verbose=0):
        """Derives the chosen activation of every image.

        Args:
            images: array `(images, rows, columns, channels)`, as the model takes them.
            target: `kerasvis.targets.Unit`, `Strongest` or `WholeMap`.
            batch_size: images in a step; chosen from their size by default.
            verbose: whether a progress bar is shown, where there are several steps.

        Returns:
            A dict of float32 arrays, as the model returns it.

        Raises:
            ValueError: if images or target do not fit the model, or there is no image.
        """
        images = self.check_images(images)
        if len(images) == 0:
            raise ValueError(f"Images of shape {images.shape} came: give at least one image.")
        batch_size = batch_size or fitting_batch_size(images.shape)
        inputs = self.inputs_for(images, target)
        is_quiet = not verbose or len(images) <= batch_size
        begins = tqdm.trange(0, len(images), batch_size, desc="Gradients", disable=is_quiet)
        # Batch by batch: `predict` takes longer to start than a small batch to run.
        parts = [
            self.predict_on_batch({k: v[i : i + batch_size] for k, v in inputs.items()})
            for i in begins
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def inputs_for(self, images, target):
        """The dict that the model takes, for images and a target that are checked here."""
        features, positions = as_arrays(target, len(images), self.deconv.target_shape)
        return {"images": images, "feature": features, "position": positions}

    def fixed(self, images, target, batch_size=None):
        """The target with the strongest unit of every image as that unit, wherever it is then."""
        if not isinstance(target, Strongest):
            return target
        _, positions = self.deconv.locate(images, target.feature, batch_size)
        return Unit(target.feature, *positions.T)


def plan_down_to(plan, model, maps_layer):
    """The plan of a projection to the output of a layer between the image and the target."""
    number = read_graph(model).node(maps_layer).outputs[0]
    above = tensors_that_depend_on(number, plan.nodes) - {number}
    if plan.target not in above:
        raise ValueError(
            f"The target in layer {plan.layer!r} does not depend on {maps_layer!r}: give a layer "
            "between the image and the target."
        )
    steps = tuple(step for step in plan.steps if above.intersection(step.node.outputs))
    return dataclasses.replace(plan, image=number, steps=steps)
