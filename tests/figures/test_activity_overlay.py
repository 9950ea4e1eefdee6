import numpy as np
import pytest

from kerasvis.figures.activity_overlay import DARKEST, activity_overlay


def test_every_pixel_takes_the_brightness_of_its_part():
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (9, 10, 3)).astype("uint8")
    values = random.normal(size=(3, 5))
    shown = activity_overlay(pixels, values)
    for row, column in np.ndindex(9, 10):
        share = max(values[row // 3, column // 2], 0) / values.max()
        expected = pixels[row, column] * (DARKEST + (1 - DARKEST) * share)
        np.testing.assert_allclose(shown[row, column], expected, atol=0.5 + 1e-6)


def test_a_silent_feature_map_is_dark():
    pixels = np.full((7, 5, 3), 200, "uint8")
    assert (activity_overlay(pixels, np.zeros((2, 2))) == 40).all()


def test_more_places_than_pixels():
    shown = activity_overlay(np.full((2, 2, 3), 100, "uint8"), np.ones((5, 3)))
    assert (shown == 100).all()


@pytest.mark.parametrize(
    ("pixels", "values"),
    [((4, 4, 1), (2, 2)), ((4, 4, 3), (2, 2, 1)), ((4, 4, 3), (0, 2))],
)
def test_shapes_that_do_not_fit(pixels, values):
    with pytest.raises(ValueError, match="Received"):
        activity_overlay(np.zeros(pixels, "uint8"), np.zeros(values))


def test_nan():
    with pytest.raises(ValueError, match="NaN"):
        activity_overlay(np.zeros((4, 4, 3), "uint8"), np.full((2, 2), np.nan))
