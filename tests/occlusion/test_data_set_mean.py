"""The mean of a model's data set."""

import keras
import numpy as np
import pytest
from keras import layers

from kerasvis.data import Preprocessing
from kerasvis.layers import PixelMean
from kerasvis.occlusion.data_set_mean import mean_of_data_set

SIZE = (6, 5)


def model_with(*first_layers, channels=3, name=None):
    """A small classifier that begins with these layers."""
    inputs = x = keras.Input((*SIZE, channels))
    for layer in first_layers:
        x = layer(x)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(x))
    return keras.Model(inputs, x, name=name)


def pixels(channels=3):
    return np.random.default_rng(0).uniform(0, 255, (8, *SIZE, channels)).astype("float32")


@pytest.mark.parametrize(
    ("mode", "mean"), [("raw", None), ("tf", None), ("caffe", 0), ("torch", 0), (None, None)]
)
def test_mean_that_the_preprocessing_subtracts(mode, mean):
    preprocessing = None if mode is None else Preprocessing(mode)
    assert mean_of_data_set(model_with(), preprocessing) == mean


@pytest.mark.parametrize("mode", ["raw", "caffe"])
def test_mean_of_pixel_mean(mode):
    layer = PixelMean()
    model = model_with(layer)
    layer.adapt(pixels())
    mean = mean_of_data_set(model, Preprocessing(mode))
    np.testing.assert_allclose(mean, pixels().mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize(
    ("axis", "averaged"), [(-1, (0, 1, 2)), (None, (0, 1, 2, 3)), ((1, 2, 3), 0), ((1, 2), (0, 3))]
)
def test_mean_of_normalization(axis, averaged, channels):
    layer = layers.Normalization(axis=axis)
    layer.adapt(pixels(channels))
    mean = mean_of_data_set(model_with(layer, channels=channels), Preprocessing())
    expected = pixels(channels).mean(axis=averaged, keepdims=True)[0]
    shape = (*SIZE, channels)
    np.testing.assert_allclose(
        np.broadcast_to(mean, shape), np.broadcast_to(expected, shape), rtol=1e-5
    )


def test_mean_of_normalization_by_numbers():
    layer = layers.Normalization(mean=[3.0, 4.0, 5.0], variance=[1.0, 1.0, 4.0])
    mean = mean_of_data_set(model_with(layer), None)
    assert np.ravel(mean).tolist() == [3, 4, 5]


def test_mean_of_a_layer_above_others_is_in_other_units():
    layer = PixelMean()
    model = model_with(layers.Rescaling(1 / 255), layer)
    layer.adapt(pixels() / 255)
    assert mean_of_data_set(model, Preprocessing()) is None


def test_mean_of_feature_maps_is_none_of_pixels():
    layer = layers.Normalization(mean=1.0, variance=1.0)
    model = model_with(layers.Conv2D(3, 3), layer)
    assert mean_of_data_set(model, Preprocessing()) is None
