import numpy as np
import pytest

from kerasvis.analyses.maximization.total_variation import (
    SMOOTHNESS,
    total_variation,
    total_variation_gradient,
)


def test_by_loops():
    images = np.random.default_rng(0).uniform(size=(2, 4, 3, 2))
    for image, actual in zip(images, total_variation(images), strict=True):
        expected = 0
        for row, column, channel in np.ndindex(image.shape):
            for down, right in ((1, 0), (0, 1)):
                if row + down < 4 and column + right < 3:
                    other = image[row + down, column + right, channel]
                    difference = other - image[row, column, channel]
                    expected += np.sqrt(difference**2 + SMOOTHNESS**2)
        assert actual == pytest.approx(expected)


def test_gradient_by_central_differences():
    images = np.random.default_rng(1).uniform(size=(2, 4, 3, 2))
    gradient = total_variation_gradient(images)
    for place in np.ndindex(images.shape):
        step = np.zeros(images.shape)
        step[place] = 1e-6
        rise = total_variation(images + step) - total_variation(images - step)
        assert gradient[place] == pytest.approx(rise[place[0]] / 2e-6, abs=1e-5)


def test_an_image_of_one_colour_has_no_slope():
    assert not total_variation_gradient(np.full((1, 5, 4, 3), 0.3)).any()
