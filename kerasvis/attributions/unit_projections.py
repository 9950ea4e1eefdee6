"""Attributes single units to the image by several methods, which share the forward pass."""

import numpy as np

from kerasvis.attributions.made_once import sharing, uncompiled
from kerasvis.attributions.methods import attribute, checked_maps, standardize_methods
from kerasvis.attributions.projections import deconvnet, gradient, guided
from kerasvis.deconvnet import DeconvModel
from kerasvis.deconvnet.targets import Unit

RECTIFICATION_OF = {deconvnet: "deconvnet", guided: "guided", gradient: "gradient"}


class UnitProjections:
    """Projects single units of a layer by several methods.

    The deconvnet, guided backpropagation and the gradient differ only in their rule for
    rectification. They share the forward pass, run in crops around the receptive fields if that
    saves work, and start at the activation. All other methods are called with whole images;
    gradients are compiled once for all calls.

    Args:
        deconv: a `DeconvModel` of the layer, with any rectification.
        methods: what `kerasvis.attributions.methods.standardize_methods` takes.
        rules: the rules of the `DeconvModel`, for methods that take rules.

    Attributes:
        deconv: as given.
        names: names of the methods, in order.
    """

    def __init__(self, deconv, methods, rules=()):
        self.deconv = deconv
        self._rules, self._made = rules, {}
        self._functions = standardize_methods(methods)
        self._rectifications = rectifications_among(self._functions)
        deconv.plans_by(tuple(self._rectifications.values()))

    @classmethod
    def of(cls, model, layer, methods, rules=()):
        """Creates the projections for a layer of a model.

        Raises:
            ValueError: if a method or the layer is unknown, or a layer below cannot be projected
                through.
        """
        among = rectifications_among(standardize_methods(methods))
        rectification = next(iter(among.values()), "gradient")  # which needs no rules
        # A fixed name: by default it contains the model's, which TensorFlow may reject.
        deconv = DeconvModel(model, layer, rectification, rules, name="deconvnet")
        return cls(deconv, methods, rules)

    @property
    def layer(self):
        """Name of the layer."""
        return self.deconv.layer

    @property
    def names(self):
        """Names of the methods, in order."""
        return tuple(self._functions)

    def check(self, image_size):
        """Tries each method that is called with whole images on a blank one, to fail early.

        Args:
            image_size: `(height, width)` in pixels.

        Raises:
            ValueError: if the method raises one, or does not return a map.
        """
        if len(self._rectifications) == len(self._functions):
            return
        image = np.zeros((1, *image_size, self.deconv.convnet.inputs[0].shape[-1]), "float32")
        position = [0] * (len(self.deconv.target_shape) - 1)
        with uncompiled():
            self._others(image, Unit(0, *position), None)

    def project_units(self, images, unit, image_numbers, batch_size=None):
        """Projects units, as `DeconvModel.project_units` does.

        Args:
            images: array `(images, rows, columns, channels)`.
            unit: `kerasvis.targets.Unit`.
            image_numbers: int `(units,)`, the image of each unit.
            batch_size: units per step.

        Returns:
            `{method: (parts, origins)}`: float32 `(units, height, width, channels)` and int32
            `(units, 2)`. A heat map has the same value in all channels.
        """
        found = {}
        if self._rectifications:
            parts, origins = self.deconv.project_units_by(
                tuple(self._rectifications.values()), images, unit, image_numbers, batch_size
            )
            found = {name: (parts[rule], origins) for name, rule in self._rectifications.items()}
        if len(found) < len(self._functions):
            with sharing(self._made):
                found |= self._others(images[image_numbers], unit, batch_size)
        return {name: found[name] for name in self._functions}

    def _others(self, images, unit, batch_size):
        """`{method: (maps, origins)}` for the methods that are called with whole images."""
        origins, found = np.zeros((len(images), 2), "int32"), {}
        for name, function in self._functions.items():
            if name not in self._rectifications:
                maps = attribute(
                    self.deconv.convnet,
                    self.layer,
                    images,
                    unit,
                    function,
                    rules=self._rules,
                    batch_size=batch_size,
                )
                maps = checked_maps(name, maps, images.shape)
                found[name] = np.broadcast_to(maps, images.shape), origins
        return found


def rectifications_among(functions):
    """`{name: rectification}` for the methods that are rules for rectification."""
    return {
        name: RECTIFICATION_OF[function]
        for name, function in functions.items()
        if function in RECTIFICATION_OF
    }
