"""Galleries of images of other than 1 or 3 channels: one by one, or three chosen."""

import keras
import numpy as np
import pytest
from PIL import Image

import kerasvis as kv
from kerasvis.figures import signed_to_rgb
from kerasvis.reports import addresses
from kerasvis.reports.sprites import SpriteLayout
from tests.marks import slow
from tests.reports.small_galleries import Page
from tests.reports.test_sprites import tile

SIZE, K, NUM_MAPS, NUM_IMAGES = (11, 13), 2, 3, 5
MEANS = np.linspace(20, 60, 5).astype("float32")


def from_pixels(pixels):
    return (pixels - MEANS) / 50


def to_pixels(images):
    return images * 50 + MEANS


def convnet(channels):
    keras.utils.set_random_seed(1)
    convolution = keras.layers.Conv2D(NUM_MAPS, (3, 5), activation="relu", name="conv")
    return keras.Sequential([keras.Input((*SIZE, channels)), convolution], name=f"of_{channels}")


def random_pixels(channels):
    random = np.random.default_rng(2)
    return random.integers(0, 256, (NUM_IMAGES, *SIZE, channels)).astype("uint8")


CASES = {
    "2 channels of uint8": (random_pixels(2), random_pixels(2), {}),
    "4 channels in [0, 1]": (random_pixels(4), random_pixels(4) / np.float32(255), {}),
    "5 channels, own preprocessing": (
        random_pixels(5),
        from_pixels(random_pixels(5).astype("float32")),
        {"preprocessing": (from_pixels, to_pixels)},
    ),
}

FIRST, *OTHERS = CASES


@pytest.mark.parametrize("case", [slow(FIRST), *OTHERS])
def test_channels_one_by_one(case, tmp_path):
    pixels, images, options = CASES[case]
    channels = pixels.shape[-1]
    model = convnet(channels)
    kv.write_gallery(model, None, images, tmp_path, k=K, verbose=0, **options)
    features = kv.visualize_features(model, "conv", images, range(NUM_MAPS), k=K, **options)
    layout = SpriteLayout.of(K, (3, 5), 2 * channels)
    for feature in range(NUM_MAPS):
        with Image.open(tmp_path / addresses.sprite("conv", feature)) as image:
            sprite = np.asarray(image.convert("RGBA"))
        assert sprite.shape[:2] == layout.size
        for channel in range(channels):
            projections = features.projections[feature, ..., channel : channel + 1]
            patches = features.patches[feature, ..., channel : channel + 1].repeat(3, axis=-1)
            for place in range(K):
                shown = [
                    tile(sprite, layout, place, panel) for panel in (channel, channels + channel)
                ]
                np.testing.assert_array_equal(shown[0][..., :3], signed_to_rgb(projections[place]))
                np.testing.assert_array_equal(shown[1][..., :3], patches[place])
    index, (top, left) = features.image_indices[0, 0], features.positions[0, 0]
    window = pixels[index, top : top + 3, left : left + 5]
    np.testing.assert_array_equal(features.patches[0, 0], window)
    page = Page.read(tmp_path / addresses.map_page("conv", 0))
    assert f"projections of channels 0 to {channels - 1}" in " ".join(page.text.split())
    texts = [picture.attributes["alt"] for picture in page.all("img")]
    assert f"Projection, channel {channels - 1} of activation 2" in texts
    assert "Image patch, channel 0 of activation 1" in texts
    weights = np.asarray(model.get_layer("conv").kernel)[..., 1]
    with Image.open(tmp_path / addresses.filter_picture("conv", 1)) as image:
        first = np.asarray(image.convert("L"))[:3, :5]
    expected = np.rint(128 + 127 * weights[..., 0] / np.abs(weights).max())
    np.testing.assert_allclose(first, expected, atol=1)


def test_chosen_channels(tmp_path):
    pixels = random_pixels(5)
    model = convnet(5)
    chosen = (3, 0, 4)
    options = {"k": K, "verbose": 0}
    kv.write_gallery(model, None, pixels, tmp_path, channels=chosen, **options)
    features = kv.visualize_features(model, "conv", pixels, [2], **options)
    layout = SpriteLayout.of(K, (3, 5))
    with Image.open(tmp_path / addresses.sprite("conv", 2)) as image:
        sprite = np.asarray(image.convert("RGBA"))
    assert sprite.shape[:2] == layout.size
    for place in range(K):
        projection, patch = (tile(sprite, layout, place, half)[..., :3] for half in (0, 1))
        shown = signed_to_rgb(features.projections[0, place][..., list(chosen)])
        np.testing.assert_array_equal(projection, shown)
        np.testing.assert_array_equal(patch, features.patches[0, place][..., list(chosen)])
    page = Page.read(tmp_path / addresses.layer_page("conv"))
    assert "of channels 3, 0, 4 as red, green and blue" in " ".join(page.text.split())
    with pytest.raises(ValueError, match="channels"):
        kv.write_gallery(model, None, pixels, tmp_path, channels=(0, 1, 2), **options)


@pytest.mark.parametrize("channels", [(5,), (-1, 0, 1), (0, 1), (), (0.5,), "red", 1])
def test_channels_that_are_none(channels, tmp_path):
    with pytest.raises(ValueError, match=r"one channel, or three .* from 0 to 4\. Received: ch"):
        kv.write_gallery(
            convnet(5), None, random_pixels(5), tmp_path / "out", channels=channels, verbose=0
        )
    assert not (tmp_path / "out").exists()


def test_pictures_that_no_file_can_hold_are_refused_before_the_scan(tmp_path):
    with pytest.raises(ValueError, match=r"of layer 'conv' .* Received: 10 panels of 500 × 500"):
        kv.write_gallery(convnet(5), None, random_pixels(5), tmp_path / "out", k=250_000, verbose=0)
    assert not (tmp_path / "out").exists()
