"""Crops of the image inside which a unit can be computed exactly.

A unit depends on its receptive field alone, so it and its projection can be computed in a crop
that contains the receptive field. The crop must begin at a multiple of the stride, and be shorter
than the image by a multiple of the stride, so that every sampling grid of the model falls where it
does in the whole image, and `same` padding is divided in the same way. Where the receptive field
extends beyond the image border, the crop ends at the border too, and is padded there as the image
was.

`PixelMean` depends on a pixel's position. Where it precedes every window, it runs on the whole
image, or its mean is cropped with the image; any other layer of that kind makes crops impossible.

Reference:
    Zeiler & Fergus 2013, Section 2.1: a projection is confined to the pixels of one window.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from keras import layers, tree

from kerasvis.graph.receptive_fields import (
    ReceptiveField,
    as_receptive_field,
    is_pointwise,
    receptive_spans,
)
from kerasvis.layers.pixel_mean import PixelMean

if TYPE_CHECKING:
    from kerasvis.graph.nodes import Node


class CropGrid(NamedTuple):
    """The crops, all of one size, that contain the receptive fields of a tensor's units.

    Attributes:
        size: `(height, width)` of every crop in pixels.
        strides: `(rows, columns)`: crops begin at multiples of it.
        margin: `(rows, columns)`: pixels that a crop contains before the receptive field, since
            layers crop them.
        field: the `ReceptiveField` of the units.
    """

    size: tuple[int, int]
    strides: tuple[int, int]
    margin: tuple[int, int]
    field: ReceptiveField

    def origin(self, row: int, column: int) -> tuple[int, int]:
        """`(top, left)` of the crop for the unit at (row, column)."""
        corner = []
        for axis, position in enumerate((row, column)):
            begin = self.field.offset[axis] + position * self.field.strides[axis]
            before = math.floor(begin - self.margin[axis]) // self.strides[axis]
            last = self.field.image_size[axis] - self.size[axis]
            corner.append(min(max(before * self.strides[axis], 0), last))
        top, left = corner
        return top, left

    def origins(self, positions: np.ndarray) -> np.ndarray:
        """`origin` for positions `(units, 2)`: int32 `(units, 2)`."""
        return np.array([self.origin(*map(int, p)) for p in positions], "int32").reshape(-1, 2)

    def position(self, row: int, column: int) -> tuple[int, int]:
        """`(row, column)` inside its crop of the unit at (row, column) of the whole image."""
        axes = zip((row, column), self.origin(row, column), self.field.strides, strict=True)
        row, column = (int(position - begin / stride) for position, begin, stride in axes)
        return row, column

    def positions(self, positions: np.ndarray) -> np.ndarray:
        """`position` for positions `(units, 2)`: int32 `(units, 2)`."""
        return np.array([self.position(*map(int, p)) for p in positions], "int32").reshape(-1, 2)

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """The receptive field cut at the image border: `(top, left, bottom, right)`."""
        top, left, bottom, right = self.field.box(row, column)
        height, width = self.field.image_size
        return max(top, 0), max(left, 0), min(bottom, height), min(right, width)


def crop_grid(
    image: int, nodes: "Sequence[Node]", shapes: Mapping[int, tuple], target: int
) -> CropGrid | None:
    """The smallest crops for the units of tensor `target`.

    Args:
        image: number of the image tensor.
        nodes: the nodes below the target, in order.
        shapes: `{tensor number: shape}`, from `infer_shapes`.
        target: number of the tensor.

    Returns:
        A `CropGrid`, or None where crops would save nothing or would not be exact: the receptive
        field is the whole image, a crop is as large as the image, a sampling grid of the model
        falls between pixels, or a layer depends on absolute positions, other than a `PixelMean`
        before every window.
    """
    image_size = shapes[image][1:3]
    means = [x.name for x in pixelwise_nodes(image, nodes) if isinstance(x.layer, PixelMean)]
    others = [node for node in nodes if node.name not in means]
    if None in image_size or any(depends_on_position(node) for node in others):
        return None
    spans = receptive_spans(image, nodes, shapes)
    if any(span.size is None for pair in spans.values() for span in pair):
        return None
    if _meets_fixed_maps(nodes, spans, shapes):
        return None
    sizes, strides, margins = [], [], []
    for axis, length in enumerate(image_size):
        if any(pair[axis].stride.denominator != 1 for pair in spans.values()):
            return None
        stride = math.lcm(*(int(pair[axis].stride) for pair in spans.values()))
        before, after = _margins(axis, length, spans, shapes)
        size, step, offset = spans[target][axis]
        surplus = stride - step + (offset - before) % step  # for the worst position in the grid
        needed = math.ceil(before + size + after + surplus)
        sizes.append(length - max((length - needed) // stride, 0) * stride)
        strides.append(stride)
        margins.append(before)
    if tuple(sizes) == tuple(image_size):
        return None
    field = as_receptive_field(spans[target], image_size)
    size, step, margin = ((rows, columns) for rows, columns in (sizes, strides, margins))
    return CropGrid(size, step, margin, field)


def pixelwise_nodes(image: int, nodes: "Sequence[Node]") -> "tuple[Node, ...]":
    """The nodes that precede every window: up to there, each pixel is processed independently.

    Args:
        image: number of the image tensor.
        nodes: nodes in order.

    Returns:
        Tuple of nodes, in order.
    """
    reached, found = {image}, []
    for node in nodes:
        if is_pointwise(node) and reached.issuperset(node.inputs):
            reached.update(node.outputs)
            found.append(node)
    return tuple(found)


def _margins(axis, length, spans, shapes):
    """Pixels `(before, after)` a receptive field by which layers crop more than their stride.

    Without them a unit on which the target depends could fall outside the crop.
    """
    before = after = 0
    for number, pair in spans.items():
        size, stride, offset = pair[axis]
        rest = length - offset - (shapes[number][1 + axis] - 1) * stride - size
        before = max(before, int(offset // stride * stride))
        after = max(after, int(rest // stride * stride))
    return before, after


def _meets_fixed_maps(nodes, spans, shapes):
    """Whether a node combines the image with a feature map that does not depend on it."""
    return any(
        number not in spans and any(size != 1 for size in shapes[number][1:-1])
        for node in nodes
        if spans.keys() & {*node.inputs}
        for number in node.inputs
    )


def depends_on_position(node):
    """Whether the node treats equal pixels at two positions differently."""
    layer = node.layer
    if isinstance(layer, PixelMean):
        return True
    if isinstance(layer, layers.PReLU):
        return not {1, 2}.issubset(layer.shared_axes or ())
    if isinstance(layer, (layers.BatchNormalization, layers.Normalization)):
        axes = layer.axis if isinstance(layer.axis, tuple) else (layer.axis,)
        return not {axis % 4 for axis in axes}.issubset({0, 3})
    constants = tree.flatten(node.arguments)
    constants += [getattr(layer, name, None) for name in ("scale", "offset", "x_min", "x_max")]
    return any(_varies_in_space(x) for x in constants)


def _varies_in_space(constant):
    shape = constant.shape if hasattr(constant, "shape") else np.shape(constant)
    return any(size != 1 for size in tuple(shape)[-3:-1])
