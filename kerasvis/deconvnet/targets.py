"""Targets: which activations are projected; all others are set to zero.

Each field is an integer for all images, or a sequence with one integer per image.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kerasvis.storage.counted import counted

__all__ = ["Strongest", "Unit", "WholeMap"]

STRONGEST, WHOLE = -1, -2  # as row and column, instead of a single position


class Unit(NamedTuple):
    """One unit: of a feature map, at (row, column), or of a dense layer, such as a class score."""

    feature: int | Sequence[int]
    row: int | Sequence[int] | None = None
    column: int | Sequence[int] | None = None


class Strongest(NamedTuple):
    """The strongest unit of a feature map in each image; of equal ones the first, row by row."""

    feature: int | Sequence[int]


class WholeMap(NamedTuple):
    """A feature map with all its units."""

    feature: int | Sequence[int]


Target = Unit | Strongest | WholeMap


def as_arrays(
    target: Target, num_images: int, shape: Sequence[int | None]
) -> tuple[np.ndarray, np.ndarray]:
    """A target as arrays with one entry per image.

    Args:
        target: `Unit`, `Strongest` or `WholeMap`.
        num_images: number of images.
        shape: `(rows, columns, features)` or `(features,)` of the target layer; None if unknown.

    Returns:
        `(features, positions)`: int32 `(images,)` and `(images, 2)`; instead of a (row, column),
        a position may be (`STRONGEST`, `STRONGEST`) or (`WHOLE`, `WHOLE`).

    Raises:
        ValueError: if a number is outside the layer, or sequences have the wrong length.
    """
    if not isinstance(target, Target):
        raise ValueError(
            "Give kerasvis.targets.Unit(feature, row, column), Strongest(feature) or "
            f"WholeMap(feature). Received: target={target!r}"
        )
    features = _one_per_image(target.feature, num_images, "feature")
    _check_range(features, shape[-1], "feature", "features")
    if isinstance(target, Unit):
        positions = _unit_positions(target, num_images, shape)
    else:
        code = STRONGEST if isinstance(target, Strongest) else WHOLE
        positions = np.full((num_images, 2), code, "int32")
    return features, positions


def _unit_positions(unit, num_images, shape):
    if len(shape) == 1:
        given = [value for value in (unit.row, unit.column) if value is not None]
        if np.any(np.asarray(given)):
            raise ValueError(
                "The units of a dense layer have no position: give Unit(feature). "
                f"Received: target={unit!r}"
            )
        return np.zeros((num_images, 2), "int32")
    if unit.row is None or unit.column is None:
        raise ValueError(
            "A feature map has many units: give Unit(feature, row, column), or Strongest(feature). "
            f"Received: target={unit!r}"
        )
    columns = []
    for name, values, length in zip(("row", "column"), unit[1:], shape, strict=False):
        columns.append(_one_per_image(values, num_images, name))
        _check_range(columns[-1], length, name, f"{name}s")
    return np.stack(columns, axis=1)


def _one_per_image(values, num_images, name):
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.ndim > 1:
        raise ValueError(
            f"Give an integer, or a list with one per image, as the target's {name}. "
            f"Received: {name}={values!r}"
        )
    if array.ndim and len(array) != num_images:
        raise ValueError(
            f"Give one number as the target's {name}, or one per image. "
            f"Received: {counted(len(array), 'number')} for {counted(num_images, 'image')}"
        )
    return np.broadcast_to(array, (num_images,)).astype("int32")


def _check_range(values, length, name, plural):
    if length is None or len(values) == 0:
        return
    if values.min() < 0 or values.max() >= length:
        wrong = int(values[(values < 0) | (values >= length)][0])
        raise ValueError(
            f"The layer has {length} {plural}: give 0 to {length - 1}. Received: {name}={wrong}"
        )
