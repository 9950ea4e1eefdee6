import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasvis.figures import signed_to_rgb


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def percentile_of(values, percentile):
    """Linear interpolation between the sorted values, from the definition."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percentile / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def by_loops(image, percentile):
    """The rule for one image, pixel by pixel."""
    pixels = [[[float(value) for value in pixel] for pixel in row] for row in image]
    strengths = [max(map(abs, pixel)) for row in pixels for pixel in row]
    present = [strength for strength in strengths if strength]
    scale = percentile_of(present, percentile) if present else 1.0
    rgb = []
    for row in pixels:
        for pixel in row:
            divisor = max(scale, *map(abs, pixel))
            shown = [128 + 127 * value / divisor for value in pixel]
            rgb.append(shown if len(shown) == 3 else shown * 3)
    return np.reshape(rgb, (*image.shape[:2], 3))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("percentile", [50, 99, 100])
def test_follows_the_rule_pixel_by_pixel(channels, percentile):
    values = noise((2, 3, 7, 5, channels)) ** 3
    values[:, :, ::2] = 0
    actual = signed_to_rgb(values, percentile=percentile)
    assert actual.dtype == np.uint8
    for image in np.ndindex(2, 3):
        expected = by_loops(values[image], percentile)
        # Half a step either way, where the expected value lies between two.
        assert np.abs(actual[image] - expected).max() <= 0.5 + 1e-6


def test_hand_computed_pixels():
    values = np.array([[[4.0, -2.0, 0.0], [0.0, 0.0, 0.0]], [[-1.0, 1.0, 0.5], [8.0, 4.0, -8.0]]])
    # strengths 4, 1, 8: the median of those that are not zero is 4
    expected = [[[255, 64, 128], [128, 128, 128]], [[96, 160, 144], [255, 192, 1]]]
    assert signed_to_rgb(values, percentile=50).tolist() == expected


def test_zero_is_exactly_neutral_grey():
    values = np.zeros((2, 4, 3, 3), "float32")
    values[1, 0, 0] = [1e-30, 2, -5]
    pixels = signed_to_rgb(values)
    assert np.all(pixels[0] == 128)
    assert np.all(pixels[1].reshape(-1, 3)[1:] == 128)


def test_untouched_zeros_do_not_change_the_contrast():
    values = noise((6, 6, 3))
    framed = np.pad(values, ((40, 3), (5, 60), (0, 0)))
    np.testing.assert_array_equal(signed_to_rgb(framed)[40:46, 5:11], signed_to_rgb(values))


@settings(max_examples=60, deadline=None)
@given(factor=st.floats(1e-30, 1e30), seed=st.integers(0, 99))
def test_contrast_is_independent_of_the_unit_and_mirrors_with_the_sign(factor, seed):
    values = noise((5, 4, 3), seed).astype("float64")
    pixels = signed_to_rgb(values).astype(int)
    assert np.abs(signed_to_rgb(values * factor).astype(int) - pixels).max() <= 1
    assert np.abs(signed_to_rgb(-values) - (256 - pixels)).max() <= 1
    assert pixels.min() >= 1


def test_each_image_has_its_own_scale_unless_shared():
    values = np.stack([noise((5, 5, 3)), 10 * noise((5, 5, 3))])
    weak, strong = signed_to_rgb(values, percentile=100)
    np.testing.assert_array_equal(weak, signed_to_rgb(values[0], percentile=100))
    np.testing.assert_allclose(weak.astype(int), strong, atol=1)
    weak, strong = signed_to_rgb(values, percentile=100, shared=True).astype(int) - 128
    np.testing.assert_allclose(weak, strong / 10, atol=0.6)
    assert np.abs(strong).max() == 127


def test_pixels_beyond_the_scale_keep_their_hue():
    values = noise((10, 10, 3)) * 0.01
    values[3, 4] = [40, 20, -10]
    pixel = signed_to_rgb(values, percentile=90)[3, 4].astype(int) - 128
    np.testing.assert_allclose(pixel, [127, 63.5, -31.75], atol=0.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    values = noise((2, 4, 5, 3))
    values[1, 2, 0, 1] = values[1, 3, 0, 0] = bad
    message = r"2 values not finite, the first at index \(1, 2, 0, 1\)"
    with pytest.raises(ValueError, match=message):
        signed_to_rgb(values)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 2), (3, 4, 4, 64)])
def test_other_numbers_of_channels_are_refused(shape):
    with pytest.raises(ValueError, match=r"of shape \(\.\.\., height, width, channels\) with 1 or"):
        signed_to_rgb(np.zeros(shape))


@pytest.mark.parametrize("percentile", [0, -1, 100.5])
def test_percentile_out_of_range_is_refused(percentile):
    with pytest.raises(ValueError, match=rf"Received: percentile={percentile}"):
        signed_to_rgb(np.zeros((2, 2, 3)), percentile=percentile)
