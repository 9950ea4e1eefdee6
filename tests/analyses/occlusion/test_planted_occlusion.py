"""Occlusion finds objects whose place is known; see `benchmarks/planted_occlusion.py`."""

import numpy as np
import pytest

from benchmarks.planted_net import train_planted_net
from benchmarks.planted_occlusion import MIN_INSIDE, UNSEEN_SEED, measure
from kerasvis.data import PlantedObjects

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found():
    model, accuracy = train_planted_net(seed=0)
    assert accuracy > 0.95
    return measure(model, PlantedObjects(60, seed=UNSEEN_SEED))


@pytest.mark.parametrize("what", ["probability", "activity"])
def test_largest_drop_is_inside_the_object(found, what):
    assert found[what].mean() >= MIN_INSIDE


def test_energy_of_the_projection_is_inside_the_object(found):
    assert np.mean(found["energy"] > found["area"]) >= MIN_INSIDE
    assert np.median(found["energy"]) > 3 * np.median(found["area"])
