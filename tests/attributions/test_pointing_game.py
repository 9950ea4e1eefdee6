"""The protocol of `benchmarks/pointing_game.py`, on maps whose outcome is known."""

import numpy as np
import pytest
from PIL import Image

from benchmarks.pointing_game import accuracies, box_in_image, is_hit, strongest_point
from kerasvis.data.photographs import read_photograph


def test_the_strongest_point_of_a_smoothed_map():
    values = np.zeros((100, 60))
    values[10, 7] = 5  # alone, it is smoothed away
    values[70:75, 20:25] = 1
    assert strongest_point(values) == (72, 22)
    signed = np.zeros((100, 60, 3))
    signed[70:75, 20:25, 1] = -1
    assert strongest_point(signed) == (72, 22)


def test_maps_are_continued_beyond_their_border():
    ramp = np.arange(50.0)[:, None] + np.zeros(40)
    assert strongest_point(ramp)[0] == 49


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ((20, 30), True),  # the box's first pixel
        ((24, 39), True),  # its last
        ((15, 35), True),  # 5 above
        ((14, 35), False),
        ((29, 35), True),  # 5 below
        ((30, 35), False),
        ((16, 27), True),  # 4 and 3 outside
        ((16, 26), False),
    ],
)
def test_hits_within_some_pixels_of_the_box(point, expected):
    assert is_hit(np.array(point), (20, 30, 25, 40), 5) == expected


def test_classes_count_alike():
    labels = np.array([0, 0, 0, 1])
    hits = {"a": np.array([True, False, True, False]), "b": np.ones(4, bool)}
    found = accuracies(hits, labels)
    assert found["a"][0] == pytest.approx((2 / 3 + 0) / 2)
    assert found["a"][1] == pytest.approx(np.sqrt(2 / 3 * 1 / 3 / 3) / 2)
    assert found["b"] == (1, 0)


@pytest.mark.parametrize("photograph", [(80, 120), (90, 50)])
def test_boxes_follow_the_photograph(tmp_path, photograph):
    box = (30, 20, 50, 44)
    pixels = np.zeros((*photograph, 3), "uint8")
    pixels[box[0] : box[2], box[1] : box[3]] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = read_photograph(tmp_path / "a.png", (64, 48))
    top, left, bottom, right = box_in_image(box, photograph, (64, 48))
    bright = np.argwhere(image[..., 0] > 127)
    np.testing.assert_allclose(bright.min(axis=0), (top, left), atol=1)
    np.testing.assert_allclose(bright.max(axis=0) + 1, (bottom, right), atol=1)
