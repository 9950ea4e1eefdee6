"""Transformed photographs against shifted, turned and sampled arrays."""

import numpy as np
import pytest

from kerasvis.analyses.invariance.image_transformations import transformed

SIZE = (21, 16)


@pytest.fixture(scope="module")
def photograph():
    """Larger than what the model sees by 6 rows and 5 columns."""
    return np.random.default_rng(0).integers(0, 256, (27, 21, 3)).astype("uint8")


def smooth(size):
    """A photograph without detail, which any interpolation gets right: uint8."""
    rows, columns = np.meshgrid(*(np.linspace(0, 1, n) for n in size), indexing="ij")
    return (60 + 90 * rows**2 + 80 * rows * columns)[..., None].round().astype("uint8")


@pytest.mark.parametrize(
    ("transformation", "value"),
    [("translation", 0), ("scale", 1), ("rotation", 0), ("rotation", 360), ("rotation", -720)],
)
def test_the_untransformed_image_is_the_centre(photograph, transformation, value):
    image = transformed(photograph, transformation, value, SIZE)
    assert image.dtype == "uint8"
    np.testing.assert_array_equal(image, photograph[3:24, 2:18])


@pytest.mark.parametrize("pixels", [-13, -2, 3, 8])
def test_translations_move_down_and_repeat_the_border(photograph, pixels):
    image = transformed(photograph, "translation", pixels, SIZE)
    rows = [min(max(row + 3 - pixels, 0), 26) for row in range(21)]
    np.testing.assert_array_equal(image, photograph[rows, 2:18])


@pytest.mark.parametrize("side", [16, 17])
def test_quarter_turns_go_counter_clockwise(side):
    photograph = np.random.default_rng(1).integers(0, 256, (side, side, 3)).astype("uint8")
    for turns in (1, 2, 3):
        image = transformed(photograph, "rotation", 90 * turns, (side, side))
        np.testing.assert_array_equal(image, np.rot90(photograph, turns))


def test_an_eighth_of_a_turn_counter_clockwise():
    photograph = np.zeros((41, 41, 1), "uint8")
    photograph[19:22, 33:36] = 255  # right of the centre, by 14
    image = transformed(photograph, "rotation", 45, (41, 41))[..., 0].astype(float)
    rows, columns = np.indices(image.shape)
    place = [(image * axis).sum() / image.sum() - 20 for axis in (rows, columns)]
    np.testing.assert_allclose(place, [-14 / np.sqrt(2), 14 / np.sqrt(2)], atol=0.1)


@pytest.mark.parametrize("factor", [1.25, 1.8])
def test_scales_enlarge_about_the_centre(factor):
    size = (40, 31)
    photograph = smooth(size)
    image = transformed(photograph, "scale", factor, size)
    rows, columns = (
        (np.arange(n) - (n - 1) / 2) / factor + (n - 1) / 2 for n in size
    )  # where each pixel comes from
    rows, columns = np.meshgrid(rows / 39, columns / 30, indexing="ij")
    expected = 60 + 90 * rows**2 + 80 * rows * columns
    np.testing.assert_allclose(image[..., 0], expected, atol=1.2)  # both were rounded


def test_nothing_wraps_around():
    photograph = np.zeros((20, 20, 1), "uint8")
    photograph[:, 10:] = 255  # splines overshoot at the edge
    image = transformed(photograph, "scale", 1.37, (20, 20))[10, :, 0].astype(int)
    assert image[:8].max() < 30
    assert image[-8:].min() > 225
