"""Positions of the occluder, by stepping along the axes, and heat maps pixel by pixel."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasvis.occlusion import Occluders
from tests.oracles.occluded_images import intervals


@st.composite
def drawn_occluders(draw):
    """Occluders of any size, in a box or in the whole image."""
    image_size = draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    box = None
    size = image_size
    if draw(st.booleans()):
        ends = [
            sorted(draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True)))
            for n in image_size
        ]
        (top, bottom), (left, right) = ends
        box, size = (top, left, bottom, right), (bottom - top, right - left)
    patch_size = tuple(draw(st.integers(1, n)) for n in size)
    strides = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    return Occluders(image_size, patch_size, strides, box)


@given(drawn_occluders())
def test_boxes_are_those_of_stepping(occluders):
    top, left, bottom, right = occluders.box
    patch_size, strides = occluders.patch_size, occluders.strides
    rows = intervals(bottom, patch_size[0], strides[0], top)
    columns = intervals(right, patch_size[1], strides[1], left)
    assert occluders.shape == (len(rows), len(columns))
    assert occluders.boxes.dtype == np.int32
    assert occluders.boxes.shape == (*occluders.shape, 4)
    for i, (first_row, end_row) in enumerate(rows):
        for j, (first_column, end_column) in enumerate(columns):
            expected = [first_row, first_column, end_row, end_column]
            assert occluders.boxes[i, j].tolist() == expected


@given(drawn_occluders())
def test_each_position_occludes_something_and_none_is_needless(occluders):
    occluded = np.zeros(occluders.image_size, int)
    for top, left, bottom, right in occluders.boxes.reshape(-1, 4):
        assert occluded[top:bottom, left:right].size > 0
        occluded[top:bottom, left:right] += 1
    top, left, bottom, right = occluders.box
    inside = occluded[top:bottom, left:right]
    assert inside.sum() == occluded.sum(), "nothing outside the box"
    if all(s <= p for s, p in zip(occluders.strides, occluders.patch_size, strict=True)):
        assert inside.min() > 0, "no pixel is left out"
    for axis, end in ((0, bottom), (1, right)):
        ends = [occluders.rows, occluders.columns][axis][:, 1]
        assert (ends[:-1] < end).all(), "the end is reached once"


@given(drawn_occluders(), st.integers(0, 2**32 - 1))
def test_heat_map_is_the_mean_over_the_positions_that_occlude_a_pixel(occluders, seed):
    values = np.random.default_rng(seed).normal(size=occluders.shape)
    heat = occluders.heat_map(values)
    assert heat.dtype == np.float64
    assert heat.shape == occluders.image_size
    for row in range(occluders.image_size[0]):
        for column in range(occluders.image_size[1]):
            occluding = [
                values[i, j]
                for i in range(occluders.shape[0])
                for j in range(occluders.shape[1])
                for top, left, bottom, right in [occluders.boxes[i, j]]
                if top <= row < bottom and left <= column < right
            ]
            expected = np.mean(occluding) if occluding else np.nan
            np.testing.assert_allclose(heat[row, column], expected, rtol=1e-12, atol=1e-12)


def test_last_positions_are_cut_at_the_border():
    occluders = Occluders((10, 7), patch_size=4, strides=3)
    assert occluders.rows.tolist() == [[0, 4], [3, 7], [6, 10]]
    assert occluders.columns.tolist() == [[0, 4], [3, 7]]
    occluders = Occluders((10, 8), patch_size=(4, 3), strides=(4, 2))
    assert occluders.rows.tolist() == [[0, 4], [4, 8], [8, 10]]
    assert occluders.columns.tolist() == [[0, 3], [2, 5], [4, 7], [6, 8]]


def test_strides_larger_than_the_occluder_jump_over_the_end():
    occluders = Occluders((10, 11), patch_size=(2, 1), strides=(5, 7))
    assert occluders.rows.tolist() == [[0, 2], [5, 7]]
    assert occluders.columns.tolist() == [[0, 1], [7, 8]]
    heat = occluders.heat_map([[1, 2], [3, 4]])
    assert np.isfinite(heat).sum() == 8
    assert heat[6, 7] == 4
    assert np.isnan(heat[9, 10])


def test_whole_image_is_one_position():
    assert Occluders((5, 9), patch_size=(5, 9), strides=1).boxes.tolist() == [[[0, 0, 5, 9]]]


def test_default_is_a_seventh_of_the_shorter_side_in_steps_of_half_of_it():
    occluders = Occluders.of((224, 300))
    assert (occluders.patch_size, occluders.strides) == ((32, 32), (16, 16))
    assert occluders.box == (0, 0, 224, 300)
    assert occluders.shape == (13, 18)
    assert Occluders.of((3, 5)) == Occluders((3, 5), 1, 1)
    assert Occluders.of((20, 31), (7, 4)).strides == (3, 2)
    assert Occluders.of((99, 99), box=(10, 10, 94, 38)).patch_size == (4, 4)


def test_equal_settings_are_equal_in_whatever_form_they_are_given():
    pairs = Occluders([20, np.int64(30)], patch_size=(4, 4), strides=[2, 2], box=[0, 0, 20, 30])
    assert pairs == Occluders((20, 30), 4, 2)
    assert pairs != Occluders((20, 30), 4, 3)


def test_positions_in_a_box_start_at_its_corner():
    occluders = Occluders((20, 30), (3, 4), (3, 4), box=(5, 6, 13, 16))
    assert occluders.rows.tolist() == [[5, 8], [8, 11], [11, 13]]
    assert occluders.columns.tolist() == [[6, 10], [10, 14], [14, 16]]


def test_heat_map_needs_one_value_for_each_position():
    sentence = "Give a value for each of 3×2 positions. Received: values of shape (2, 3)"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Occluders((15, 10), 5, 5).heat_map(np.zeros((2, 3)))


PAIR = "Give an integer number of pixels, 1 or more, or a pair (rows, columns). Received:"
BOX = "Give (top, left, bottom, right) in pixels, inside the image of 20×30. Received:"
ERRORS = [
    ({"strides": 0}, f"{PAIR} strides=0"),
    ({"strides": (8, -1)}, f"{PAIR} strides=(8, -1)"),
    ({"patch_size": 1.5}, f"{PAIR} patch_size=1.5"),
    ({"patch_size": "16"}, f"{PAIR} patch_size='16'"),
    ({"patch_size": None}, f"{PAIR} patch_size=None"),
    ({"patch_size": (1, 2, 3)}, f"{PAIR} patch_size=(1, 2, 3)"),
    ({"image_size": (0, 30)}, f"{PAIR} image_size=(0, 30)"),
    ({"image_size": (None, 30)}, f"{PAIR} image_size=(None, 30)"),
    ({"box": (0, 0, 21, 30)}, f"{BOX} box=(0, 0, 21, 30)"),
    ({"box": (-1, 0, 20, 30)}, f"{BOX} box=(-1, 0, 20, 30)"),
    ({"box": (5, 0, 5, 30)}, f"{BOX} box=(5, 0, 5, 30)"),
    ({"box": (0, 9, 20, 8)}, f"{BOX} box=(0, 9, 20, 8)"),
    ({"box": (0, 0, 20)}, f"{BOX} box=(0, 0, 20)"),
    ({"box": (0, 0.5, 20, 30)}, f"{BOX} box=(0, 0.5, 20, 30)"),
    ({"box": 3}, f"{BOX} box=3"),
    (
        {"patch_size": 21},
        "The occluder of 21×21 pixels is larger than the image of 20×30: give a smaller one. "
        "Received: patch_size=(21, 21)",
    ),
    (
        {"patch_size": (3, 9), "box": (0, 10, 20, 18)},
        "The occluder of 3×9 pixels is larger than the box of 20×8: give a smaller one. "
        "Received: patch_size=(3, 9)",
    ),
]


@pytest.mark.parametrize(("settings", "sentence"), ERRORS)
def test_error(settings, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Occluders(**{"image_size": (20, 30), "patch_size": 4, "strides": 2, **settings})
