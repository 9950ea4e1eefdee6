import itertools

import keras
import numpy as np
import pytest
from keras import layers

from kerasvis.activations import NumActive
from kerasvis.analyses.filters.dead_filters import (
    filters_of,
    layer_filters,
    weak_filters,
)

SIZE = (9, 11)


def random_filters(num_filters=40):
    return np.random.default_rng(0).normal(size=(3, 5, 2, num_filters)).astype("float32")


def test_rms_is_that_of_each_filter():
    filters = random_filters(4)
    expected = [
        (sum(filters[r, c, m, n] ** 2 for r in range(3) for c in range(5) for m in range(2)) / 30)
        ** 0.5
        for n in range(4)
    ]
    np.testing.assert_allclose(layer_filters("a", filters).rms, expected, rtol=1e-5)


@pytest.mark.parametrize("factor", [0, 1e-8, 5e-3])
@pytest.mark.parametrize("num_dead", [0, 1, 13, 35, 40])
def test_planted_dead_filters_are_found_and_no_others(factor, num_dead):
    filters = random_filters()
    dead = np.random.default_rng(num_dead).permutation(40)[:num_dead]
    filters[..., dead] *= factor
    found = layer_filters("a", filters)
    expected = sorted(dead) if factor == 0 or num_dead < 40 else []  # all alike: none stands out
    assert np.flatnonzero(found.is_weak).tolist() == expected
    np.testing.assert_array_equal(found.is_dead, found.is_weak)


def test_a_few_dominant_filters_do_not_make_the_others_dead():
    rms = np.ones(40)
    rms[:3] = 1000
    assert not weak_filters(rms).any()


@pytest.mark.parametrize(
    ("num_images", "num_rare"), [(50, 0), (99, 0), (100, 1), (199, 1), (250, 2), (1000, 10)]
)
def test_almost_never_is_one_image_in_a_hundred(num_images, num_rare):
    for num_fired in range(num_rare + 3):
        found = layer_filters("a", random_filters(1), NumActive(np.array([num_fired]), num_images))
        assert found.is_silent.tolist() == [num_fired == 0]
        assert found.is_rare.tolist() == found.is_dead.tolist() == [num_fired <= num_rare]
        assert found.is_watched


def test_without_images_nothing_is_silent():
    found = layer_filters("a", random_filters())
    assert not found.is_silent.any()
    assert not found.is_rare.any()
    assert not found.is_watched


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(4, (3, 2)),
        layers.Conv2D(6, (3, 2), groups=3),
        layers.DepthwiseConv2D((3, 2), depth_multiplier=2),
        layers.SeparableConv2D(4, (3, 2), depth_multiplier=2),
    ],
    ids=["plain", "grouped", "depthwise", "separable"],
)
def test_filters_give_what_the_layer_gives(layer):
    images = np.random.default_rng(0).normal(size=(1, *SIZE, 3)).astype("float32")
    maps = keras.ops.convert_to_numpy(layer(images))
    filters = filters_of(layer)
    num_maps = maps.shape[-1]
    assert filters.shape[-1] == num_maps
    channels_each = filters.shape[2]
    for number in range(num_maps):
        first = number * (3 // channels_each) // num_maps * channels_each
        row, column = 2, 5
        total = sum(
            images[0, row + r, column + c, first + m] * filters[r, c, m, number]
            for r, c, m in itertools.product(range(3), range(2), range(channels_each))
        )
        np.testing.assert_allclose(maps[0, row, column, number], total, rtol=1e-4, atol=1e-5)
