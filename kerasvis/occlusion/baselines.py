"""The occluder's content: part of a completely occluded image.

Reference:
    Zeiler & Fergus 2013, Section 4.2: a grey square.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.ndimage

from kerasvis.storage.short import short

GREY = 127.5  # the middle of the range of pixels

NAMES = ("grey", "mean", "blur", "noise")


def baseline_image(
    image: np.ndarray,
    baseline: Any,
    preprocessing: Any,
    *,
    mean: Any = None,
    patch_size: Sequence[int] = (16, 16),
    seed: int = 0,
) -> np.ndarray:
    """The completely occluded image.

    Args:
        image: float `(rows, columns, channels)`, as the model takes it.
        baseline: `"grey"`, the middle of the range of pixels; `"mean"`, the data set's mean;
            `"blur"`, the image itself, blurred by a Gaussian half as wide as the occluder;
            `"noise"`, every value of every pixel drawn from the range of pixels; a number; a
            colour `(channels,)`; or an image of the shape of `image`. Numbers are in the units of
            `image`.
        preprocessing: the `kerasvis.data.Preprocessing` that made `image` from pixels; None if it
            is not known.
        mean: for `"mean"`, the mean in the units of `image`: a number, a colour or an image; an
            axis of length 1 is broadcast.
        patch_size: `(height, width)` of the occluder in pixels, for `"blur"`.
        seed: for `"noise"`.

    Returns:
        float32 array of the shape of `image`.

    Raises:
        ValueError: if `baseline` is none of these, or what it requires is not known.
    """
    image = np.asarray(image, "float32")
    if not isinstance(baseline, str):
        return _spread(baseline, image.shape, "baseline")
    if baseline in ("grey", "noise") and preprocessing is None:
        raise ValueError(
            "How the image was made from pixels is not known: give preprocessing, or baseline as "
            f"a number or a colour in units of the image. Received: baseline={baseline!r}"
        )
    if baseline == "grey":
        return preprocessing.images(np.full(image.shape, GREY, "float32"))
    if baseline == "blur":
        return scipy.ndimage.gaussian_filter(
            image, (*(size / 2 for size in patch_size), 0), mode="nearest"
        )
    if baseline == "noise":
        pixels = np.random.default_rng(seed).uniform(0, 255, image.shape).astype("float32")
        return preprocessing.images(pixels)
    if baseline == "mean":
        if mean is None:
            raise ValueError(
                "Neither the model nor its preprocessing contains the mean of a data set: give it "
                "as a colour or an image. Received: baseline='mean'"
            )
        return _spread(mean, image.shape, "mean")
    raise ValueError(
        f"Give {', '.join(map(repr, NAMES))}, a number, a colour or an image. "
        f"Received: baseline={baseline!r}"
    )


def _spread(value, shape, name):
    try:
        array = np.asarray(value, "float32")
        is_known = array.ndim in (0, 3) or array.shape == shape[-1:]
        spread = np.broadcast_to(array, shape) if is_known else None
    except (TypeError, ValueError):
        spread = None
    if spread is None or not np.isfinite(spread).all():
        raise ValueError(
            f"{name} is neither a finite number, nor a colour of {shape[-1]} channels, nor an "
            f"image of {'×'.join(map(str, shape))} values: give one of these. "
            f"Received: {name}={short(value)}"
        )
    return np.array(spread)
