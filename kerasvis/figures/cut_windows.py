"""Windows cut to what lies inside their images, so that figures show little of the outside."""

import dataclasses
import types
from collections.abc import Sequence
from typing import Any, cast

import numpy as np


def cut_windows(layer: Any, size: Sequence[int] | None = None) -> Any:
    """The same feature maps in smaller windows.

    A receptive field may be larger than the image; without this, much of its window would be empty.

    Args:
        layer: a `FeatureVisualization` or `LayerEvolution`.
        size: `(height, width)` of the windows in pixels, at least that of each part inside an
            image; by default the largest of these.

    Returns:
        The layer, or an object with the same fields, whose `projections`, `patches` and `boxes` are
        those of the smaller windows. Each contains every pixel of its old window that lies inside
        the image.
    """
    old_size = layer.projections.shape[2:4]
    begins, ends = layer.boxes[..., :2], layer.boxes[..., 2:]
    if size is None:
        is_present = (layer.image_indices >= 0)[..., None]
        size = np.where(is_present, ends - begins, 1).max(axis=(0, 1))
    size = np.minimum(size, old_size)
    if np.array_equal(size, old_size):
        return layer
    # As near to the middle of the old window as the part inside the image allows.
    corners = np.clip((old_size - size) // 2, ends - size, begins)
    corners = np.clip(corners, 0, old_size - size)
    names = ("projections", "patches") if layer.patches.shape[2:4] == old_size else ("projections",)
    changed = {name: _cut(getattr(layer, name), corners, size) for name in names}
    changed["boxes"] = (layer.boxes - np.tile(corners, 2)).clip(0, np.tile(size, 2)).astype("int32")
    if dataclasses.is_dataclass(layer):
        return dataclasses.replace(cast(Any, layer), **changed)
    return types.SimpleNamespace(**{**vars(layer), **changed})


def _cut(values, corners, size):
    """`(features, k, height, width, channels)`, each window beginning at its corner."""
    windows = np.lib.stride_tricks.sliding_window_view(values, tuple(size), axis=(2, 3))
    feature, place = np.ogrid[: values.shape[0], : values.shape[1]]
    cut = windows[feature, place, corners[..., 0], corners[..., 1]]
    return np.moveaxis(cut, 2, -1)
