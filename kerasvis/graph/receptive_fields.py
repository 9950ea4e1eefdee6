"""Receptive fields: which pixels a unit depends on.

Along each axis, the receptive field of a unit at position `p` of a tensor is `size` pixels long and
begins at `offset + p * stride`. Through a layer with windows of `kernel` elements, the size grows
by `(kernel - 1) * stride`, the offset falls by `pad_before * stride`, and the stride is multiplied
by the layer's. Above an upsampling by a factor f neighbouring units lie `stride / f` apart, so
these numbers are fractions, and the receptive field is the whole pixels between the two ends. Where
branches merge, it is the union.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import keras
from keras import layers

from kerasvis.graph.activation_functions import (
    activation_family,
    fused_activation,
    keeps_positions,
)
from kerasvis.graph.identities import IDENTITIES
from kerasvis.graph.layer_kinds import kind_of
from kerasvis.graph.nodes import read_graph
from kerasvis.graph.pointwise_layers import is_pointwise_layer
from kerasvis.graph.shapes import image_shape, infer_shapes
from kerasvis.layers.fixed_value import FixedValue
from kerasvis.layers.local_response_normalization import LocalResponseNormalization
from kerasvis.layers.max_pooling_with_switches import MaxPooling2DWithSwitches
from kerasvis.layers.pixel_mean import PixelMean
from kerasvis.layers.window_geometry import kernel_extent, padding_before


class Span(NamedTuple):
    """The receptive fields of a row (or column) of units along one axis, in pixels.

    Attributes:
        size: length of the receptive field; None if it is the whole axis.
        stride: pixels between neighbouring units.
        offset: first pixel of the unit at position 0; negative inside the padding.
    """

    size: Fraction | None
    stride: Fraction
    offset: Fraction

    def through(self, kernel, stride, pad_before):
        """The span above a window of `kernel` elements."""
        if self.size is None:
            return self
        return Span(
            self.size + (kernel - 1) * self.stride,
            self.stride * stride,
            self.offset - pad_before * self.stride,
        )

    def through_upsampling(self, factor, reach_before, reach_after):
        """The span above a step of 1 / `factor`.

        Args:
            factor: units above for one unit below.
            reach_before: how far before `p / factor` the first unit below that unit `p` above
                depends on may lie.
            reach_after: how far after `p / factor` the last such unit may lie.
        """
        if self.size is None:
            return self
        return Span(
            self.size + (reach_before + reach_after) * self.stride,
            self.stride / factor,
            self.offset - reach_before * self.stride,
        )


WHOLE = Span(None, Fraction(1), Fraction(0))
PIXEL = Span(Fraction(1), Fraction(1), Fraction(0))


class ReceptiveField(NamedTuple):
    """The receptive fields of the units of one tensor; each entry is `(rows, columns)`.

    Attributes:
        size: in pixels; None along an axis that the receptive field spans completely. A fraction
            above an upsampling, where it is the whole pixels within a length of `size`.
        strides: pixels between the receptive fields of neighbouring units.
        offset: first pixel of the receptive field of unit (0, 0); negative inside the padding.
        image_size: `(height, width)` of the image in pixels, None where unknown.
    """

    size: tuple
    strides: tuple
    offset: tuple
    image_size: tuple

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """The receptive field of the unit at (row, column).

        Returns:
            `(top, left, bottom, right)` in pixels, half open, not clipped at the image border;
            `(0, image size)` along an axis that it spans completely.
        """
        begins, ends = [], []
        for axis, position in enumerate((row, column)):
            size, length = self.size[axis], self.image_size[axis]
            begin = 0 if size is None else self.offset[axis] + position * self.strides[axis]
            begins.append(math.ceil(begin))
            ends.append(length if size is None else math.floor(begin + size))
        return (*begins, *ends)

    @property
    def window_size(self) -> tuple[int, int]:
        """`(height, width)` in pixels that contains the box of any unit."""
        return tuple(
            length if size is None else math.floor(size)
            for size, length in zip(self.size, self.image_size, strict=True)
        )

    @property
    def is_whole_image(self) -> bool:
        """Whether the receptive field spans an axis completely."""
        return None in self.size


def receptive_field(
    model: keras.Model, layer: str, image_size: Sequence[int] | None = None
) -> ReceptiveField:
    """The receptive field of the units of `layer`.

    Args:
        model: a functional or Sequential `keras.Model`.
        layer: name of the layer; `"outer/inner"` inside a nested model.
        image_size: `(height, width)` in pixels, for a model that takes images of any size.

    Returns:
        A `ReceptiveField`: of the layer's first output, if it returns several. A layer of an
        unknown kind counts as depending on the whole image; an activation function is assumed to be
        pointwise.

    Raises:
        ValueError: if the layer is unknown, the model has no graph or does not have exactly one
            input of channels-last images, or `same` padding with a stride is applied to an axis of
            unknown length.

    Reference:
        Zeiler & Fergus 2013, Figure 2: the patches are the receptive fields.

    Example:
        >>> import kerasvis as kv
        >>> field = kv.receptive_field(kv.convnets.ZFNet(dense_units=8), "conv5")
        >>> field.size, field.strides, field.offset
        ((139, 139), (16, 16), (-49, -49))
    """
    graph = read_graph(model)
    target = graph.node(layer).outputs[0]
    nodes = graph.ancestors([target])
    own_size = image_shape(model)[:2]
    size = own_size if image_size is None else tuple(image_size)
    shapes = infer_shapes(graph, nodes, model, size)
    spans = receptive_spans(graph.inputs[0], nodes, shapes)
    return as_receptive_field(spans[target], size)


def as_receptive_field(spans, image_size):
    """A pair of spans as a `ReceptiveField`."""
    plain = [[_plain(value) for value in span] for span in spans]
    size, strides, offset = (tuple(values) for values in zip(*plain, strict=True))
    return ReceptiveField(size, strides, offset, tuple(image_size))


def _plain(value):
    return int(value) if isinstance(value, Fraction) and value.denominator == 1 else value


def receptive_spans(image, nodes, shapes):
    """The span of every tensor along rows and columns.

    Args:
        image: number of the image tensor.
        nodes: nodes in order.
        shapes: `{tensor number: shape}`.

    Returns:
        `{tensor number: (span of rows, span of columns)}`, of the tensors that depend on the image.
    """
    spans = {image: (PIXEL, PIXEL)}
    for node in nodes:
        below = [n for n in node.inputs if n in spans]
        if below and not isinstance(node.layer, FixedValue):
            for output in node.outputs:
                spans[output] = _spans_above(node, below, output, spans, shapes)
    return spans


def _spans_above(node, below, output, spans, shapes):
    through = _window_of(node)
    if through is None or any(len(shapes[n]) != 4 for n in (*below, output)):
        return WHOLE, WHOLE
    above = []
    for axis in (0, 1):
        lengths = {shapes[n][1 + axis] for n in below}
        union = _union([spans[n][axis] for n in below])
        length_above = shapes[output][1 + axis]
        is_broadcast = len(lengths) > 1 or (through is _unchanged and length_above not in lengths)
        place = Place(node, axis, next(iter(lengths)), length_above)
        above.append(WHOLE if is_broadcast else through(union, place))
    return tuple(above)


class Place(NamedTuple):
    """Where a span passes a layer: the call, the axis, and the lengths of the axis there."""

    node: object
    axis: int
    length: int | None
    length_above: int | None


def _union(spans):
    """The span that contains all of `spans`."""
    if len(spans) == 1:
        return spans[0]
    if any(s.size is None for s in spans) or len({s.stride for s in spans}) > 1:
        return WHOLE
    offset = min(s.offset for s in spans)
    return Span(max(s.offset + s.size for s in spans) - offset, spans[0].stride, offset)


def _unchanged(span, place):
    return span


def _convolution(span, place):
    layer, axis = place.node.layer, place.axis
    return _slide(span, place, _kernel_extent(layer, axis), layer.strides[axis], layer.padding)


def _pooling(span, place):
    layer, axis = place.node.layer, place.axis
    return _slide(span, place, layer.pool_size[axis], layer.strides[axis], layer.padding)


def _slide(span, place, kernel, stride, padding):
    pad_before = _padding_before(place.length, kernel, stride, padding, place.node.name)
    return span.through(kernel, stride, pad_before)


def _kernel_extent(layer, axis):
    return kernel_extent(layer.kernel_size[axis], layer.dilation_rate[axis])


def _padding_before(length, extent, stride, padding, name):
    """Elements of padding before the first one, along an axis whose length may be unknown."""
    if length is None and stride > 1 and padding == "same":
        raise ValueError(
            f"The padding of layer {name!r} depends on the size of the image, which the model "
            "leaves open: give image_size=(height, width)."
        )
    # Without a stride it is the same for any length.
    return padding_before(1 if length is None else length, extent, stride, padding)


def _transposed_convolution(span, place):
    """Unit p reaches the units `p * stride` to `p * stride + kernel - 1`; then some are cropped."""
    layer, axis = place.node.layer, place.axis
    kernel, stride = _kernel_extent(layer, axis), layer.strides[axis]
    num_cut = 0
    if layer.padding == "same":
        is_multiple = place.length_above is None and layer.output_padding is None
        length_above = stride if is_multiple else place.length_above
        num_cut = _padding_before(length_above, kernel, stride, "same", place.node.name)
    return span.through_upsampling(
        stride, Fraction(kernel - 1 - num_cut, stride), Fraction(num_cut, stride)
    )


# Units on either side of a point that an interpolation blends.
_INTERPOLATION_RADII = {"bilinear": 1, "bicubic": 2, "lanczos3": 3, "lanczos5": 5}


def _upsampling(span, place):
    factor = place.node.layer.size[place.axis]
    if place.node.layer.interpolation == "nearest":
        return span.through_upsampling(factor, Fraction(factor - 1, factor), Fraction(0))
    radius = _INTERPOLATION_RADII[place.node.layer.interpolation]
    centre = Fraction(1, 2 * factor) - Fraction(1, 2)  # of unit 0, in units below
    return span.through_upsampling(factor, radius - centre, radius + centre)


def _zero_padding(span, place):
    return span.through(1, 1, place.node.layer.padding[place.axis][0])


def _cropping(span, place):
    return span.through(1, 1, -place.node.layer.cropping[place.axis][0])


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

# By the very type. Any other layer counts as depending on everything.
_WINDOWS = {
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
    **dict.fromkeys((LocalResponseNormalization, PixelMean, *_POINTWISE, *IDENTITIES), _unchanged),
}

# Operations of keras.ops of several tensors have no public types, so they are known by their names.
_POINTWISE_OPERATIONS = frozenset(
    """
    Add Cast Divide DivideNoNan Fmax Fmin Maximum Minimum Multiply Power Subtract TrueDivide Where
    """.split()
)


def _window_of(node):
    """How a span passes the node; None if it is not known."""
    kind = kind_of(node.layer)
    if not keeps_positions(fused_activation(node.layer)):
        return None
    if kind in _POINTWISE_ON_CHANNELS:
        return _unchanged if node.layer.axis in (-1, 3, [-1], [3], (-1,), (3,)) else None
    is_operation = kind.__module__.startswith("keras.src.ops.")
    if is_operation and node.type_name in _POINTWISE_OPERATIONS:
        return _unchanged
    if kind in _WINDOWS:
        return _WINDOWS[kind]
    is_known = activation_family(node).keeps_positions or is_pointwise_layer(node)
    return _unchanged if is_known else None


def is_pointwise(node):
    """Whether each unit of the node's outputs depends on the same position of its inputs alone."""
    return _window_of(node) is _unchanged
