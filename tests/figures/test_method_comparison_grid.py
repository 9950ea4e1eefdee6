import re
from types import SimpleNamespace

import numpy as np
import pytest

from kerasvis.figures import signed_to_rgb
from kerasvis.figures.colour_scale import ColourScale
from kerasvis.figures.method_comparison_grid import method_comparison_grid
from kerasvis.figures.occlusion_overlay import overlaid
from kerasvis.figures.page import DPI, MARGIN
from tests.figures.shown import pictures, texts

SIZE = (320, 240)  # more than the dots of a picture of an inch, so that maps are shrunk


def comparison(size=SIZE, channels=3, num_images=2):
    rng = np.random.default_rng(0)
    shape = (num_images, *size, channels)
    return SimpleNamespace(
        layer="conv_5",
        feature_indices=np.array([7, 12])[:num_images],
        activations=np.array([1.23456, -0.5])[:num_images],
        pixels=rng.integers(0, 256, shape).astype("uint8"),
        maps={
            "deconvnet": rng.normal(size=shape).astype("float32"),
            "grad_cam": rng.uniform(size=shape[:3]).astype("float32"),
            "activation_maximization": rng.integers(0, 256, shape).astype("uint8"),
        },
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_each_kind_of_map_is_shown_in_its_way(channels):
    given = comparison((20, 32), channels)
    shown = pictures(method_comparison_grid(given, image_size=32 / DPI))
    coloured = np.broadcast_to(given.pixels, (2, 20, 32, 3))
    for number in (0, 1):
        expected = {
            "image": coloured[number],
            "deconvnet": signed_to_rgb(given.maps["deconvnet"][number]),
            "Grad-CAM": overlaid(
                coloured[number],
                ColourScale(0, given.maps["grad_cam"][number].max(), ""),
                given.maps["grad_cam"][number],
                0.55,
            ),
            "preferred image": np.broadcast_to(
                given.maps["activation_maximization"][number], (20, 32, 3)
            ),
        }
        for heading, pixels in expected.items():
            actual = np.asarray(shown[f"{heading} {number}"].get_array())
            np.testing.assert_array_equal(actual, pixels)


def test_small_maps_are_enlarged_and_large_ones_averaged_before_their_contrast():
    small = pictures(method_comparison_grid(comparison((10, 6)), image_size=95 / DPI))
    assert np.asarray(small["deconvnet 0"].get_array()).shape == (100, 60, 3)
    large = pictures(method_comparison_grid(comparison(), image_size=160 / DPI))
    values = comparison().maps["deconvnet"][1].reshape(160, 2, 120, 2, 3).mean((1, 3))
    actual = np.asarray(large["deconvnet 1"].get_array()).astype(int)
    np.testing.assert_allclose(actual, signed_to_rgb(values), atol=1)


def test_rows_and_columns_keep_their_order_and_the_page():
    figure = method_comparison_grid(comparison(), title="methods")
    width, height = figure.get_size_inches()
    shown = pictures(figure)
    lefts = [shown[f"{name} 0"].get_extent()[0] for name in ("image", "deconvnet", "Grad-CAM")]
    assert lefts == sorted(set(lefts))
    assert shown["image 0"].get_extent()[2] < shown["image 1"].get_extent()[3]
    for picture in shown.values():
        left, right, bottom, top = picture.get_extent()
        assert MARGIN - 1e-9 <= left < right <= width - MARGIN + 1e-9
        assert 0 < top < bottom < height
        assert (bottom - top) / (right - left) == pytest.approx(320 / 240)


def test_texts_say_what_is_shown():
    said = texts(method_comparison_grid(comparison(), title="methods"))
    assert said[:5] == ["methods", "image", "deconvnet", "Grad-CAM", "preferred image"]
    assert "conv_5, feature 7: 1.235" in said
    assert "conv_5, feature 12: -0.5" in said
    caption = " ".join(said[7:])
    for sentence in ("Signed maps on neutral grey", "Heat maps over", "Activation maximization:"):
        assert sentence in caption
    given = comparison()
    del given.maps["grad_cam"], given.maps["activation_maximization"]
    said = texts(method_comparison_grid(given, row_names=["dog", "cat"]))
    assert {"dog", "cat"} < set(said)
    assert not any("Heat maps" in text or "Activation max" in text for text in said)


def test_a_heat_map_of_zeros_is_dark():
    given = comparison((20, 32))
    given.maps["grad_cam"][0] = 0
    actual = pictures(method_comparison_grid(given, image_size=32 / DPI))["Grad-CAM 0"].get_array()
    expected = overlaid(given.pixels[0], ColourScale(0, 1, ""), np.zeros((20, 32)), 0.55)
    np.testing.assert_array_equal(actual, expected)


def with_maps(**maps):
    given = comparison()
    given.maps.update(maps)
    return given


def with_nan():
    maps = comparison().maps["deconvnet"]
    maps[0, 3, 4, 1] = np.nan
    return with_maps(deconvnet=maps)


WRONG = [
    (comparison(num_images=0), {}, "Received: 0 images, 3 methods, image_size=0.98"),
    (comparison(), {"image_size": 0}, "image_size=0"),
    (comparison(), {"row_names": ["one"]}, "each of the 2 images. Received: 1 row name"),
    (
        with_maps(guided=np.zeros((2, 4, 4, 3))),
        {},
        "of shape (2, 320, 240, 3) or (2, 320, 240). Received: shape (2, 4, 4, 3)",
    ),
    (with_nan(), {}, "The maps of 'deconvnet' contain NaN or infinity: look for NaN or overflow"),
]


@pytest.mark.parametrize(("given", "options", "sentence"), WRONG)
def test_what_cannot_be_shown_is_refused(given, options, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        method_comparison_grid(given, **options)
