"""Receptive fields: which pixels a unit depends on."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import keras

from kerasvis.graph.reading import read_graph
from kerasvis.graph.shapes import image_shape, infer_shapes
from kerasvis.graph.span_rules import CallAxis, span_rule, unchanged
from kerasvis.graph.spans import PIXEL, WHOLE, union
from kerasvis.layers.fixed_value import FixedValue


class ReceptiveField(NamedTuple):
    """The receptive fields of the units of one tensor; each entry is `(rows, columns)`.

    Attributes:
        size: in pixels; None along an axis that the receptive field spans completely. Above an
            upsampling it may be a fraction; the receptive field consists of the whole pixels within
            a length of `size`.
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
        """`(height, width)` in pixels of a window that can contain the box of any unit."""
        return tuple(
            length if size is None else math.floor(size)
            for size, length in zip(self.size, self.image_size, strict=True)
        )

    @property
    def is_whole_image(self) -> bool:
        """Whether the receptive field spans at least one axis completely."""
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
        A `ReceptiveField`; if the layer has several outputs, that of the first. A layer of an
        unknown kind counts as depending on the whole image.

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
    """The spans of one output of a node, along rows and columns.

    Args:
        node: the node.
        below: numbers of its input tensors that depend on the image.
        output: number of the output tensor.
        spans: those of the tensors below.
        shapes: `{tensor number: shape}`.
    """
    rule = span_rule(node)
    if rule is None or any(len(shapes[n]) != 4 for n in (*below, output)):
        return WHOLE, WHOLE
    above = []
    for axis in (0, 1):
        lengths = {shapes[n][1 + axis] for n in below}
        length_above = shapes[output][1 + axis]
        is_broadcast = len(lengths) > 1 or (rule is unchanged and length_above not in lengths)
        if is_broadcast:
            above.append(WHOLE)
        else:
            span = union([spans[n][axis] for n in below])
            above.append(rule(span, CallAxis(node, axis, lengths.pop(), length_above)))
    return tuple(above)
