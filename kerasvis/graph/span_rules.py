"""How the span of receptive fields changes through each layer."""

from fractions import Fraction
from typing import NamedTuple

from keras import layers

from kerasvis.graph.activation_functions import (
    activation_family,
    fused_activation,
    keeps_positions,
)
from kerasvis.graph.identities import IDENTITIES
from kerasvis.graph.layer_kinds import kind_of
from kerasvis.graph.nodes import Node
from kerasvis.graph.pointwise_layers import is_pointwise_layer
from kerasvis.layers.local_response_normalization import LocalResponseNormalization
from kerasvis.layers.max_pooling_with_switches import MaxPooling2DWithSwitches
from kerasvis.layers.pixel_mean import PixelMean
from kerasvis.layers.window_geometry import kernel_extent, padding_before


class CallAxis(NamedTuple):
    """One axis of a layer's call.

    Attributes:
        node: the call.
        axis: 0 for rows, 1 for columns.
        length: length of the axis in the layer's input; None if it is unknown.
        length_above: length of the axis in its output; None if it is unknown.
    """

    node: Node
    axis: int
    length: int | None
    length_above: int | None


def unchanged(span, call_axis):
    """The rule of pointwise layers."""
    return span


def _convolution(span, call_axis):
    layer, axis = call_axis.node.layer, call_axis.axis
    return _slide(span, call_axis, _kernel_extent(layer, axis), layer.strides[axis], layer.padding)


def _pooling(span, call_axis):
    layer, axis = call_axis.node.layer, call_axis.axis
    return _slide(span, call_axis, layer.pool_size[axis], layer.strides[axis], layer.padding)


def _slide(span, call_axis, kernel, stride, padding):
    pad_before = _padding_before(call_axis.length, kernel, stride, padding, call_axis.node.name)
    return span.through(kernel, stride, pad_before)


def _kernel_extent(layer, axis):
    return kernel_extent(layer.kernel_size[axis], layer.dilation_rate[axis])


def _padding_before(length, extent, stride, padding, name):
    """Number of elements of padding before the first one; the length of the axis may be unknown."""
    if length is None and stride > 1 and padding == "same":
        raise ValueError(
            f"The padding of layer {name!r} depends on the size of the image, which the model "
            "leaves open: give image_size=(height, width)."
        )
    # With stride 1 it is the same for any length.
    return padding_before(1 if length is None else length, extent, stride, padding)


def _transposed_convolution(span, call_axis):
    """Unit p affects output units `p * stride` to `p * stride + kernel - 1`; some are cropped."""
    layer, axis = call_axis.node.layer, call_axis.axis
    kernel, stride = _kernel_extent(layer, axis), layer.strides[axis]
    num_cut = 0
    if layer.padding == "same":
        is_multiple = call_axis.length_above is None and layer.output_padding is None
        length_above = stride if is_multiple else call_axis.length_above
        num_cut = _padding_before(length_above, kernel, stride, "same", call_axis.node.name)
    return span.through_upsampling(
        stride, Fraction(kernel - 1 - num_cut, stride), Fraction(num_cut, stride)
    )


# The number of units on either side of a point that an interpolation averages.
_INTERPOLATION_RADII = {"bilinear": 1, "bicubic": 2, "lanczos3": 3, "lanczos5": 5}


def _upsampling(span, call_axis):
    factor = call_axis.node.layer.size[call_axis.axis]
    if call_axis.node.layer.interpolation == "nearest":
        return span.through_upsampling(factor, Fraction(factor - 1, factor), Fraction(0))
    radius = _INTERPOLATION_RADII[call_axis.node.layer.interpolation]
    centre = Fraction(1, 2 * factor) - Fraction(1, 2)  # of output unit 0, in units of the input
    return span.through_upsampling(factor, radius - centre, radius + centre)


def _zero_padding(span, call_axis):
    return span.through(1, 1, call_axis.node.layer.padding[call_axis.axis][0])


def _cropping(span, call_axis):
    return span.through(1, 1, -call_axis.node.layer.cropping[call_axis.axis][0])


_POINTWISE = tuple(
    getattr(layers, name)
    for name in """
    Add Average BatchNormalization Dense Maximum Minimum Multiply Normalization PReLU Rescaling
    Subtract
    """.split()
)
_POINTWISE_ON_CHANNELS = tuple(
    getattr(layers, name)
    for name in "Concatenate LayerNormalization RMSNormalization UnitNormalization".split()
)

# By the exact type. Any other layer counts as depending on its whole input.
_RULES = {
    layers.Conv2D: _convolution,
    layers.DepthwiseConv2D: _convolution,
    layers.SeparableConv2D: _convolution,
    layers.Conv2DTranspose: _transposed_convolution,
    layers.MaxPooling2D: _pooling,
    MaxPooling2DWithSwitches: _pooling,
    layers.AveragePooling2D: _pooling,
    layers.ZeroPadding2D: _zero_padding,
    layers.Cropping2D: _cropping,
    layers.UpSampling2D: _upsampling,
    **dict.fromkeys((LocalResponseNormalization, PixelMean, *_POINTWISE, *IDENTITIES), unchanged),
}

# Operations of `keras.ops` have no public types, so those on several tensors are given by name.
_POINTWISE_OPERATIONS = frozenset(
    """
    Add Cast Divide DivideNoNan Fmax Fmin Maximum Minimum Multiply Power Subtract TrueDivide Where
    """.split()
)


def span_rule(node):
    """The function `(span, CallAxis) → span` for a node; None if it may depend on everything."""
    kind = kind_of(node.layer)
    if not keeps_positions(fused_activation(node.layer)):
        return None
    if kind in _POINTWISE_ON_CHANNELS:
        return unchanged if node.layer.axis in (-1, 3, [-1], [3], (-1,), (3,)) else None
    is_operation = kind.__module__.startswith("keras.src.ops.")
    if is_operation and node.type_name in _POINTWISE_OPERATIONS:
        return unchanged
    if kind in _RULES:
        return _RULES[kind]
    is_known = activation_family(node).keeps_positions or is_pointwise_layer(node)
    return unchanged if is_known else None


def is_pointwise(node):
    """Whether each unit of the node's outputs depends only on the same position of its inputs."""
    return span_rule(node) is unchanged
