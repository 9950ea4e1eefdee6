"""The variables of gradient ascent on an image: its pixels, or its frequencies.

Gradient ascent on pixels produces high frequencies, to which convnets respond, but which hardly
occur in photographs. Ascent on the coefficients of a cosine transform does not, provided that
frequencies are weighted, and colours correlated, as in photographs.

Reference:
    Olah, Mordvintsev & Schubert 2017, "Feature Visualization", "Preconditioning and
    Parameterization". Deviation: a cosine transform replaces the Fourier transform. It is
    orthonormal, and does not connect opposite borders of the image.
"""

import numpy as np
from scipy.fft import dctn, idctn

MAX_PIXEL = 255
PARAMETRIZATIONS = ("frequencies", "pixels")

# The square root of the covariance of ImageNet's colours, rows: red, green, blue (Lucid's).
_COLOUR_ROOT = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])


class PixelParametrization:
    """Maps coefficients to pixels in (0, 255), and gradients of pixels to those of coefficients.

    Coefficients with standard deviation d make pixels that differ from grey by about d, in units of
    the logistic function's argument.

    Args:
        name: `"frequencies"` or `"pixels"`.
        shape: `(images, rows, columns, channels)`.

    Raises:
        ValueError: if the name is unknown.
    """

    def __init__(self, name, shape):
        if name not in PARAMETRIZATIONS:
            raise ValueError(
                f"Give one of {', '.join(map(repr, PARAMETRIZATIONS))}. "
                f"Received: parametrization={name!r}"
            )
        self._has_frequencies = name == "frequencies"
        self._amplitudes = amplitudes(shape[1:3])[..., None]
        is_coloured = self._has_frequencies and shape[3] == 3
        self._colours = colour_root() if is_coloured else np.eye(shape[3])

    def pixels(self, coefficients):
        """float64 pixels of the coefficients, of the same shape."""
        if self._has_frequencies:
            coefficients = idctn(coefficients * self._amplitudes, axes=(1, 2), norm="ortho")
        return MAX_PIXEL / (1 + np.exp(-coefficients @ self._colours.T))

    def coefficient_gradient(self, gradient, pixels):
        """The gradient of the coefficients, from that of the `pixels` that they make."""
        share = pixels / MAX_PIXEL
        gradient = gradient * MAX_PIXEL * share * (1 - share) @ self._colours
        if not self._has_frequencies:
            return gradient
        return dctn(gradient, axes=(1, 2), norm="ortho") * self._amplitudes


def amplitudes(size):
    """The amplitude of each frequency in photographs: 1 / frequency, with a mean square of 1.

    Args:
        size: `(rows, columns)`.

    Returns:
        float64 `size`. Frequency 0 has the same amplitude as the lowest frequency above it.
    """
    rows, columns = (np.arange(length) / (2 * length) for length in size)
    frequencies = np.hypot(rows[:, None], columns)
    weights = 1 / np.maximum(frequencies, 1 / (2 * max(size)))
    return weights / np.sqrt(np.mean(weights**2))


def colour_root():
    """Maps independent components to correlated colours, and preserves a mean square of 1."""
    return _COLOUR_ROOT / np.sqrt(np.mean(np.sum(_COLOUR_ROOT**2, axis=1)))
