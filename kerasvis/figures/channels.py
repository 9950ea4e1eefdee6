"""Images of other than 1 or 3 channels: shown channel by channel, or three of them as a colour.

A picture has one value (grey) or three (red, green, blue) for every pixel. Images of two, four or
more channels, such as satellite images, are shown as several grey pictures; or the caller chooses
three channels to show as red, green and blue.
"""

import types
from collections.abc import Sequence
from typing import Any

import numpy as np


def is_picture(num_channels: int) -> bool:
    """Whether the channels are those of one picture: grey, or red, green and blue."""
    return num_channels in (1, 3)


def num_pictures(num_channels: int, channels: Sequence[int] | None = None) -> int:
    """How many pictures show all channels, or the chosen ones; see `pictures`."""
    return 1 if channels is not None or is_picture(num_channels) else num_channels


def pictures(values: np.ndarray, channels: Sequence[int] | None = None) -> list[np.ndarray]:
    """Values of any number of channels as pictures of 1 or 3.

    Args:
        values: `(..., channels)`.
        channels: numbers of the channels to show, as `check_channels` returns them.

    Returns:
        A list of `(..., 1)` or `(..., 3)`: the channels chosen; by default 1 or 3 channels as they
        are, others one by one.
    """
    if channels is not None:
        return [values[..., list(channels)]]
    if is_picture(values.shape[-1]):
        return [values]
    return [values[..., channel : channel + 1] for channel in range(values.shape[-1])]


def signed_picture(values: np.ndarray) -> np.ndarray:
    """Signed values of 1 or 3 channels as they are; for other numbers their sum, as grey.

    Args:
        values: `(..., channels)`.

    Returns:
        Array `(..., 1)` or `(..., 3)`.
    """
    values = np.asarray(values)
    return values if is_picture(values.shape[-1]) else values.sum(axis=-1, keepdims=True)


def check_channels(channels: Sequence[int], num_channels: int) -> tuple[int, ...]:
    """The numbers of the channels to show: one, or three as red, green and blue.

    Raises:
        ValueError: if there is no such channel, or the number of channels is not one or three.
    """
    chosen = np.asarray(channels)
    fits = chosen.ndim == 1 and chosen.dtype.kind in "iu" and is_picture(len(chosen))
    if not fits or chosen.min() < 0 or chosen.max() >= num_channels:
        raise ValueError(
            f"Give one channel, or three as red, green and blue, from 0 to {num_channels - 1}. "
            f"Received: channels={channels!r}"
        )
    return tuple(chosen.tolist())


def channel_by_channel(layer: Any, channels: Sequence[int] | None = None) -> Any:
    """A layer's feature maps as pictures of 1 or 3 channels.

    Args:
        layer: a `FeatureVisualization` or `LayerEvolution`.
        channels: numbers of the channels to show: three as red, green and blue, or one as grey. By
            default all of them: 1 or 3 channels as they are, others one by one.

    Returns:
        The layer, or an object with the same fields. If channels are shown one by one, each feature
        map is repeated for each channel, and its entry in `feature_indices` names the channel.

    Raises:
        ValueError: if there is no such channel, or the number of channels is not one or three.
    """
    if np.ndim(getattr(layer, "projections", ())) != 5 or not hasattr(layer, "patches"):
        return layer  # drawing it raises the error
    num_channels = layer.projections.shape[-1]
    if channels is not None:
        chosen = check_channels(channels, num_channels)
        (projections,) = pictures(layer.projections, chosen)
        (patches,) = pictures(layer.patches, chosen)
        return _with(layer, projections=projections, patches=patches)
    if is_picture(num_channels):
        return layer
    names = [f"{f}, channel {c}" for f in layer.feature_indices for c in range(num_channels)]
    each = {
        name: np.repeat(getattr(layer, name), num_channels, axis=0)
        for name in ("activations", "image_indices", "positions", "boxes")
        if hasattr(layer, name)
    }
    each |= {name: _one_by_one(getattr(layer, name)) for name in ("projections", "patches")}
    return _with(layer, feature_indices=np.array(names), **each)


def as_rgb(pixels: np.ndarray) -> np.ndarray:
    """Pixels as red, green and blue; for other than 1 or 3 channels their mean, as grey.

    Args:
        pixels: `(..., height, width, channels)`.

    Returns:
        Array `(..., height, width, 3)` of the same dtype.
    """
    pixels = np.asarray(pixels)
    if not is_picture(pixels.shape[-1]):
        pixels = pixels.mean(axis=-1, keepdims=True).astype(pixels.dtype)
    return np.broadcast_to(pixels, (*pixels.shape[:-1], 3))


def _one_by_one(values):
    """`(features, k, height, width, channels)` as `(features × channels, k, height, width, 1)`."""
    moved = np.moveaxis(values, -1, 1)
    return moved.reshape(-1, *moved.shape[2:])[..., None]


def _with(layer, **changed):
    return types.SimpleNamespace(**{**_fields(layer), **changed})


def _fields(layer):
    return {name: getattr(layer, name) for name in FIELDS if hasattr(layer, name)}


FIELDS = (
    *("layer", "feature_indices", "activations", "image_indices", "positions"),
    *("projections", "patches", "boxes", "pixel_range", "method"),
)
