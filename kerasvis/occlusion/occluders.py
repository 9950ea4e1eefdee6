"""The occluder's positions: squares of one size on a grid, the last ones clipped at the border."""

import dataclasses
import functools
import operator
from typing import Self

import numpy as np

PATCH_SHARE = 7  # of the shorter side


@dataclasses.dataclass(frozen=True)
class Occluders:
    """The positions of an occluder that slides over an image, or over a box in it.

    It starts at the top left and moves by `strides`. The last position along an axis is the first
    one that reaches the end, where the occluder is clipped; so every pixel is occluded unless the
    strides are larger than the occluder. If they are, the last position is the last that occludes
    any pixel.

    Attributes:
        image_size: `(height, width)` in pixels.
        patch_size: `(height, width)` of the occluder in pixels.
        strides: `(rows, columns)` between positions in pixels.
        box: `(top, left, bottom, right)` of the part of the image to occlude, half open; the whole
            image by default.

    Raises:
        ValueError: if the occluder is larger than the image or the box, a number is not positive,
            or the box does not lie inside the image.

    Reference:
        Zeiler & Fergus 2013, Section 4.2.

    Example:
        >>> import kerasvis as kv
        >>> kv.occlusion.Occluders((10, 7), patch_size=4, strides=3).boxes[-1, -1].tolist()
        [6, 3, 10, 7]
    """

    image_size: tuple[int, int]
    patch_size: tuple[int, int]
    strides: tuple[int, int]
    box: tuple[int, int, int, int] | None = None

    @classmethod
    def of(
        cls,
        image_size: int | tuple[int, int],
        patch_size: int | tuple[int, int] | None = None,
        strides: int | tuple[int, int] | None = None,
        box: tuple[int, int, int, int] | None = None,
    ) -> Self:
        """Creates the positions from numbers, for both axes, or pairs.

        By default the occluder is a seventh of the shorter side of what is occluded, and the
        strides are half the occluder.
        """
        whole = _pair(image_size, "image_size")
        if patch_size is None:
            top, left, bottom, right = _box(box, whole)
            patch_size = max(1, round(min(bottom - top, right - left) / PATCH_SHARE))
        height, width = _pair(patch_size, "patch_size")
        if strides is None:
            strides = (max(1, height // 2), max(1, width // 2))
        return cls(whole, (height, width), _pair(strides, "strides"), box)

    def __post_init__(self):
        standard = {
            "image_size": _pair(self.image_size, "image_size"),
            "patch_size": _pair(self.patch_size, "patch_size"),
            "strides": _pair(self.strides, "strides"),
        }
        standard["box"] = _box(self.box, standard["image_size"])
        for name, value in standard.items():
            object.__setattr__(self, name, value)
        top, left, bottom, right = self.box
        size = (bottom - top, right - left)
        if any(patch > length for patch, length in zip(self.patch_size, size, strict=True)):
            occluded = "image" if size == self.image_size else "box"
            raise ValueError(
                f"The occluder of {_by(self.patch_size)} pixels is larger than the {occluded} of "
                f"{_by(size)}: give a smaller one. Received: patch_size={self.patch_size}"
            )

    @functools.cached_property
    def rows(self) -> np.ndarray:
        """int32 `(rows of positions, 2)`: the first occluded row of pixels, and the end."""
        return self._intervals(0)

    @functools.cached_property
    def columns(self) -> np.ndarray:
        """int32 `(columns of positions, 2)`: the first occluded column, and the end."""
        return self._intervals(1)

    def _intervals(self, axis):
        begin, end = self.box[axis], self.box[axis + 2]
        num_steps = -(-(end - begin - self.patch_size[axis]) // self.strides[axis])
        num_steps = min(num_steps, (end - begin - 1) // self.strides[axis])
        begins = begin + np.arange(num_steps + 1) * self.strides[axis]
        return np.stack([begins, np.minimum(begins + self.patch_size[axis], end)], 1).astype(
            "int32"
        )

    @property
    def shape(self) -> tuple[int, int]:
        """`(rows, columns)`: the grid of positions."""
        return len(self.rows), len(self.columns)

    @property
    def boxes(self) -> np.ndarray:
        """int32 `(rows, columns, 4)`: (top, left, bottom, right) of each, in pixels, half open."""
        rows, columns = np.meshgrid(*map(np.arange, self.shape), indexing="ij")
        parts = [self.rows[rows], self.columns[columns]]
        return np.stack([parts[i][..., end] for end in (0, 1) for i in (0, 1)], axis=-1)

    def heat_map(self, values: np.ndarray) -> np.ndarray:
        """Values of positions as a heat map: per pixel the mean over positions that occlude it.

        Args:
            values: `(rows, columns)`, one number for each position.

        Returns:
            float64 `image_size`; NaN at pixels that are never occluded.

        Raises:
            ValueError: if the number of values is wrong.
        """
        if np.shape(values) != self.shape:
            raise ValueError(
                f"Give a value for each of {_by(self.shape)} positions. "
                f"Received: values of shape {np.shape(values)}"
            )
        total, count = np.zeros(self.image_size), np.zeros(self.image_size)
        for (top, left, bottom, right), value in zip(
            self.boxes.reshape(-1, 4), np.ravel(values), strict=True
        ):
            total[top:bottom, left:right] += value
            count[top:bottom, left:right] += 1
        return np.divide(total, count, out=np.full(self.image_size, np.nan), where=count > 0)


def _pair(value, name):
    try:
        height, width = (value, value) if np.ndim(value) == 0 else value
        pair = operator.index(height), operator.index(width)
    except (TypeError, ValueError):
        pair = (0, 0)
    if min(pair) < 1:
        raise ValueError(
            "Give an integer number of pixels, 1 or more, or a pair (rows, columns). "
            f"Received: {name}={value!r}"
        )
    return pair


def _box(box, image_size):
    height, width = image_size
    if box is None:
        return (0, 0, height, width)
    try:
        top, left, bottom, right = (operator.index(edge) for edge in box)
    except (TypeError, ValueError):
        top = left = bottom = right = -1
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise ValueError(
            f"Give (top, left, bottom, right) in pixels, inside the image of {_by(image_size)}. "
            f"Received: box={box!r}"
        )
    return (top, left, bottom, right)


def _by(size):
    return "×".join(map(str, size))
