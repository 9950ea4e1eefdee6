"""Resizes tiles to print resolution."""

import math

import numpy as np


def enlarge(tiles, at_least):
    """Tiles with every pixel repeated until the longer side has at least `at_least` pixels.

    All pixels are repeated equally often, so that they stay squares of one size.

    Args:
        tiles: array `(..., height, width, channels)`.
        at_least: minimum length of the longer side in pixels.

    Returns:
        Array `(..., height * times, width * times, channels)`; the same array if it is large
        enough.
    """
    times = math.ceil(at_least / max(tiles.shape[-3:-1]))
    if times <= 1:
        return tiles
    return tiles.repeat(times, axis=-3).repeat(times, axis=-2)


def shrink(tiles, at_most):
    """Tiles averaged over areas until the longer side has at most `at_most` pixels.

    Every new pixel is the mean of the old pixels in its area, weighted by overlap, so that the mean
    of a tile does not change.

    Args:
        tiles: array `(..., height, width, channels)` of numbers.
        at_most: maximum length of the longer side in pixels.

    Returns:
        float array `(..., new height, new width, channels)`; the same array if it is small enough.
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
