"""The one contrast rule: signed values as colours around a neutral grey.

A projection has positive and negative values and no natural unit, and a few of its pixels are far
stronger than the rest. Scaled by the largest, most projections would be nearly invisible. So each
is scaled by a high percentile of its pixel strengths, and the few pixels above it keep their hue.
"""

from typing import Any

import numpy as np

from kerasvis.storage.counted import counted

GREY = 128
PERCENTILE = 99
CONTRAST_RULE = (
    f"on neutral grey (zero), each scaled by the {PERCENTILE}th percentile of its pixel strengths"
)


def signed_to_rgb(
    values: Any, *, percentile: float = PERCENTILE, shared: bool = False
) -> np.ndarray:
    """Signed images as RGB pixels on neutral grey.

    A pixel's strength is its largest absolute value over the channels. The scale is the given
    percentile of the strengths of all non-zero pixels: the signal never reached the others, and
    their number says nothing about contrast. Then, channel by channel, a value is shown as
    `128 + 127 * value / max(scale, strength)`: exactly (128, 128, 128) for zero, linear up to the
    scale, between 1 and 255. A pixel beyond the scale is divided by its own strength and thus keeps
    its hue, which clipping each channel separately would change.

    Args:
        values: array `(..., height, width, channels)` of signed numbers; 1 channel (grey) or 3
            (red, green, blue).
        percentile: percentile of the pixel strengths that gets full contrast, above 0 and at most
            100 (the strongest pixel).
        shared: whether all images share one scale; by default each has its own.

    Returns:
        uint8 array `(..., height, width, 3)`. An image that is zero everywhere is plain grey.

    Raises:
        ValueError: for NaN or infinity, another number of channels, or a percentile out of range.

    Reference:
        Zeiler & Fergus 2013, Figure 2. The paper does not state its rule.

    Example:
        >>> import kerasvis as kv
        >>> kv.figures.signed_to_rgb([[[0.0, 2.0, -1.0]]])
        array([[[128, 255,  64]]], dtype=uint8)
    """
    values = np.asarray(values)
    _check(values, percentile)
    strengths = np.abs(values.astype("float64")).max(axis=-1, keepdims=True)
    scale = _scale(strengths, percentile) if shared else None
    pixels = np.empty((*values.shape[:-1], 3), "uint8")
    for image in np.ndindex(values.shape[:-3]):
        full = _scale(strengths[image], percentile) if scale is None else scale
        divisor = np.maximum(strengths[image], full)
        pixels[image] = np.rint(GREY + 127 * (values[image] / divisor))
    return pixels


def _scale(strengths, percentile):
    present = strengths[strengths > 0]
    return np.percentile(present, percentile) if present.size else 1.0


def _check(values, percentile):
    if values.ndim < 3 or values.shape[-1] not in (1, 3):
        raise ValueError(
            "Give values of shape (..., height, width, channels) with 1 or 3 channels. "
            f"Received: values of shape {values.shape}"
        )
    if not 0 < percentile <= 100:
        raise ValueError(
            f"Give a percentile above 0 and at most 100. Received: percentile={percentile}"
        )
    not_finite = np.argwhere(~np.isfinite(values))
    if len(not_finite):
        raise ValueError(
            "The values contain NaN or infinity: look for NaN or overflow in the model and its "
            f"images. Received: {counted(len(not_finite), 'value')} not finite, the first at index "
            f"{tuple(not_finite[0].tolist())}"
        )
