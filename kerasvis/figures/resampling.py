"""Tiles brought to the number of pixels that a print can show."""

import math

import numpy as np


def enlarge(tiles, at_least):
    """Tiles with every pixel repeated until the longer side has at least so many pixels.

    The same whole number of times each, so that pixels stay crisp squares of one size.

    Args:
        tiles: array `(..., height, width, channels)`.
        at_least: wanted length of the longer side in pixels.

    Returns:
        Array `(..., height * times, width * times, channels)`; the same array where it is large
        enough.
    """
    times = math.ceil(at_least / max(tiles.shape[-3:-1]))
    if times <= 1:
        return tiles
    return tiles.repeat(times, axis=-3).repeat(times, axis=-2)


def shrink(tiles, at_most):
    """Tiles averaged over areas until the longer side has at most so many pixels.

    Every new pixel is the mean over its area of the old ones, parts of pixels counted as parts, so
    that the mean of a tile stays what it was.

    Args:
        tiles: array `(..., height, width, channels)` of numbers.
        at_most: wanted length of the longer side in pixels.

    Returns:
        float array `(..., new height, new width, channels)`; the same array where it is small
        enough.
    """
    height, width = tiles.shape[-3:-1]
    ratio = at_most / max(height, width)
    if ratio >= 1:
        return tiles
    rows, columns = (
        area_weights(length, max(round(length * ratio), 1)) for length in (height, width)
    )
    return np.einsum("rh,...hwc,sw->...rsc", rows, tiles, columns, optimize=True)


def area_weights(length, shorter):
    """Weights `(shorter, length)` of the means over `shorter` equal parts of `length` pixels."""
    edges = np.arange(shorter + 1) * (length / shorter)
    begins, ends = edges[:-1, None], edges[1:, None]
    pixels = np.arange(length)
    overlaps = np.minimum(ends, pixels + 1) - np.maximum(begins, pixels)
    return np.maximum(overlaps, 0) * (shorter / length)
