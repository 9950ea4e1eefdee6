"""The windows of a pooling layer: where they are, and how to address them as blocks.

If a padded image is divided into blocks as wide as the stride, every pooling window can be read
without strides: the element at offset `i` of window `w` is in block `w + i // stride`, at offset
`i % stride`. Pooling reads these blocks, unpooling writes them; both share the arithmetic here.
"""

import dataclasses
import itertools
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from kerasvis.layers import window_geometry
from kerasvis.layers.window_geometry import at_least_zero

NO_SWITCH = 255  # the uint8 that is never a switch
MAX_ELEMENTS = 15 * 15  # of the largest square window whose positions are below NO_SWITCH


@dataclasses.dataclass(frozen=True)
class WindowAxis:
    """Pooling windows along one spatial axis: their size and stride, and the padding."""

    pool_size: int
    stride: int
    padding: str

    @property
    def num_blocks_per_window(self):
        return -(-self.pool_size // self.stride)

    def num_windows(self, size):
        """Number of windows along an axis of `size` elements, an int or an integer tensor."""
        return window_geometry.num_windows(size, self.pool_size, self.stride, self.padding)

    def num_padded_before(self, size):
        """Number of elements of padding before the first one."""
        return window_geometry.padding_before(size, self.pool_size, self.stride, self.padding)

    def strips(self, size, are_split=False):
        """The strip that the windows span; if split, in up to three, of which the ends are padded.

        Splitting avoids a padded copy of the middle strip.
        """
        num_windows, before = self.num_windows(size), self.num_padded_before(size)
        if not are_split or not isinstance(size, int):
            return [self._strip(size, 0, num_windows)]
        last = (size + before) // self.stride - self.num_blocks_per_window + 1
        first = min(-(-before // self.stride), num_windows)
        last = min(max(first, last), num_windows)
        runs = itertools.pairwise((0, first, last, num_windows))
        return [self._strip(size, *run) for run in runs if run[0] < run[1]]

    def _strip(self, size, first_window, end_window):
        start = first_window * self.stride - self.num_padded_before(size)
        stop = start + (end_window - first_window + self.num_blocks_per_window - 1) * self.stride
        before, after = at_least_zero(-start), at_least_zero(stop - size)
        return Strip(start + before, stop - after, before, after, end_window - first_window)

    def first_real_offsets(self, strip):
        """For every window of a strip, the offset of its first element that is not padding."""
        return ops.maximum(
            strip.before - ops.arange(strip.num_windows, dtype="int32") * self.stride, 0
        )


class Strip(NamedTuple):
    """Elements `start:stop` of an axis with their padding, which are whole blocks."""

    start: int
    stop: int
    before: int
    after: int
    num_windows: int


@dataclasses.dataclass(frozen=True)
class PoolingWindows:
    """Pooling windows over rows and columns. An element's position in its window is row-major."""

    rows: WindowAxis
    columns: WindowAxis

    @classmethod
    def of(cls, pool_size, strides, padding):
        """The windows of a layer with these arguments; sizes and strides are (rows, columns)."""
        axes = (WindowAxis(*axis, padding) for axis in zip(pool_size, strides, strict=True))
        return cls(*axes)

    def position(self, row, column):
        """The switch of the element at these offsets, `NO_SWITCH` outside the window."""
        inside = row < self.rows.pool_size and column < self.columns.pool_size
        return row * self.columns.pool_size + column if inside else NO_SWITCH

    def offsets(self):
        """Offsets (row, column) of a window's elements, in the order of their positions."""
        return np.ndindex(self.rows.pool_size, self.columns.pool_size)

    def pooled_shape(self, shape):
        """Static shape after pooling a tensor of the static `shape`, None where it is unknown."""
        if len(shape) != 4:
            raise ValueError(
                "Give a tensor of 4 axes, (batch, rows, columns, channels). "
                f"Received: a tensor of shape {tuple(shape)}"
            )
        batch, height, width, channels = shape
        pooled = [
            None if size is None else axis.num_windows(size)
            for axis, size in ((self.rows, height), (self.columns, width))
        ]
        if 0 in pooled:
            raise ValueError(
                f"The input is smaller than a window of {self.rows.pool_size}x"
                f"{self.columns.pool_size}: give a larger input, a smaller pool_size, or "
                f"padding='same'. Received: a tensor of shape {tuple(shape)}"
            )
        return (batch, *pooled, channels)

    def to_blocks(self, inputs, rows, columns, padding_value):
        """Divides two strips of `(batch, rows, columns, channels)` into blocks, after padding them.

        Returns:
            A tensor `(batch, block rows, row stride, block columns, column stride, channels)`.
        """
        strips = inputs[:, rows.start : rows.stop, columns.start : columns.stop]
        padded = _pad(
            strips, [(rows.before, rows.after), (columns.before, columns.after)], padding_value
        )
        block_axes = [
            size
            for axis, strip in ((self.rows, rows), (self.columns, columns))
            for size in (strip.num_windows + axis.num_blocks_per_window - 1, axis.stride)
        ]
        batch, _, _, channels = ops.shape(inputs)
        return ops.reshape(padded, (batch, *block_axes, channels))

    def from_blocks(self, blocks, height, width):
        """The inverse of `to_blocks`: padding is cropped, elements outside all windows are zero."""
        batch, block_rows, row_stride, block_columns, column_stride, channels = ops.shape(blocks)
        ends = (block_rows * row_stride, block_columns * column_stride)
        image = ops.reshape(blocks, (batch, *ends, channels))
        top = self.rows.num_padded_before(height)
        left = self.columns.num_padded_before(width)
        image = image[:, top : top + height, left : left + width]
        edges = [
            (0, at_least_zero(before + size - end))
            for before, size, end in zip((top, left), (height, width), ends, strict=True)
        ]
        return _pad(image, edges, 0)


class PoolingWindowsLayer(keras.layers.Layer):
    """The common base of pooling with switches and unpooling: their arguments and windows."""

    def __init__(
        self,
        pool_size: int | Sequence[int] = (2, 2),
        strides: int | Sequence[int] | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.pool_size = _pair(pool_size, "pool_size")
        self.strides = self.pool_size if strides is None else _pair(strides, "strides")
        self.padding = _padding(padding)
        self.data_format = _channels_last(data_format)
        num_elements = self.pool_size[0] * self.pool_size[1]
        if num_elements > MAX_ELEMENTS:
            raise ValueError(
                f"Give a pool_size of at most {MAX_ELEMENTS} elements (15x15), since a switch is a "
                f"position that must fit into a uint8. Received: pool_size={self.pool_size}"
            )
        self.windows = PoolingWindows.of(self.pool_size, self.strides, self.padding)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
        }


def _pad(images, edges, padding_value):
    """Pads rows and columns by the pairs `edges`; makes no copy if all are known to be 0."""
    if all(isinstance(edge, int) and edge == 0 for pair in edges for edge in pair):
        return images
    return ops.pad(images, [(0, 0), *edges, (0, 0)], constant_values=padding_value)


def _pair(value, name):
    try:
        rows, columns = (value, value) if isinstance(value, int) else value
        pair = (operator.index(rows), operator.index(columns))
    except (TypeError, ValueError):
        pair = (0, 0)
    if min(pair) < 1:
        raise ValueError(
            f"Give an integer, 1 or more, or a pair (rows, columns). Received: {name}={value!r}"
        )
    return pair


def _padding(padding):
    standard = padding.lower() if isinstance(padding, str) else padding
    if standard not in ("valid", "same"):
        raise ValueError(f"Give 'valid' or 'same'. Received: padding={padding!r}")
    return standard


def _channels_last(data_format):
    data_format = keras.config.image_data_format() if data_format is None else data_format
    if data_format != "channels_last":
        raise ValueError(
            "Switches are recorded for channels-last inputs only: give (batch, rows, columns, "
            "channels) and data_format='channels_last'. Received: "
            f"data_format={data_format!r}"
        )
    return data_format
