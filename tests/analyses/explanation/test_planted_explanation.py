"""Explanations find objects whose place is known; see `benchmarks/planted_explanation.py`."""

import numpy as np
import pytest

from benchmarks.planted_explanation import (
    MIN_INSIDE,
    UNSEEN_SEED,
    box_elsewhere,
    measure,
    occluded,
)
from benchmarks.planted_net import train_planted_net
from kerasvis.data import PlantedObjects


@pytest.mark.parametrize("box", [(0, 0, 20, 24), (30, 34, 62, 60), (10, 40, 30, 60)])
def test_the_other_box_is_as_large_and_shares_nothing(box):
    top, left, bottom, right = box_elsewhere(box, (64, 64))
    assert (bottom - top, right - left) == (box[2] - box[0], box[3] - box[1])
    assert 0 <= top < bottom <= 64
    assert 0 <= left < right <= 64
    mask = np.zeros((64, 64), int)
    mask[box[0] : box[2], box[1] : box[3]] += 1
    mask[top:bottom, left:right] += 1
    assert mask.max() == 1


def test_a_box_of_the_mean_colour():
    image = np.random.default_rng(0).uniform(0, 255, (9, 8, 3)).astype("float32")
    covered = occluded(image, (2, 1, 5, 7))
    np.testing.assert_allclose(covered[2:5, 1:7], np.broadcast_to(image.mean((0, 1)), (3, 6, 3)))
    covered[2:5, 1:7] = image[2:5, 1:7]
    np.testing.assert_array_equal(covered, image)


@pytest.mark.slow
def test_the_objects_maps_and_place_are_found():
    model, _ = train_planted_net(seed=0)
    found = measure(model, PlantedObjects(40, seed=UNSEEN_SEED))
    assert found["maps"].mean() >= MIN_INSIDE
    assert found["place"].mean() >= MIN_INSIDE
    assert found["maps"].mean() > 3 * found["area"].mean()
    assert np.mean(found["kept"][:, 0] < found["kept"][:, 1]) >= MIN_INSIDE
