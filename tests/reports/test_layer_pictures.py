import keras
import numpy as np
import pytest
from PIL import Image

from kerasvis.data import Preprocessing
from kerasvis.reports import addresses
from kerasvis.reports.layer_pictures import image_filters, write_filters

RAW = Preprocessing("raw")


def two_convolutions(channels=3):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((9, 8, channels)),
            layers.Rescaling(1 / 255, name="scale"),
            layers.Conv2D(4, (3, 2), name="first"),
            layers.ReLU(name="rectified"),
            layers.Conv2D(channels, 1, name="second"),
        ]
    )


def test_filters_of_the_first_convolution():
    model = two_convolutions()
    filters = image_filters(model, "first", RAW)
    np.testing.assert_array_equal(filters, model.get_layer("first").kernel)


def test_filters_in_the_order_of_pixels():
    model = two_convolutions()
    filters = image_filters(model, "first", Preprocessing("caffe"))
    np.testing.assert_array_equal(filters, np.array(model.get_layer("first").kernel)[:, :, ::-1])


def test_filters_over_grey_images():
    assert image_filters(two_convolutions(channels=1), "first", RAW).shape == (3, 2, 1, 4)


@pytest.mark.parametrize("layer", ["scale", "rectified", "second"])
def test_other_layers_have_no_filters_to_show(layer):
    assert image_filters(two_convolutions(), layer, RAW) is None


def test_a_depthwise_filter_sees_one_channel_and_is_not_shown():
    layer = keras.layers.DepthwiseConv2D(3, name="depthwise")
    model = keras.Sequential([keras.Input((9, 8, 3)), layer])
    assert image_filters(model, "depthwise", RAW) is None


def test_pictures_of_filters(tmp_path):
    filters = np.random.default_rng(0).normal(size=(3, 2, 3, 4)).astype("float32")
    write_filters("first", filters, tmp_path)
    for feature in range(4):
        with Image.open(tmp_path / addresses.filter_picture("first", feature)) as image:
            assert image.size == (2, 3)
            pixels = np.asarray(image.convert("RGB"), "float64")
        weights = filters[..., feature]
        strength = np.abs(weights).max()
        np.testing.assert_allclose(pixels, 128 + 127 * weights / strength, atol=0.51)
