"""How a layer works on windows of its input, instead of the whole input.

The table tells for each layer type which input values a window of the output reads, which value
lies outside the border, and how the output is computed from the values that were read. A pointwise
layer needs no rule. All other layers have none: from there on, whole feature maps are computed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers, ops

from kerasvis.graph.activation_functions import fused_activation, keeps_positions
from kerasvis.graph.crops import depends_on_position
from kerasvis.graph.layer_kinds import kind_of
from kerasvis.graph.span_rules import is_pointwise
from kerasvis.layers import MaxPooling2DWithSwitches
from kerasvis.layers.window_geometry import kernel_extent, padding_before
from kerasvis.occlusion.affected_windows import Reads


class WindowRule(NamedTuple):
    """How one call of a layer works on windows.

    Attributes:
        reads: `(Reads along rows, Reads along columns)`; None for a pointwise layer, which is
            called on the windows directly.
        outside: value beyond the border.
        run: `run(values, is_inside)` computes the windows above from the values read, `(positions,
            rows, columns, channels)`; `is_inside`, `(positions, rows, columns, 1)`, is 1 for values
            that are not padding.
    """

    reads: tuple[Reads, Reads] | None = None
    outside: float = 0.0
    run: Callable[[Any, Any], Any] | None = None


def window_rule(node, shapes, fixed=()):
    """The `WindowRule` of a node, or the end of a sentence that says why there is none.

    Args:
        node: a `kerasvis.graph.Node`.
        shapes: `{tensor number: shape}`.
        fixed: numbers of tensors that do not depend on the image.
    """
    if any(len(shapes[n]) != 4 for n in (*node.inputs, *node.outputs)):
        return "its input or output is not a stack of feature maps"
    if depends_on_position(node):
        return "it treats equal values at two locations differently"
    if not keeps_positions(fused_activation(node.layer)):
        return "its activation mixes positions"
    kind = kind_of(node.layer)
    if kind in _RULES and len(node.inputs) == 1:
        return _RULES[kind](node, shapes[node.inputs[0]])
    if not is_pointwise(node):
        return "it may read any location of its input"
    spread = [n for n in node.inputs if n in fixed and shapes[n][1:3] == (1, 1)]
    if spread and isinstance(node.layer, layers.Concatenate):
        return "it joins a tensor without rows and columns"
    if len({shapes[n][1:3] for n in {*node.inputs, *node.outputs}.difference(spread)}) > 1:
        return "it spreads its input over more locations"
    return WindowRule()


def num_operations_per_location(node, num_channels):
    """Multiplications (or comparisons) for one location of all feature maps that a node returns.

    Args:
        node: a `kerasvis.graph.Node`.
        num_channels: number of feature maps that it returns.
    """
    layer = node.layer
    if kernels := [weight for weight in getattr(layer, "weights", ()) if len(weight.shape) > 1]:
        return sum(int(np.prod(kernel.shape)) for kernel in kernels)
    return int(np.prod(getattr(layer, "pool_size", 1))) * num_channels


def _convolution(node, shape):
    layer = node.layer

    def run(values, is_inside):
        values, kernel = _cast(layer, values, layer.kernel)
        outputs = ops.conv(
            values, kernel, layer.strides, "valid", "channels_last", layer.dilation_rate
        )
        return _activated(layer, outputs)

    return WindowRule(_convolution_reads(node, shape), run=run)


def _depthwise_convolution(node, shape):
    layer = node.layer

    def run(values, is_inside):
        values, kernel = _cast(layer, values, layer.kernel)
        outputs = ops.depthwise_conv(
            values, kernel, layer.strides, "valid", "channels_last", layer.dilation_rate
        )
        return _activated(layer, outputs)

    return WindowRule(_convolution_reads(node, shape), run=run)


def _separable_convolution(node, shape):
    layer = node.layer

    def run(values, is_inside):
        tensors = _cast(layer, values, layer.depthwise_kernel, layer.pointwise_kernel)
        outputs = ops.separable_conv(
            *tensors, layer.strides, "valid", "channels_last", layer.dilation_rate
        )
        return _activated(layer, outputs)

    return WindowRule(_convolution_reads(node, shape), run=run)


def _max_pooling(node, shape):
    layer = node.layer

    def run(values, is_inside):
        return ops.max_pool(values, layer.pool_size, layer.strides, "valid", "channels_last")

    return WindowRule(_pooling_reads(node, shape), outside=-np.inf, run=run)


def _max_pooling_with_switches(node, shape):
    layer = node.layer
    pooling = MaxPooling2DWithSwitches(layer.pool_size, layer.strides, dtype=layer.dtype_policy)
    return WindowRule(
        _pooling_reads(node, shape), outside=-np.inf, run=lambda values, is_inside: pooling(values)
    )


def _average_pooling(node, shape):
    layer = node.layer

    def mean(values):
        return ops.average_pool(values, layer.pool_size, layer.strides, "valid", "channels_last")

    def run(values, is_inside):
        # Keras leaves padding out of the mean.
        return mean(values) if layer.padding == "valid" else mean(values) / mean(is_inside)

    return WindowRule(_pooling_reads(node, shape), run=run)


def _zero_padding(node, shape):
    (top, _), (left, _) = node.layer.padding
    reads = Reads(pad_before=top), Reads(pad_before=left)
    return WindowRule(reads, run=lambda values, is_inside: values)


def _cropping(node, shape):
    (top, _), (left, _) = node.layer.cropping
    reads = Reads(pad_before=-top), Reads(pad_before=-left)
    return WindowRule(reads, run=lambda values, is_inside: values)


def _convolution_reads(node, shape):
    layer = node.layer
    extents = map(kernel_extent, layer.kernel_size, layer.dilation_rate)
    return _sliding_reads(node, shape, tuple(extents))


def _pooling_reads(node, shape):
    return _sliding_reads(node, shape, node.layer.pool_size)


def _sliding_reads(node, shape, extents):
    return tuple(
        Reads(extent, stride, padding_before(length, extent, stride, node.layer.padding))
        for length, extent, stride in zip(shape[1:3], extents, node.layer.strides, strict=True)
    )


def _cast(layer, *tensors):
    return [ops.cast(ops.convert_to_tensor(x), layer.compute_dtype) for x in tensors]


def _activated(layer, outputs):
    if layer.use_bias:
        outputs = outputs + _cast(layer, layer.bias)[0]
    return outputs if layer.activation is None else layer.activation(outputs)


# These types exactly: a subclass may do something else.
_RULES = {
    keras.layers.Conv2D: _convolution,
    layers.DepthwiseConv2D: _depthwise_convolution,
    layers.SeparableConv2D: _separable_convolution,
    layers.MaxPooling2D: _max_pooling,
    MaxPooling2DWithSwitches: _max_pooling_with_switches,
    layers.AveragePooling2D: _average_pooling,
    layers.ZeroPadding2D: _zero_padding,
    layers.Cropping2D: _cropping,
}
