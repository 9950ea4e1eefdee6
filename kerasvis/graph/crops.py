"""Crops of the image inside which a unit can be computed exactly.

A unit depends only on its receptive field, so the unit and its projection can be computed in a crop
that contains the receptive field. The crop must begin at a multiple of the stride, and must be
shorter than the image by a multiple of the stride. Then every sampling grid of the model has the
same points as in the whole image, and `same` padding is divided in the same way. If the receptive
field extends beyond the image border, the crop ends at the border too, and is padded there as the
image is.

`PixelMean` depends on a pixel's position. If it precedes every window, it can run on the whole
image, or its mean is cropped with the image; any other layer of that kind makes crops impossible.

Reference:
    Zeiler & Fergus 2013, Section 2.1: a projection is confined to the pixels of one window.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from keras import layers, tree

from kerasvis.graph.receptive_fields import ReceptiveField, as_receptive_field, receptive_spans
from kerasvis.graph.span_rules import is_pointwise
from kerasvis.layers.pixel_mean import PixelMean

if TYPE_CHECKING:
    from kerasvis.graph.nodes import Node


class CropGrid(NamedTuple):
    """The crops, all of one size, that contain the receptive fields of a tensor's units.

    Attributes:
        size: `(height, width)` of every crop in pixels.
        strides: `(rows, columns)` in pixels: crops begin at multiples of these.
        margin: `(rows, columns)`: pixels that a crop contains before the receptive field because
            layers crop their inputs.
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
        """`(row, column)`, inside its crop, of the unit at (row, column) in the whole image."""
        axes = zip((row, column), self.origin(row, column), self.field.strides, strict=True)
        row, column = (int(position - begin / stride) for position, begin, stride in axes)
        return row, column

    def positions(self, positions: np.ndarray) -> np.ndarray:
        """`position` for positions `(units, 2)`: int32 `(units, 2)`."""
        return np.array([self.position(*map(int, p)) for p in positions], "int32").reshape(-1, 2)

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """The receptive field, clipped at the image border: `(top, left, bottom, right)`."""
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
        A `CropGrid`, or None if crops would save nothing or would not be exact: the receptive field
        is the whole image, a crop is as large as the image, a sampling grid of the model has points
        between pixels, or a layer depends on absolute positions, except for a `PixelMean` before
        every window.
    """
    image_size = shapes[image][1:3]
    means = [x.name for x in pixelwise_nodes(image, nodes) if isinstance(x.layer, PixelMean)]
    others = [node for node in nodes if node.name not in means]
    if None in image_size or any(depends_on_position(node) for node in others):
        return None
    spans = receptive_spans(image, nodes, shapes)
    is_exact = all(
        span.size is not None and span.stride.denominator == 1
        for pair in spans.values()
        for span in pair
    )
    if not is_exact or _meets_constant_maps(nodes, spans, shapes):
        return None
    height, width = image_size
    rows = _crops_along(0, height, spans, shapes, target)
    columns = _crops_along(1, width, spans, shapes, target)
    size, strides, margin = zip(rows, columns, strict=True)
    if size == tuple(image_size):
        return None
    return CropGrid(size, strides, margin, as_receptive_field(spans[target], image_size))


def _crops_along(axis, length, spans, shapes, target):
    """`(size, stride, margin)` of the crops along one axis, all in pixels."""
    stride = math.lcm(*(int(pair[axis].stride) for pair in spans.values()))
    before, after = _margins(axis, length, spans, shapes)
    field_size, field_stride, offset = spans[target][axis]
    # Crops begin at multiples of `stride`, so a receptive field may begin later than its crop. This
    # is by how much it does at most.
    surplus = stride - field_stride + (offset - before) % field_stride
    needed = math.ceil(before + field_size + after + surplus)
    size = length - max((length - needed) // stride, 0) * stride
    return size, stride, before


def pixelwise_nodes(image: int, nodes: "Sequence[Node]") -> "tuple[Node, ...]":
    """The nodes that precede every window: up to them, each pixel is processed independently.

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
    """`(before, after)`: pixels that a crop must contain on either side of a receptive field.

    Layers that crop their inputs by more than a stride need them. Otherwise, a unit that the target
    depends on could fall outside the crop.
    """
    before = after = 0
    for number, pair in spans.items():
        size, stride, offset = pair[axis]
        # Pixels before the first unit's receptive field, and after the last unit's.
        unused_before = offset
        unused_after = length - offset - (shapes[number][1 + axis] - 1) * stride - size
        before = max(before, int(unused_before // stride * stride))
        after = max(after, int(unused_after // stride * stride))
    return before, after


def _meets_constant_maps(nodes, spans, shapes):
    """Whether a node combines the image with feature maps that do not depend on it."""
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
