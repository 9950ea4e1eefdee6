"""How alike two maps of one image are, by the four measures of the sanity checks.

Reference:
    Adebayo et al. 2018, "Sanity checks for saliency maps", Section 4.
"""

from typing import NamedTuple

import numpy as np
import scipy.stats
import skimage.feature
import skimage.metrics

MEASURES = ("rank, absolute", "rank, signed", "SSIM", "HOG")
PERCENTILE = 99  # of the strengths; values above it are clipped
MAX_WINDOW, MAX_CELL = 7, 16  # pixels
SMALLEST_SIDE = 3


def map_similarity(first, second):
    """The similarity of two maps.

    `"rank, absolute"` is Spearman's rank correlation of the strengths, the absolute values summed
    over channels; `"rank, signed"` that of the values summed over channels. `"SSIM"` is the
    structural similarity of the strengths, clipped at their 99th percentile and scaled to [0, 1].
    `"HOG"` is Pearson's correlation of the histograms of oriented gradients of the same.

    Args:
        first: `(rows, columns, channels)`, signed.
        second: the same.

    Returns:
        float64 `(measures,)` in the order of `MEASURES`, in [-1, 1]; 1 for equal maps; NaN where
        a map is constant.

    Raises:
        ValueError: if the shapes differ, or a side is below three pixels.
    """
    first, second = np.asarray(first, "float64"), np.asarray(second, "float64")
    if first.shape != second.shape:
        raise ValueError(
            "The maps have different shapes: give two of one shape (rows, columns, channels). "
            f"Received: maps of shapes {first.shape} and {second.shape}"
        )
    return similarity(describe(first), describe(second))


class Described(NamedTuple):
    """The features of a map that are compared, computed once for many comparisons.

    Attributes:
        ranks: `(rows, columns)`, of the strengths.
        signed_ranks: `(rows, columns)`, of the values.
        picture: `(rows, columns)` in [0, 1]; None for a constant map.
        histograms: histograms of oriented gradients; None for a constant map.
    """

    ranks: np.ndarray
    signed_ranks: np.ndarray
    picture: np.ndarray | None
    histograms: np.ndarray | None


def describe(values):
    """The `Described` map of `(rows, columns, channels)`.

    Raises:
        ValueError: if it does not have three axes, or a side is below three pixels.
    """
    values = np.asarray(values, "float64")
    _check(values)
    strengths = strength(values)
    ranks = [scipy.stats.rankdata(x).reshape(x.shape) for x in (strengths, values.sum(axis=-1))]
    if np.ptp(strengths) == 0:
        return Described(*ranks, None, None)
    shown = picture(strengths)
    return Described(*ranks, shown, gradient_histograms(shown))


def similarity(first, second):
    """The similarity of two `Described` maps; see `map_similarity`."""
    ranks = correlation(first.ranks, second.ranks)
    signed = correlation(first.signed_ranks, second.signed_ranks)
    if first.picture is None or second.picture is None:
        return np.array([ranks, signed, np.nan, np.nan])
    structural = structural_similarity(first.picture, second.picture)
    return np.array([ranks, signed, structural, correlation(first.histograms, second.histograms)])


def strength(values):
    """The absolute values of `(..., channels)`, summed over channels."""
    return np.abs(values).sum(axis=-1)


def picture(strengths):
    """Strengths scaled to [0, 1]: a high percentile of the non-zero ones becomes 1."""
    return np.minimum(strengths / np.percentile(strengths[strengths > 0], PERCENTILE), 1)


def correlation(first, second):
    """Pearson's correlation of two arrays as lists of numbers; NaN if one is constant."""
    first, second = (np.ravel(x) - np.mean(x) for x in (first, second))
    norm = np.linalg.norm(first) * np.linalg.norm(second)
    return float(np.clip(first @ second / norm, -1, 1)) if norm > 0 else np.nan


def structural_similarity(first, second):
    """SSIM of pictures in [0, 1], in windows of 7×7 pixels, or the largest odd ones that fit."""
    window = min(MAX_WINDOW, (min(first.shape) - 1) // 2 * 2 + 1)
    return float(
        skimage.metrics.structural_similarity(first, second, win_size=window, data_range=1.0)
    )


def gradient_histograms(shown):
    """Histograms of oriented gradients, in 3×3 or more HOG cells of at most 16×16 pixels."""
    cell = min(MAX_CELL, min(shown.shape) // 3)
    return skimage.feature.hog(shown, pixels_per_cell=(cell, cell), cells_per_block=(3, 3))


def cut(values, box):
    """The part of `(rows, columns, ...)` inside a box (top, left, bottom, right)."""
    top, left, bottom, right = box
    return values[top:bottom, left:right]


def mean_of_defined(values):
    """Mean over the last axis, ignoring NaN; NaN where all values are NaN."""
    is_defined = ~np.isnan(values)
    total, count = np.where(is_defined, values, 0).sum(axis=-1), is_defined.sum(axis=-1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _check(values):
    if values.ndim != 3:
        raise ValueError(
            "Give a map of shape (rows, columns, channels). "
            f"Received: a map of shape {values.shape}"
        )
    if min(values.shape[:2]) < SMALLEST_SIDE:
        raise ValueError(
            f"The map is too small to compare: give {SMALLEST_SIDE} pixels or more along each "
            f"side. Received: a map of {values.shape[0]}×{values.shape[1]} pixels"
        )
