"""What the occluder shows, for every fill."""

import re

import numpy as np
import pytest

from kerasvis.data import Preprocessing
from kerasvis.occlusion import baseline_image

SHAPE = (9, 7, 3)
MODES = ["raw", "caffe", "tf", "torch"]


@pytest.fixture
def image():
    return np.random.default_rng(0).uniform(0, 255, SHAPE).astype("float32")


def test_grey_of_pixels(image):
    expected = np.full(SHAPE, 127.5, "float32")
    actual = baseline_image(image, "grey", Preprocessing("raw"))
    assert actual.dtype == np.float32
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(
    ("mode", "colour"),
    [
        ("caffe", [127.5 - 103.939, 127.5 - 116.779, 127.5 - 123.68]),
        ("tf", [0, 0, 0]),
        ("torch", [(0.5 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.5 - 0.406) / 0.225]),
    ],
)
def test_grey_in_units_of_the_image(image, mode, colour):
    actual = baseline_image(image, "grey", Preprocessing(mode))
    expected = np.broadcast_to(colour, SHAPE)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_noise_is_of_pixels_and_by_its_seed(image, mode):
    preprocessing = Preprocessing(mode)
    noise = baseline_image(image, "noise", preprocessing, seed=3)
    assert (noise.shape, noise.dtype) == (SHAPE, np.float32)
    preprocessing.check_range(noise)
    pixels = preprocessing.pixels(noise)
    assert len(np.unique(pixels)) > 100
    assert pixels.min() < 20
    assert pixels.max() > 235
    np.testing.assert_array_equal(noise, baseline_image(image, "noise", preprocessing, seed=3))
    assert (noise != baseline_image(image, "noise", preprocessing, seed=4)).mean() > 0.9


def blurred_along(axis, image, sigma):
    """Each value by the weighted mean of its row or column, whose ends are repeated."""
    reach = int(4 * sigma + 0.5)
    weights = [np.exp(-0.5 * (k / sigma) ** 2) for k in range(-reach, reach + 1)]
    blurred = np.empty(image.shape)
    length = image.shape[axis]
    for place in np.ndindex(*image.shape):
        total = 0.0
        for k, weight in zip(range(-reach, reach + 1), weights, strict=True):
            other = list(place)
            other[axis] = min(max(place[axis] + k, 0), length - 1)
            total += weight * image[tuple(other)]
        blurred[place] = total / sum(weights)
    return blurred


def test_blur_is_half_as_wide_as_the_occluder(image):
    blur = baseline_image(image, "blur", None, patch_size=(4, 3))
    expected = blurred_along(1, blurred_along(0, image.astype("float64"), 2.0), 1.5)
    assert blur.dtype == np.float32
    np.testing.assert_allclose(blur, expected, rtol=1e-4)


def test_blur_keeps_the_channels_apart(image):
    image[..., 1] = 0
    blur = baseline_image(image, "blur", None)
    np.testing.assert_array_equal(blur[..., 1], 0)
    assert blur[..., 0].std() < image[..., 0].std()


@pytest.mark.parametrize("value", [7, np.float64(7), np.array(7)])
def test_number(image, value):
    np.testing.assert_array_equal(baseline_image(image, value, None), np.full(SHAPE, 7, "float32"))


@pytest.mark.parametrize("value", [(1, 2, 3), [1, 2, 3], np.array([1, 2, 3], "uint8")])
def test_colour(image, value):
    actual = baseline_image(image, value, None)
    for row in range(SHAPE[0]):
        for column in range(SHAPE[1]):
            assert actual[row, column].tolist() == [1, 2, 3]


def test_image(image):
    value = image[::-1].copy()
    actual = baseline_image(image, value, None)
    np.testing.assert_array_equal(actual, value)
    actual[:] = 0
    assert value.any(), "it is a copy"


@pytest.mark.parametrize("shape", [(), (3,), (1, 1, 3), (9, 7, 1), SHAPE])
def test_mean(image, shape):
    mean = np.random.default_rng(0).uniform(90, 140, shape)
    actual = baseline_image(image, "mean", Preprocessing(), mean=mean)
    assert (actual.shape, actual.dtype) == (SHAPE, np.float32)
    np.testing.assert_allclose(actual, np.zeros(SHAPE) + mean, rtol=1e-6)


def test_grey_images_of_one_channel():
    image = np.zeros((5, 4, 1))
    assert (
        baseline_image(image, "grey", Preprocessing()).tolist()
        == np.full((5, 4, 1), 127.5).tolist()
    )
    assert baseline_image(image, [9], None).tolist() == np.full((5, 4, 1), 9.0).tolist()
    assert baseline_image(image, "noise", Preprocessing()).shape == (5, 4, 1)


@pytest.mark.parametrize("baseline", ["grey", "blur", "noise", 3.0])
def test_image_is_left_as_it_is(image, baseline):
    before = image.copy()
    baseline_image(image, baseline, Preprocessing())
    np.testing.assert_array_equal(image, before)


NEITHER = (
    "is neither a finite number, nor a colour of 3 channels, nor an image of 9×7×3 values: give "
    "one of these. Received:"
)
ERRORS = [
    (
        {"baseline": name},
        "How the image was made from pixels is not known: give preprocessing, or baseline as a "
        f"number or a colour in units of the image. Received: baseline={name!r}",
    )
    for name in ("grey", "noise")
]
ERRORS += [
    (
        {"baseline": "mean"},
        "Neither the model nor its preprocessing contains the mean of a data set: give it as a "
        "colour or an image. Received: baseline='mean'",
    ),
    (
        {"baseline": "black"},
        "Give 'grey', 'mean', 'blur', 'noise', a number, a colour or an image. Received: "
        "baseline='black'",
    ),
    ({"baseline": (1, 2)}, f"baseline {NEITHER} baseline=(1, 2)"),
    ({"baseline": np.zeros((9, 7))}, f"baseline {NEITHER}"),
    ({"baseline": np.zeros((7, 9, 3))}, f"baseline {NEITHER}"),
    ({"baseline": np.zeros((1, *SHAPE))}, f"baseline {NEITHER}"),
    ({"baseline": np.nan}, f"baseline {NEITHER} baseline=nan"),
    ({"baseline": (0, np.inf, 0)}, f"baseline {NEITHER}"),
    ({"baseline": None}, f"baseline {NEITHER} baseline=None"),
    ({"baseline": ["a", "b", "c"]}, f"baseline {NEITHER}"),
    ({"baseline": "mean", "mean": np.zeros(4)}, f"mean {NEITHER} mean=array([0., 0., 0., 0.])"),
]


@pytest.mark.parametrize(("arguments", "sentence"), ERRORS)
def test_error(image, arguments, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        baseline_image(image, **{"preprocessing": None, **arguments})
