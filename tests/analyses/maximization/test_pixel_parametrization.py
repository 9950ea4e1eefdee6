import re

import numpy as np
import pytest

from kerasvis.analyses.maximization.pixel_parametrization import (
    PARAMETRIZATIONS,
    PixelParametrization,
    amplitudes,
)


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_gradient_is_the_adjoint_of_the_derivative(name, channels):
    """Against central differences along random directions."""
    shape = (2, 7, 4, channels)
    parametrized = PixelParametrization(name, shape)
    rng = np.random.default_rng(0)
    coefficients, slopes = rng.normal(size=(2, *shape))
    pulled = parametrized.coefficient_gradient(slopes, parametrized.pixels(coefficients))
    assert pulled.shape == shape
    for _ in range(5):
        direction = rng.normal(size=shape)
        step = 1e-5 * direction
        ahead, behind = (parametrized.pixels(coefficients + sign * step) for sign in (1, -1))
        expected = np.sum(slopes * (ahead - behind)) / 2e-5
        assert np.sum(pulled * direction) == pytest.approx(expected, rel=1e-5)


def test_pixels_are_the_logistic_function_of_coefficients():
    coefficients = np.array([[-3.0, 0.0, 2.0]]).reshape(1, 1, 3, 1)
    pixels = PixelParametrization("pixels", coefficients.shape).pixels(coefficients)
    np.testing.assert_allclose(pixels.ravel(), [255 / (1 + np.exp(-x)) for x in (-3, 0, 2)])


def test_a_frequency_is_a_cosine():
    coefficients = np.zeros((1, 6, 5, 1))
    coefficients[0, 2, 0, 0] = 0.3
    pixels = PixelParametrization("frequencies", coefficients.shape).pixels(coefficients)
    wave = np.cos(np.pi * 2 * (np.arange(6) + 0.5) / 6)
    wave *= np.log(pixels / (255 - pixels))[0, 0, 0, 0] / wave[0]
    for column in range(5):
        logits = np.log(pixels / (255 - pixels))[0, :, column, 0]
        np.testing.assert_allclose(logits, wave, atol=1e-12)


def test_amplitudes_fall_with_frequency_and_keep_the_mean_square():
    weights = amplitudes((8, 12))
    assert np.mean(weights**2) == pytest.approx(1)
    assert weights[2, 0] / weights[4, 0] == pytest.approx(2)
    assert weights[2, 0] == pytest.approx(weights[0, 3])  # one and the same wave length
    assert weights[0, 0] == weights.max() == weights[0, 1]
    noise = np.random.default_rng(0).normal(size=(200, 8, 12, 3))
    pixels = PixelParametrization("frequencies", noise.shape).pixels(0.1 * noise)
    logits = np.log(pixels / (255 - pixels))
    assert np.sqrt(np.mean(logits**2)) == pytest.approx(0.1, rel=0.05)


def test_unknown_name():
    sentence = "Give one of 'frequencies', 'pixels'. Received: parametrization='fourier'"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        PixelParametrization("fourier", (1, 2, 2, 3))
