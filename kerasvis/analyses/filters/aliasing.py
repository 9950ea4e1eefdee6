"""Aliasing: the grid that a large stride leaves in the projections of the layer above.

A projection of the second layer is a sum of first-layer filters at positions one stride apart. If
they join smoothly, the stride does not show. If they do not, the strength of the projection rises
and falls from position to position. This appears as a grid of lines in the image, and as peaks in
its spectrum: at the stride's frequency, 1 / stride cycles per pixel, and its multiples along both
axes.
"""

import itertools

import numpy as np

# In units of 1 / window size, the resolution of a window's spectrum. A peak has the half-width of
# the main lobe of a Hann window at half its amplitude; the lobe ends at 2.
PEAK_RADIUS = 1.0
NEIGHBOURHOOD_RADIUS = 2.0
ROUNDING = 1e-9  # includes points of the spectrum at exactly these distances


def aliasing(projections, strides):
    """How strongly the first layer's stride appears in the spectrum of each projection.

    This is the ratio of the mean energy at the stride's frequency and its multiples to the mean
    energy in the rings around them, which reach halfway to the next multiple. It is 1 without
    aliasing. The spectrum is that of the projection's strength, the sum of absolute values over the
    channels, under a Hann window.

    Args:
        projections: array `(features, height, width, channels)`, signed.
        strides: `(rows, columns)`: pixels between neighbouring units of the first layer.

    Returns:
        float32 `(features,)`; NaN where it cannot be measured: for a projection that is zero
        everywhere, stride 1 along both axes, or windows smaller than four strides, whose spectrum
        is too coarse.

    Reference:
        Zeiler & Fergus 2013, Section 4.1 and Figure 5 (d): "aliasing artifacts caused by the large
        stride 4". Deviation: the paper judges by eye. The spectrum is that of the strength, not of
        the signed values. Signed values have energy at the stride only if the filters do, and most
        trained filters do not. The grid shows in the strength with any filter.

    Example:
        >>> import numpy as np
        >>> from kerasvis.analyses.filters.aliasing import aliasing
        >>> rows, columns = np.indices((48, 48))
        >>> grid = (rows % 4 == 0) * (columns % 4 == 0) + 0.1
        >>> bool(aliasing(grid[None, :, :, None], (4, 4))[0] > 100)
        True
    """
    projections = np.asarray(projections, "float64")
    size = projections.shape[1:3]
    peaks, rings = peaks_and_rings(size, tuple(strides))
    if not rings.any():
        return np.full(len(projections), np.nan, "float32")
    window = np.outer(*(np.hanning(length + 2)[1:-1] for length in size))
    strengths = np.abs(projections).sum(axis=-1) * window
    energy = np.abs(np.fft.fft2(strengths, peaks.shape)) ** 2
    is_zero = ~strengths.any(axis=(1, 2))
    at_peaks, around = energy[:, peaks].mean(axis=1), energy[:, rings].mean(axis=1)
    return np.where(is_zero, np.nan, at_peaks / np.where(is_zero, 1, around)).astype("float32")


def peaks_and_rings(size, strides):
    """The positions of the stride's multiples in a spectrum, and of the rings around them.

    Args:
        size: `(height, width)` of the windows in pixels.
        strides: `(rows, columns)` in pixels.

    Returns:
        `(peaks, rings)`: bool arrays of the shape of the spectrum, whose sides are multiples of the
        strides, so that the peaks lie on points of it.
    """
    shape = [s * -(-4 * length // s) for s, length in zip(strides, size, strict=True)]
    farthest = min(length / (2 * s) for s, length in zip(strides, size, strict=True))
    peaks, rings = np.zeros(shape, bool), np.zeros(shape, bool)
    for multiples in itertools.product(*map(range, strides)):
        if any(multiples):
            offsets = [
                _cycles_from(points, multiple / stride) * length
                for points, multiple, stride, length in zip(
                    shape, multiples, strides, size, strict=True
                )
            ]
            distances = np.hypot(offsets[0][:, None], offsets[1])
            peaks |= distances <= PEAK_RADIUS + ROUNDING
            rings |= (distances >= NEIGHBOURHOOD_RADIUS - ROUNDING) & (
                distances <= farthest + ROUNDING
            )
    return peaks, rings


def _cycles_from(points, frequency):
    """Circular distance of all frequencies of a spectrum from one, in cycles per pixel."""
    return np.abs((np.arange(points) / points - frequency + 0.5) % 1 - 0.5)
