"""Exact gradients of smooth activation functions, as rules for nets that have them.

The built-in rules know ReLUs alone, since no other activation has a deconvnet. A gradient any
activation has; those below can be had from what the activation returned.

Example:
    attribute("gradient", model, "conv5", images, target, rules=SMOOTH_RULES)
"""

import keras
from keras import ops

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def _rule(derivative):
    """The rule of an activation with `derivative(output)`."""

    def pass_down(layer, signal, record):
        return signal * derivative(ops.cast(record.outputs[0], signal.dtype))

    return pass_down


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
