"""What is changed when an image is found by gradient ascent: its pixels, or its frequencies.

Changed pixel by pixel, an image fills with high frequencies, to which convnets respond and which
photographs hardly have. Changed by coefficients of a cosine transform, each weighted as strongly as
that frequency is in photographs, and in colours that are as correlated as theirs, it does not.

Reference:
    Olah, Mordvintsev & Schubert 2017, "Feature Visualization", "Preconditioning and
    Parameterization". Deviation: a cosine transform stands for the Fourier transform; it is
    orthonormal, and does not join one border of the image to the opposite one.
"""

import numpy as np
from scipy.fft import dctn, idctn

MAX_PIXEL = 255
PARAMETRIZATIONS = ("frequencies", "pixels")

# The square root of the covariance of ImageNet's colours, rows: red, green, blue (Lucid's).
_COLOUR_ROOT = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])


class PixelParametrization:
    """Maps coefficients to pixels in (0, 255), and derivatives by pixels back.

    Coefficients with standard deviation d give pixels that differ from grey by about d, in units of
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
                f"The parametrization is {name!r}: give one of {', '.join(PARAMETRIZATIONS)}."
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

    def pulled_back(self, derivatives, pixels):
        """Derivatives by the coefficients, from those by the `pixels` that they gave."""
        share = pixels / MAX_PIXEL
        derivatives = derivatives * MAX_PIXEL * share * (1 - share) @ self._colours
        if not self._has_frequencies:
            return derivatives
        return dctn(derivatives, axes=(1, 2), norm="ortho") * self._amplitudes


def amplitudes(size):
    """How strong each frequency is in photographs: 1 / frequency, with a mean square of 1.

    Args:
        size: `(rows, columns)`.

    Returns:
        float64 `size`. The constant counts as the lowest frequency that the image holds.
    """
    rows, columns = (np.arange(length) / (2 * length) for length in size)
    frequencies = np.hypot(rows[:, None], columns)
    weights = 1 / np.maximum(frequencies, 1 / (2 * max(size)))
    return weights / np.sqrt(np.mean(weights**2))


def colour_root():
    """Independent components to correlated colours; a mean square of 1 stays that."""
    return _COLOUR_ROOT / np.sqrt(np.mean(np.sum(_COLOUR_ROOT**2, axis=1)))
