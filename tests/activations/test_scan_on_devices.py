"""One scan shared by several devices, against one device that scans everything."""

import functools

import keras
import numpy as np
import pytest

from kerasvis.activations import StrongestActivations, TopActivations, find_top_activations
from kerasvis.activations.top_activations import LayerActivations
from kerasvis.training.strategies import strategy_for
from tests.oracles.top_activations import top_activations


def scan(model, images):
    return find_top_activations(model, "conv", images, 4, verbose=0, batch_size=3)


def assert_same_bytes(top, other, folder):
    top.save(folder / "one.npz")
    other.save(folder / "other.npz")
    assert (folder / "one.npz").read_bytes() == (folder / "other.npz").read_bytes()


def test_merging_is_sorting(tmp_path):
    random = np.random.default_rng(0)
    maps = random.integers(-3, 4, (17, 2, 3, 5)).astype("float32")
    owners = random.integers(0, 3, 17)
    parts = []
    for owner in range(3):
        own = np.flatnonzero(owners == owner)
        values, image_indices, positions = top_activations(maps[own], 6)
        image_indices = np.where(image_indices < 0, -1, own[image_indices])
        parts.append({"values": values, "image_indices": image_indices, "positions": positions})
    merged = functools.reduce(StrongestActivations(6).merge, parts)
    found = TopActivations({"conv": LayerActivations(**merged)})
    expected = TopActivations({"conv": LayerActivations(*top_activations(maps, 6))})
    assert_same_bytes(found, expected, tmp_path)


@pytest.mark.parametrize("number", [1, 3, 7, 13])
def test_two_devices_find_the_same_bytes(number, tmp_path):
    keras.utils.set_random_seed(0)
    strategy = strategy_for("mirrored", "CPU:0,CPU:1")
    with strategy.scope():
        model = keras.Sequential(
            [keras.Input((7, 9, 3)), keras.layers.Conv2D(5, 3, name="conv"), keras.layers.ReLU()]
        )
    same = keras.models.clone_model(model)
    same.set_weights(model.get_weights())
    images = np.random.default_rng(0).normal(size=(number, 7, 9, 3)).astype("float32")
    expected = scan(same, images)
    assert_same_bytes(scan(model, images), expected, tmp_path)
    with strategy.scope():
        assert_same_bytes(scan(model, images), expected, tmp_path)
