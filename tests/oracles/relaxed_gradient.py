"""The relaxed rules as the gradient of a net whose layers have other gradients.

Written from the sentences in which `kerasvis.rules` states its departures from the paper, not from
its code, to be given as `exchange=` to `tests.oracles.modified_gradient.project`:

- smooth and leaky activations are rectified as a ReLU is: `relu(signal)`;
- the gate in a product of several signals is held constant;
- layer, group, unit and RMS normalization pass the signal unchanged;
- the weights of attention are held constant;
- all others pass their derivative, as TensorFlow has it.
"""

import functools

import tensorflow as tf
from keras import layers

SMOOTH = {
    *("silu", "swish", "gelu", "hardsilu", "hardswish", "mish", "elu", "celu", "selu"),
    *("softplus", "squareplus", "leakyrelu", "prelu", "quickgelu"),
}
NORMALIZATIONS = (
    *(layers.LayerNormalization, layers.GroupNormalization, layers.UnitNormalization),
    layers.RMSNormalization,
)
ATTENTION = (layers.MultiHeadAttention, layers.GroupQueryAttention)


def exchange(operation):
    """Gives an operation the gradient of its relaxed rule; returns whether there is one."""
    activation = getattr(operation, "activation", None)
    if _plain(type(operation).__name__) in SMOOTH:
        operation.call = functools.partial(_rectified, operation.call)
    elif _plain(getattr(activation, "__name__", "")) in SMOOTH:
        operation.activation = functools.partial(_rectified, activation)
    elif type(operation).__name__ == "Multiply":
        operation.call = functools.partial(_product, gates_of(operation))
    elif isinstance(operation, NORMALIZATIONS):
        operation.call = functools.partial(_passing_unchanged, operation.call)
    elif isinstance(operation, ATTENTION):
        operation.call = functools.partial(_with_constant_weights, operation.call)
    else:
        return False
    return True


def _plain(name):
    return name.lower().replace("_", "")


def _rectified(function, inputs, **kwargs):
    return tf.custom_gradient(lambda x: (function(x, **kwargs), tf.nn.relu))(inputs)


def _passing_unchanged(call, inputs, **kwargs):
    values = call(inputs, **kwargs)  # outside, so that weights are no matter of the gradient
    return tf.custom_gradient(lambda x: (values, lambda signal: signal))(inputs)


def _with_constant_weights(call, query, value, key=None, **kwargs):
    key = value if key is None else key
    return call(tf.stop_gradient(query), value, tf.stop_gradient(key), **kwargs)


def _product(gates, *operands):
    factors = operands[0] if isinstance(operands[0], list | tuple) else operands
    product = 1
    for number, factor in enumerate(factors):
        factor = tf.convert_to_tensor(
            factor, factors[0].dtype if tf.is_tensor(factors[0]) else None
        )
        product = product * (tf.stop_gradient(factor) if number in gates else factor)
    return product


def gates_of(operation):
    """Which operands of a product in a graph are gates, by their numbers.

    Those with fewer positions than another; else one that is computed from the other; else one that
    ends in a sigmoid.
    """
    call = operation._inbound_nodes[0]
    operands = call.arguments.args[0] if len(call.arguments.args) == 1 else call.arguments.args
    tensors = {n: x for n, x in enumerate(operands) if hasattr(x, "_keras_history")}
    if len(tensors) < 2:
        return set()
    positions = {n: _num_positions(x) for n, x in tensors.items()}
    gates = {n for n in tensors if positions[n] < max(positions.values())}
    return gates or _only_some(tensors, _is_computed_from) or _only_some(tensors, _ends_in_sigmoid)


def _num_positions(tensor):
    return sum(size != 1 for size in tensor.shape[1:])


def _only_some(tensors, is_gate):
    found = {
        n for n, x in tensors.items() if is_gate(x, [y for y in tensors.values() if y is not x])
    }
    return found if len(found) < len(tensors) else set()


def _is_computed_from(tensor, others):
    return any(other is below for other in others for below in _everything_below(tensor))


def _ends_in_sigmoid(tensor, others):
    operation = tensor._keras_history.operation
    name = getattr(getattr(operation, "activation", None), "__name__", type(operation).__name__)
    return _plain(name) in ("sigmoid", "hardsigmoid", "softmax")


def _everything_below(tensor):
    found, left = [], [tensor]
    while left:
        operation, index, _ = left.pop()._keras_history
        for below in operation._inbound_nodes[index].input_tensors:
            if not any(below is x for x in found):
                found.append(below)
                left.append(below)
    return found
