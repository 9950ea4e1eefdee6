"""Preprocessing against each net's own `preprocess_input`, and its inverse."""

import importlib

import keras
import numpy as np
import pytest

from kerasvis.data import Preprocessing

MODES = ["raw", "caffe", "tf", "torch"]
# The module which a function of keras.applications comes from holds its preprocess_input.
NETS = sorted(
    name
    for name, value in vars(keras.applications).items()
    if callable(value) and name[0].isupper()
)
MODULES = sorted(
    name
    for name, value in vars(keras.applications).items()
    if hasattr(value, "preprocess_input") and name != "imagenet_utils"
)


def all_pixels():
    """Every value in every channel, in a non-square image."""
    values = np.arange(256, dtype="uint8").reshape(1, 8, 32)
    return np.stack([values, values[:, ::-1], values[..., ::-1]], axis=-1)


def module_of(name):
    build = getattr(keras.applications, name)
    return importlib.import_module(build.__module__)


def test_all_nets_are_tested():
    assert len(NETS) > 35
    assert {"ConvNeXtTiny", "EfficientNetV2B0", "MobileNetV3Small", "ResNet50V2", "VGG16"} < {*NETS}


@pytest.mark.parametrize("name", NETS)
def test_images_are_those_of_the_net(name):
    preprocessing = Preprocessing.of_application(name)
    expected = module_of(name).preprocess_input(all_pixels().astype("float32"))
    images = preprocessing.images(all_pixels())
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, expected)


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_known_by_name(name):
    module = getattr(keras.applications, name)
    images = Preprocessing.of_application(name).images(all_pixels())
    np.testing.assert_array_equal(images, module.preprocess_input(all_pixels().astype("float32")))


@pytest.mark.parametrize("mode", MODES)
def test_pixels_come_back(mode):
    preprocessing, pixels = Preprocessing(mode), all_pixels()
    before = pixels.copy()
    back = preprocessing.pixels(preprocessing.images(pixels))
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, pixels)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("mode", MODES)
def test_what_lies_outside_is_cut(mode):
    ends = [Preprocessing(mode).pixels(np.full((1, 1, 3), value)) for value in (-1e3, 1e3)]
    np.testing.assert_array_equal(np.ravel(ends), [0, 0, 0, 255, 255, 255])


@pytest.mark.parametrize("mode", MODES)
def test_projections_get_the_order_of_their_images(mode):
    red = np.zeros((2, 3, 3), "uint8")
    red[..., 0] = 255
    preprocessing = Preprocessing(mode)
    change = preprocessing.images(red) - preprocessing.images(np.zeros_like(red))
    projection = preprocessing.rgb(change)
    assert projection.shape == change.shape
    assert projection.dtype == change.dtype
    assert (projection[..., 0] > 0).all()
    assert not projection[..., 1:].any()
    assert set(np.unique(projection)) == set(np.unique(change)), "values are as they were"


def test_is_frozen_and_compares_by_mode():
    assert Preprocessing("tf") == Preprocessing("tf") != Preprocessing()
    assert Preprocessing().mode == "raw"
    with pytest.raises(AttributeError):
        Preprocessing().mode = "tf"


def test_unknown_mode():
    with pytest.raises(ValueError, match=r"'raw', .*Received: preprocessing='rgb'"):
        Preprocessing("rgb")


@pytest.mark.parametrize(("name", "known"), [("Exception", "xception"), ("AlexNet", "vgg")])
def test_unknown_net(name, known):
    with pytest.raises(ValueError, match=rf"unknown, that of .*{known}.*Received: name='{name}'"):
        Preprocessing.of_application(name)


@pytest.mark.parametrize("mode", MODES)
def test_images_of_pixels_are_in_range(mode):
    preprocessing = Preprocessing(mode)
    for pixels in (all_pixels(), 0 * all_pixels(), 0 * all_pixels() + 255):
        preprocessing.check_range(preprocessing.images(pixels))


def test_images_of_one_channel_are_in_range():
    Preprocessing().check_range(all_pixels()[..., :1])


RANGES = {
    "raw": "from 0 to 255",
    "caffe": "from -123.7 to 151.1",
    "tf": "from -1 to 1",
    "torch": "from -2.118 to 2.64",
}


@pytest.mark.parametrize("end", [0, 255])
@pytest.mark.parametrize("mode", MODES)
def test_values_out_of_range(mode, end):
    """By more than a thousandth of the range; less is rounding."""
    preprocessing = Preprocessing(mode)
    pixels = all_pixels().astype("float32")
    sign = 1 if end else -1
    images = preprocessing.images(pixels)
    width = np.ptp(images)
    extreme = images.max() if end else images.min()
    images[0, 0, 0] = extreme + sign * 0.5e-3 * width
    preprocessing.check_range(images)
    images[0, 0, 0] = extreme + sign * 2e-3 * width
    with pytest.raises(ValueError, match="preprocessing") as error:
        preprocessing.check_range(images)
    for fact in (f"from {images.min():.4g} to {images.max():.4g}", RANGES[mode], repr(mode)):
        assert fact in str(error.value)


def test_scaled_pixels_are_no_raw_ones():
    with pytest.raises(ValueError, match=r"from 0 to 1, .*'raw'"):
        Preprocessing("raw").check_range(all_pixels() / 255)
    Preprocessing("tf").check_range(all_pixels() / 255)


def test_black_image_is_in_range():
    Preprocessing("raw").check_range(np.zeros((4, 3, 3)))


def test_functions_of_five_channels():
    means = np.linspace(10, 50, 5).astype("float32")
    pair = (lambda pixels: pixels - means, lambda images: images + means)
    with pytest.raises(ValueError, match=r"fail on pixels \(images, rows, columns, 3\)"):
        Preprocessing.of(pair)
    preprocessing = Preprocessing.of(pair, 5)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5)).astype("uint8")
    images = preprocessing.images(pixels)
    np.testing.assert_array_equal(images, pixels - means)
    np.testing.assert_array_equal(preprocessing.pixels(images), pixels)
    with pytest.raises(ValueError, match=r"fail on pixels \(images, rows, columns, 4\)"):
        Preprocessing.of(pair, 4)
