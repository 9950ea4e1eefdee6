import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasvis.figures.mosaic import mosaic, near_square


def random_tiles(num_tiles, height, width, channels=3):
    rng = np.random.default_rng(num_tiles)
    return rng.integers(0, 250, (num_tiles, height, width, channels)).astype("uint8")


def by_loops(tiles, columns, gap, background):
    """The mosaic, asked pixel by pixel for the tile that covers it."""
    height, width, channels = next(tile.shape for tile in tiles if tile is not None)
    rows = math.ceil(len(tiles) / columns)
    total = (rows * height + (rows - 1) * gap, columns * width + (columns - 1) * gap, channels)
    expected = np.full(total, background, "uint8")
    for y in range(total[0]):
        for x in range(total[1]):
            row, inner_row = divmod(y, height + gap)
            column, inner_column = divmod(x, width + gap)
            number = row * columns + column
            covered = inner_row < height and inner_column < width and number < len(tiles)
            if covered and tiles[number] is not None:
                expected[y, x] = tiles[number][inner_row, inner_column]
    return expected


@settings(max_examples=80)
@given(
    num_tiles=st.integers(1, 11),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    columns=st.integers(1, 5),
    gap=st.integers(0, 3),
    absent=st.sets(st.integers(1, 10)),
    background=st.sampled_from([0, 255]),
)
def test_places_tiles_like_loops(num_tiles, size, columns, gap, absent, background):
    tiles = list(random_tiles(num_tiles, *size))
    tiles = [None if number in absent else tile for number, tile in enumerate(tiles)]
    actual = mosaic(tiles, columns=columns, gap=gap, background=background)
    assert actual.dtype == np.uint8
    np.testing.assert_array_equal(actual, by_loops(tiles, columns, gap, background))


def test_a_tile_of_size_zero_stays_blank():
    tiles = [*random_tiles(2, 4, 3), np.zeros((0, 3, 3), "uint8")]
    expected = mosaic([*tiles[:2], None], columns=3)
    np.testing.assert_array_equal(mosaic(tiles, columns=3), expected)
    assert np.all(expected[:, 8:] == 255)


GRIDS = {1: (1, 1), 2: (1, 2), 3: (2, 2), 4: (2, 2), 5: (2, 3), 6: (2, 3), 7: (3, 3), 8: (3, 3)}
GRIDS |= {9: (3, 3), 10: (3, 4), 12: (3, 4), 16: (4, 4), 17: (4, 5), 96: (10, 10)}


@pytest.mark.parametrize("num_tiles", GRIDS)
def test_the_usual_grid_is_nearly_square(num_tiles):
    rows, columns = GRIDS[num_tiles]
    assert near_square(num_tiles) == (rows, columns)
    assert mosaic(random_tiles(num_tiles, 5, 2), gap=1).shape == (rows * 6 - 1, columns * 3 - 1, 3)


@pytest.mark.parametrize("tiles", [[], [None, np.zeros((0, 0, 3))]])
def test_no_tile_present_is_refused(tiles):
    with pytest.raises(ValueError, match=f"Received: {len(tiles)} tiles of which none is present"):
        mosaic(tiles)


def test_tiles_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"one shape \(height.* Received: tiles of shapes"):
        mosaic([np.zeros((2, 3, 3)), np.zeros((3, 2, 3))])
    with pytest.raises(ValueError, match=r"Received: tiles of shapes \[\(4, 4\)\]"):
        mosaic(np.zeros((9, 4, 4)))


@pytest.mark.parametrize("wrong", [{"columns": 0}, {"gap": -1}])
def test_impossible_layout_is_refused(wrong):
    with pytest.raises(ValueError, match="columns of 1 or more and gap of 0 or more"):
        mosaic(random_tiles(2, 2, 2), **wrong)
