import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasvis.figures.resampling import area_weights, enlarge, shrink


def noise(shape):
    return np.random.default_rng(0).normal(size=shape)


def mean_by_fine_pixels(tile, new_height, new_width):
    """Area means over a grid so fine that every old and every new pixel is a block of it."""
    height, width = tile.shape[:2]
    fine = tile.repeat(new_height, axis=0).repeat(new_width, axis=1)
    rows, columns = len(fine) // new_height, fine.shape[1] // new_width
    means = np.empty((new_height, new_width, tile.shape[2]))
    for row in range(new_height):
        for column in range(new_width):
            block = fine[row * rows : (row + 1) * rows, column * columns : (column + 1) * columns]
            assert block.shape[:2] == (height, width)
            means[row, column] = block.mean(axis=(0, 1))
    return means


@pytest.mark.parametrize("size", [(7, 7), (12, 5), (5, 13), (1, 9)])
@pytest.mark.parametrize("at_most", [1, 3, 4, 6])
def test_shrinks_to_area_means(size, at_most):
    tiles = noise((2, 3, *size, 3))
    expected_size = [max(round(length * min(at_most / max(size), 1)), 1) for length in size]
    actual = shrink(tiles, at_most)
    assert list(actual.shape) == [2, 3, *expected_size, 3]
    for tile in np.ndindex(2, 3):
        expected = mean_by_fine_pixels(tiles[tile], *expected_size)
        np.testing.assert_allclose(actual[tile], expected, rtol=1e-12, atol=1e-14)


@settings(max_examples=60)
@given(length=st.integers(1, 60), shorter=st.integers(1, 60))
def test_every_old_pixel_weighs_alike(length, shorter):
    shorter = min(length, shorter)
    weights = area_weights(length, shorter)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(weights.sum(axis=0), shorter / length, rtol=1e-12)


@pytest.mark.parametrize(("at_least", "times"), [(3, 1), (5, 1), (6, 2), (10, 2), (11, 3)])
def test_enlarges_by_whole_numbers(at_least, times):
    tiles = noise((2, 3, 5, 1))
    expected = np.kron(tiles, np.ones((1, times, times, 1)))
    np.testing.assert_array_equal(enlarge(tiles, at_least), expected)


def test_what_fits_is_left_alone():
    tiles = noise((2, 5, 8, 3))
    assert shrink(tiles, 8) is tiles
    assert enlarge(tiles, 8) is tiles
