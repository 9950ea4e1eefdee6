"""How a layer works on windows cut out of its input, in place of the whole of it.

The table says, layer type by layer type, which input cells a window of the output reads, what
stands outside the border, and how the output is computed from the cells that were read. Layers that
treat every cell by itself are in it as they are. For all others there is no rule: from there on the
whole maps are computed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers, ops

from kerasvis.graph.crops import depends_on_position
from kerasvis.graph.receptive_fields import keeps_in_place, same_padding
from kerasvis.layers import MaxPooling2DWithSwitches
from kerasvis.occlusion.affected_windows import Reads


class WindowRule(NamedTuple):
    """How one call of a layer works on windows.

    Attributes:
        reads: `(Reads along rows, Reads along columns)`; None for a layer that treats every cell by
            itself, and is called on the windows as it is.
        outside: value beyond the border.
        run: `run(cells, is_inside)` computes the windows above from the cells read, `(positions,
            rows, columns, channels)`; `is_inside`, `(positions, rows, columns, 1)`, is 1 for cells
            that are not padding.
    """

    reads: tuple[Reads, Reads] | None = None
    outside: float = 0.0
    run: Callable[[Any, Any], Any] | None = None


def window_rule(node, shapes, fixed=()):
    """The `WindowRule` of a node, or a sentence's end that says why there is none.

    Args:
        node: a `kerasvis.graph.Node`.
        shapes: `{tensor number: shape}`.
        fixed: numbers of tensors that do not depend on the image.
    """
    if any(len(shapes[n]) != 4 for n in (*node.inputs, *node.outputs)):
        return "its input or output is no stack of feature maps"
    if depends_on_position(node):
        return "it treats equal cells at two positions differently"
    if type(node.layer) in _RULES and len(node.inputs) == 1:
        return _RULES[type(node.layer)](node, shapes[node.inputs[0]])
    if not keeps_in_place(node):
        return "it may read any cell of its input"
    spread = [n for n in node.inputs if n in fixed and shapes[n][1:3] == (1, 1)]
    if spread and isinstance(node.layer, layers.Concatenate):
        return "it joins a tensor without rows and columns"
    if len({shapes[n][1:3] for n in {*node.inputs, *node.outputs}.difference(spread)}) > 1:
        return "it spreads its input over more cells"
    return WindowRule()


def num_operations_per_cell(node, num_channels):
    """Multiplications (or comparisons) for one cell of all maps that a node returns.

    Args:
        node: a `kerasvis.graph.Node`.
        num_channels: number of maps that it returns.
    """
    layer = node.layer
    if kernels := [weight for weight in getattr(layer, "weights", ()) if len(weight.shape) > 1]:
        return sum(int(np.prod(kernel.shape)) for kernel in kernels)
    return int(np.prod(getattr(layer, "pool_size", 1))) * num_channels


def _convolution(node, shape):
    layer = node.layer

    def run(cells, is_inside):
        cells, kernel = _cast(layer, cells, layer.kernel)
        outputs = ops.conv(
            cells, kernel, layer.strides, "valid", "channels_last", layer.dilation_rate
        )
        return _activated(layer, outputs)

    return WindowRule(_convolution_reads(node, shape), run=run)


def _depthwise_convolution(node, shape):
    layer = node.layer

    def run(cells, is_inside):
        cells, kernel = _cast(layer, cells, layer.kernel)
        outputs = ops.depthwise_conv(
            cells, kernel, layer.strides, "valid", "channels_last", layer.dilation_rate
        )
        return _activated(layer, outputs)

    return WindowRule(_convolution_reads(node, shape), run=run)


def _separable_convolution(node, shape):
    layer = node.layer

    def run(cells, is_inside):
        tensors = _cast(layer, cells, layer.depthwise_kernel, layer.pointwise_kernel)
        outputs = ops.separable_conv(
            *tensors, layer.strides, "valid", "channels_last", layer.dilation_rate
        )
        return _activated(layer, outputs)

    return WindowRule(_convolution_reads(node, shape), run=run)


def _max_pooling(node, shape):
    layer = node.layer

    def run(cells, is_inside):
        return ops.max_pool(cells, layer.pool_size, layer.strides, "valid", "channels_last")

    return WindowRule(_pooling_reads(node, shape), outside=-np.inf, run=run)


def _max_pooling_with_switches(node, shape):
    layer = node.layer
    pooling = MaxPooling2DWithSwitches(layer.pool_size, layer.strides, dtype=layer.dtype_policy)
    return WindowRule(
        _pooling_reads(node, shape), outside=-np.inf, run=lambda cells, is_inside: pooling(cells)
    )


def _average_pooling(node, shape):
    layer = node.layer

    def mean(cells):
        return ops.average_pool(cells, layer.pool_size, layer.strides, "valid", "channels_last")

    def run(cells, is_inside):
        # Keras leaves padding out of the mean.
        return mean(cells) if layer.padding == "valid" else mean(cells) / mean(is_inside)

    return WindowRule(_pooling_reads(node, shape), run=run)


def _zero_padding(node, shape):
    (top, _), (left, _) = node.layer.padding
    reads = Reads(pad_before=top), Reads(pad_before=left)
    return WindowRule(reads, run=lambda cells, is_inside: cells)


def _cropping(node, shape):
    (top, _), (left, _) = node.layer.cropping
    reads = Reads(pad_before=-top), Reads(pad_before=-left)
    return WindowRule(reads, run=lambda cells, is_inside: cells)


def _convolution_reads(node, shape):
    layer = node.layer
    kernels = [
        (size - 1) * rate + 1
        for size, rate in zip(layer.kernel_size, layer.dilation_rate, strict=True)
    ]
    return _sliding_reads(node, shape, kernels)


def _pooling_reads(node, shape):
    return _sliding_reads(node, shape, node.layer.pool_size)


def _sliding_reads(node, shape, kernels):
    reads = []
    for length, kernel, stride in zip(shape[1:3], kernels, node.layer.strides, strict=True):
        is_same = node.layer.padding == "same"
        pad_before = same_padding(length, kernel, stride)[0] if is_same else 0
        reads.append(Reads(kernel, stride, pad_before))
    return tuple(reads)


def _cast(layer, *tensors):
    return [ops.cast(ops.convert_to_tensor(x), layer.compute_dtype) for x in tensors]


def _activated(layer, outputs):
    if layer.use_bias:
        outputs = outputs + _cast(layer, layer.bias)[0]
    return outputs if layer.activation is None else layer.activation(outputs)


# The very types: a subclass may do something else.
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
