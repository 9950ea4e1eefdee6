"""Exact gradients of smooth activation functions, as rules for nets that have them.

The built-in rules know ReLUs alone, since no other activation has a deconvnet. A gradient any
activation has; those below can be had from what the activation returned.

Example:
    >>> import keras, numpy as np
    >>> import kerasvis as kv
    >>> model = keras.Sequential(
    ...     [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, activation="tanh", name="a")]
    ... )
    >>> images = np.ones((2, 8, 8, 3), "float32")
    >>> rules = kv.attributions.SMOOTH_RULES
    >>> kv.attribute(model, "a", images, kv.targets.Strongest(3), "gradient", rules=rules).shape
    (2, 8, 8, 3)
"""

import keras
from keras import ops

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def _rule(derivative):
    """The rule of an activation with `derivative(output)`."""

    def project(layer, signal, record):
        return signal * derivative(ops.cast(record.outputs[0], signal.dtype))

    return project


def _selu_derivative(output):
    return ops.where(output > 0, SELU_SCALE, output + SELU_SCALE * SELU_ALPHA)


SMOOTH_RULES = (
    (keras.activations.softplus, _rule(lambda output: -ops.expm1(-output))),
    (keras.activations.tanh, _rule(lambda output: 1 - ops.square(output))),
    (keras.activations.sigmoid, _rule(lambda output: output * (1 - output))),
    (keras.activations.elu, _rule(lambda output: ops.where(output > 0, 1.0, output + 1))),
    (keras.activations.selu, _rule(_selu_derivative)),
    (keras.activations.exponential, _rule(lambda output: output)),
)
