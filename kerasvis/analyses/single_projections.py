"""The deconvnet for analyses that project a few feature maps of one image after the other."""

import keras

from kerasvis.deconvnet import DeconvModel


def deconv_or_reason(model, layer, rules):
    """A `DeconvModel` that compiles nothing, where it can be had.

    Args:
        model, rules: see `DeconvModel`.
        layer: name of the layer, or None if there is none to project.

    Returns:
        `(the model, "")`, or `(None, why there is none)`.
    """
    if layer is None:
        return None, f"No feature map is watched, as {model.name!r} has no convolution layer."
    try:
        deconv = DeconvModel(model, layer, rules=rules)
    except ValueError as error:  # a layer that cannot be projected through
        return None, str(error)
    deconv.run_eagerly = keras.backend.backend() != "jax"  # which would compile each operation
    return deconv, ""
