"""Aliasing: the grid that a large stride leaves in the projections of the layer above.

A projection of the second layer is put together of first-layer filters at places that lie the
first layer's stride apart. Where they join smoothly, nothing tells the stride; where they do not,
the strength of the projection rises and falls from place to place, a grid of lines in the picture
and peaks in its spectrum: at the stride's frequency, 1 / stride cycles per pixel, and its multiples
along both axes.
"""

import itertools

import numpy as np

# In units of 1 / window size, the finest detail of a window's spectrum. A peak is as wide as the
# main lobe of a Hann window down to half its amplitude, on either side; the lobe ends at 2.
PEAK_RADIUS = 1.0
NEIGHBOURHOOD_RADIUS = 2.0
ROUNDING = 1e-9  # points of the spectrum at these very distances count


def aliasing(projections, strides):
    """How far the first layer's stride stands out in the spectrum of each projection.

    The ratio of the mean energy at the stride's frequency and its multiples to the mean energy in
    the rings around them, which reach halfway to the next multiple: 1 where nothing happens at the
    stride. The spectrum is that of the projection's strength, the sum of absolute values over the
    channels, under a Hann window.

    Args:
        projections: array `(features, height, width, channels)`, signed.
        strides: `(rows, columns)`: pixels between neighbouring units of the first layer.

    Returns:
        float32 `(features,)`. NaN where there is nothing to measure: a projection that is zero
        everywhere, stride 1 along both axes, or windows smaller than four strides, whose spectrum
        is too coarse.

    Reference:
        Zeiler & Fergus 2013, Section 4.1 and Figure 5 (d): "aliasing artifacts caused by the large
        stride 4". Deviation: the paper judges by eye. The spectrum is that of the strength, not of
        the signed values: those can have energy at the stride only where filters do, and most
        trained filters do not, whereas the grid shows in strength with any filter.

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
    """Where in a spectrum the multiples of the stride are, and what lies around them.

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
    """Distance of each of so many frequencies from one, in cycles per pixel, around the circle."""
    return np.abs((np.arange(points) / points - frequency + 0.5) % 1 - 0.5)
