"""Which locations of a feature map an occluder can change.

Along an axis, location `o` of a layer's output reads `kernel` locations of its input, from `o *
stride - pad_before` on. So an interval of changed locations below causes an interval of changed
locations above. The windows of all positions of the occluder get one common size, the largest; a
window that would extend beyond the border is moved inside.

Reference:
    Zeiler & Fergus 2013, Section 4.2: one occluder affects one window of every feature map.
"""

from typing import NamedTuple

import numpy as np


class Reads(NamedTuple):
    """Which input locations an output location depends on, along one axis.

    Attributes:
        kernel: number of locations, including the gaps of a dilation.
        stride: step of the first location from one output location to the next.
        pad_before: locations of padding before the input; negative where locations are cropped.
    """

    kernel: int = 1
    stride: int = 1
    pad_before: int = 0

    def affected(self, begins, ends, length_above):
        """The output locations that depend on the input locations `begins` to `ends`, half open."""
        first = -(-(begins + self.pad_before - self.kernel + 1) // self.stride)
        end = (ends - 1 + self.pad_before) // self.stride + 1
        first = np.clip(first, 0, length_above)
        return first, np.clip(end, first, length_above)

    def num_read(self, size):
        """Number of input locations that `size` neighbouring output locations read."""
        return (size - 1) * self.stride + self.kernel


class AxisWindow(NamedTuple):
    """The window of every occluder position along one axis of a tensor.

    Attributes:
        size: length of every window.
        begins: int `(positions,)`: the first location of each.
        affected_begins: int `(positions,)`: the first location that may actually differ.
        affected_ends: int `(positions,)`: the end of these; equal to the first if there is none.
    """

    size: int
    begins: np.ndarray
    affected_begins: np.ndarray
    affected_ends: np.ndarray

    @classmethod
    def around(cls, begins, ends, length):
        """The windows of one size that contain these intervals, along an axis of this length."""
        size = max(1, int((ends - begins).max()))
        return cls(size, np.clip(begins, 0, length - size), begins, ends)

    def through(self, reads, length_above):
        """The windows of the output of a layer that reads these."""
        affected = reads.affected(self.affected_begins, self.affected_ends, length_above)
        return AxisWindow.around(*affected, length_above)

    def equals(self, other):
        """Whether both are the same locations, at every position."""
        return self.size == other.size and np.array_equal(self.begins, other.begins)


def union(windows, length):
    """The windows that contain all of `windows`, of tensors of the same `length`."""
    begins = np.min([window.affected_begins for window in windows], axis=0)
    ends = np.max([window.affected_ends for window in windows], axis=0)
    return AxisWindow.around(begins, ends, length)
