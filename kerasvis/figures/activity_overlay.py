"""A photograph, bright where a feature map is active."""

import numpy as np

from kerasvis.figures.resampling import area_weights

DARKEST = 0.2  # share of a pixel's brightness where the feature map is not active


def activity_overlay(pixels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The photograph, with the brightness of a pixel following the activation there.

    Args:
        pixels: uint8 `(height, width, 3)`, RGB.
        values: `(rows, columns)`, a feature map; values below 0 count as 0.

    Returns:
        uint8 `(height, width, 3)`: full brightness at the strongest activation, a fifth of it at
        activation 0.

    Raises:
        ValueError: if shapes do not fit, or a value is NaN or infinite.

    Example:
        >>> import numpy as np
        >>> from kerasvis.figures.activity_overlay import activity_overlay
        >>> photograph = np.full((2, 4, 3), 250, "uint8")
        >>> activity_overlay(photograph, np.array([[0.0, 2.0]]))[0, :, 0].tolist()
        [50, 50, 250, 250]
    """
    pixels, values = np.asarray(pixels), np.maximum(np.asarray(values, "float64"), 0)
    if pixels.ndim != 3 or pixels.shape[-1] != 3 or values.ndim != 2 or not values.size:
        raise ValueError(
            "Give a photograph (height, width, 3) and a feature map (rows, columns). "
            f"Received: pixels of shape {pixels.shape}, values of shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(
            "The feature map contains NaN or infinity: check the model and its images. "
            f"Received: {np.count_nonzero(~np.isfinite(values)):,} values not finite"
        )
    rows, columns = (
        _spread(length, shorter)
        for length, shorter in zip(pixels.shape[:2], values.shape, strict=True)
    )
    share = rows @ (values / max(values.max(), np.finfo("float64").tiny)) @ columns.T
    brightness = DARKEST + (1 - DARKEST) * share
    return np.rint(pixels * brightness[..., None]).astype("uint8")


def _spread(length, shorter):
    """Weights that resize `shorter` values to `length` pixels: `(length, shorter)`."""
    if shorter > length:
        return area_weights(shorter, length)
    return np.eye(shorter)[np.arange(length) * shorter // length]
