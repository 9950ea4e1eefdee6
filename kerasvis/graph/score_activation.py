"""Finds what turns a model's output into probabilities, from its last layers or from its values.

Values that are not negative and sum to 1 are probabilities. Values that each lie in [0, 1] are
independent probabilities. All others are logits. Images far outside the usual range distinguish
probabilities from a weighted sum whose values happen to lie in [0, 1].
"""

import keras
import numpy as np
from keras import layers, ops

from kerasvis.graph.identities import IDENTITIES

LINEAR, SOFTMAX, SIGMOID, EXPONENTIAL = "linear", "softmax", "sigmoid", "exponential"
FUNCTIONS = {
    LINEAR: lambda values: values,
    SOFTMAX: ops.softmax,
    SIGMOID: ops.sigmoid,
    EXPONENTIAL: ops.exp,
}

# How far values may lie outside [0, 1], and sums from 1, by the least precise dtype of the model.
TOLERANCES = {"bfloat16": 3e-2, "float16": 5e-3, "float32": 1e-4}

FAR = (30, 1e6)  # times the range of the images; 1e6 is infinite in half precision

_BY_FUNCTION = {
    keras.activations.softmax: LINEAR,
    keras.activations.sigmoid: LINEAR,
    keras.activations.hard_sigmoid: LINEAR,
    keras.activations.sparse_sigmoid: LINEAR,
    keras.activations.sparsemax: LINEAR,
    keras.activations.log_softmax: SOFTMAX,  # softmax(log p) is p
    keras.activations.log_sigmoid: EXPONENTIAL,
}
_BY_OPERATION = {
    **dict.fromkeys(["Softmax", "Sigmoid", "HardSigmoid", "SparseSigmoid", "Sparsemax"], LINEAR),
    "LogSoftmax": SOFTMAX,
    "LogSigmoid": EXPONENTIAL,
}

# Exactly these types: a subclass may do something else after its activation.
_WEIGHTED_SUMS = (
    *(layers.Dense, layers.EinsumDense, layers.Conv1D, layers.Conv2D, layers.Conv2DTranspose),
    *(layers.DepthwiseConv2D, layers.SeparableConv2D),
)
_PASSING_ON = (*IDENTITIES, layers.Flatten, layers.Permute, layers.Reshape)
_PASSING_ON_OPERATIONS = ("Cast", "ExpandDims", "Reshape", "Squeeze", "Transpose")


def known_activation(graph, output):
    """The activation that turns an output into probabilities; None if the last layer does not show.

    Args:
        graph: the model's `Graph`.
        output: number of the output tensor.
    """
    layer = _last_node(graph, output).layer
    if _is_operation(layer):
        return _BY_OPERATION.get(type(layer).__name__)
    if type(layer) is layers.Softmax:
        return LINEAR
    is_known = type(layer) in (*_WEIGHTED_SUMS, layers.Activation)
    return _BY_FUNCTION.get(layer.activation) if is_known else None


def ends_in_weighted_sum(graph, output):
    """Whether an output comes from a dense layer or a convolution without an activation."""
    layer = _last_node(graph, output).layer
    is_linear = getattr(layer, "activation", None) in (None, keras.activations.linear)
    return type(layer) in _WEIGHTED_SUMS and is_linear


def _last_node(graph, output):
    """The last node that computes values; nodes that only reshape or cast are skipped."""
    (node,) = (node for node in graph.nodes if output in node.outputs)
    passes_on = isinstance(node.layer, _PASSING_ON) or (
        _is_operation(node.layer) and node.type_name in _PASSING_ON_OPERATIONS
    )
    below = set(node.inputs).difference(graph.inputs)
    return _last_node(graph, *below) if passes_on and len(below) == 1 else node


def _is_operation(layer):
    return type(layer).__module__.startswith("keras.src.ops.")


def activation_of_values(values, tolerance, is_weighted_sum=False):
    """The activation that turns values of several images into probabilities.

    Args:
        values: float `(images, ..., units)`; images with a NaN are left out.
        tolerance: see `TOLERANCES`.
        is_weighted_sum: whether they come from a layer without activation, so that they count as
            probabilities only if they sum to 1.
    """
    values = values[~np.isnan(values).any(axis=tuple(range(1, values.ndim)))]
    num_units = values.shape[-1]
    if are_inside(values, tolerance) and len(values):
        sums_to_one = num_units > 1 and np.abs(values.sum(axis=-1) - 1).max() <= tolerance
        if sums_to_one or not is_weighted_sum:
            return LINEAR
    return SIGMOID if num_units == 1 else SOFTMAX


def are_inside(values, tolerance):
    """Whether all values lie in [0, 1], within the tolerance."""
    return bool(
        np.min(values, initial=0) >= -tolerance and np.max(values, initial=1) <= 1 + tolerance
    )


def tolerance_of(nodes):
    """The tolerance for probabilities that these nodes compute."""
    dtypes = {getattr(node.layer, "compute_dtype", "float32") for node in nodes}
    return next(
        tolerance for dtype, tolerance in TOLERANCES.items() if dtype in {*dtypes, "float32"}
    )


def probe_images(images, seed=0):
    """Images for testing a model's output: the given ones, a black and a grey one, and noise.

    Args:
        images: float `(images, rows, columns, channels)`; the others lie in their range, which is
            [0, 255] if there are none.

    Returns:
        Float32 `(images + 3, rows, columns, channels)`.
    """
    low, high = _range_of(images)
    noise = np.random.default_rng(seed).uniform(low, high, images.shape[1:])
    plain = [np.full_like(noise, value) for value in (0, (low + high) / 2)]
    return np.concatenate([images, np.stack([*plain, noise])]).astype("float32")


def far_images(images, seed=0):
    """Noise far outside the range of images, for testing if outputs are bounded."""
    low, high = _range_of(images)
    rng = np.random.default_rng(seed)
    reaches = [sign * far * (high - low) for far in FAR for sign in (-1, 1)]
    return np.stack([reach * rng.random(images.shape[1:]) for reach in reaches]).astype("float32")


def _range_of(images):
    low, high = (images.min(), images.max()) if len(images) else (0.0, 255.0)
    return (low, high) if 0 < high - low < np.inf else (0.0, 255.0)
