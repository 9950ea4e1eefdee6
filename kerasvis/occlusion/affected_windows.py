"""Which cells of a feature map an occluder can change.

Along an axis, cell `o` of a layer's output reads the cells `o * stride - pad_before` up to `kernel`
further of its input. So an interval of changed cells below makes an interval of changed cells
above. For many positions of the occluder at once, their windows get one common size, the largest;
where a window would hang over the border it is moved inside.

Reference:
    Zeiler & Fergus 2013, Section 4.2: one occluder touches one window of every feature map.
"""

from typing import NamedTuple

import numpy as np


class Reads(NamedTuple):
    """Which input cells an output cell depends on, along one axis.

    Attributes:
        kernel: number of cells, gaps of a dilation included.
        stride: cells between the first ones of neighbouring output cells.
        pad_before: cells of padding before the input's first one; negative where cells are cut off.
    """

    kernel: int = 1
    stride: int = 1
    pad_before: int = 0

    def affected(self, begins, ends, length_above):
        """The output cells that depend on the input cells `begins` to `ends`, half open."""
        first = -(-(begins + self.pad_before - self.kernel + 1) // self.stride)
        end = (ends - 1 + self.pad_before) // self.stride + 1
        first = np.clip(first, 0, length_above)
        return first, np.clip(end, first, length_above)

    def num_cells(self, size):
        """Number of input cells that `size` neighbouring output cells read."""
        return (size - 1) * self.stride + self.kernel


class AxisWindow(NamedTuple):
    """The window of every occluder position along one axis of a tensor.

    Attributes:
        size: cells of every window.
        begins: int `(positions,)`: the first cell of each.
        affected_begins: int `(positions,)`: the first cell that really may differ.
        affected_ends: int `(positions,)`: the end of these; equal to the first if there is none.
    """

    size: int
    begins: np.ndarray
    affected_begins: np.ndarray
    affected_ends: np.ndarray

    @classmethod
    def around(cls, begins, ends, length):
        """The windows of one size that hold these intervals, along an axis of `length` cells."""
        size = max(1, int((ends - begins).max()))
        return cls(size, np.clip(begins, 0, length - size), begins, ends)

    def through(self, reads, length_above):
        """The windows above a layer that reads these."""
        affected = reads.affected(self.affected_begins, self.affected_ends, length_above)
        return AxisWindow.around(*affected, length_above)

    def equals(self, other):
        """Whether both are the same cells, at every position."""
        return self.size == other.size and np.array_equal(self.begins, other.begins)


def union(windows, length):
    """The windows that hold all of `windows`, of tensors of the same `length`."""
    begins = np.min([window.affected_begins for window in windows], axis=0)
    ends = np.max([window.affected_ends for window in windows], axis=0)
    return AxisWindow.around(begins, ends, length)
