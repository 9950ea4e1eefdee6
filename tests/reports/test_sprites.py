import io

import numpy as np
import pytest
from PIL import Image

from kerasvis.analyses import FeatureVisualization
from kerasvis.figures import signed_to_rgb
from kerasvis.reports.sprites import SpriteLayout, feature_sprite, filter_pixels, webp


def features_of(k=5, size=(7, 4), channels=3, seed=0):
    """Two maps whose windows lie inside the image as a whole."""
    generator = np.random.default_rng(seed)
    shape = (2, k, *size, channels)
    return FeatureVisualization(
        layer="conv",
        feature_indices=np.array([3, 8]),
        activations=np.ones((2, k), "float32"),
        image_indices=np.zeros((2, k), "int64"),
        positions=np.zeros((2, k, 2), "int32"),
        projections=generator.normal(size=shape).astype("float32"),
        patches=generator.integers(0, 256, shape).astype("uint8"),
        boxes=np.tile(np.array([0, 0, *size], "int32"), (2, k, 1)),
    )


def tile(sprite, layout, place, half):
    """One tile of a sprite; the first half, or panel, holds the projections."""
    height, width = layout.tile_size
    row, column = divmod(place, layout.columns)
    column += half * layout.columns
    return sprite[row * height : (row + 1) * height, column * width : (column + 1) * width]


@pytest.mark.parametrize(
    ("k", "window", "expected"),
    [
        (9, (7, 5), (3, 3, (7, 5))),
        (5, (7, 5), (2, 3, (7, 5))),
        (1, (1, 1), (1, 1, (1, 1))),
        (9, (224, 448), (3, 3, (56, 112))),
        (9, (1, 1000), (3, 3, (1, 112))),
    ],
)
def test_layout(k, window, expected):
    layout = SpriteLayout.of(k, window)
    assert layout == (*expected, 2)
    rows, columns, (height, width) = expected
    assert layout.size == (rows * height, 2 * columns * width)
    layout = SpriteLayout.of(k, window, num_panels=4)
    assert layout.panel_size == (rows * height, columns * width)
    assert layout.size == (rows * height, 4 * columns * width)


def test_small_tiles_are_pixelated():
    assert SpriteLayout.of(9, (39, 12)).is_pixelated
    assert not SpriteLayout.of(9, (12, 40)).is_pixelated


def test_projections_left_and_patches_right():
    features = features_of()
    layout = SpriteLayout.of(5, (7, 4))
    sprite = feature_sprite([features], 1)
    assert sprite.shape == (*layout.size, 4)
    for place in range(5):
        projection, patch = (tile(sprite, layout, place, half) for half in (0, 1))
        np.testing.assert_array_equal(
            projection[..., :3], signed_to_rgb(features.projections[1, place])
        )
        np.testing.assert_array_equal(patch[..., :3], features.patches[1, place])
        assert (projection[..., 3] == 255).all()


def test_a_panel_for_each_method():
    first, second = features_of(), features_of(seed=1)
    layout = SpriteLayout.of(5, (7, 4), num_panels=3)
    sprite = feature_sprite([first, second], 1)
    assert sprite.shape == (*layout.size, 4)
    for panel, expected in enumerate(
        [signed_to_rgb(f.projections[1, 3]) for f in (first, second)] + [first.patches[1, 3]]
    ):
        np.testing.assert_array_equal(tile(sprite, layout, 3, panel)[..., :3], expected)


def test_places_left_over_are_transparent():
    layout = SpriteLayout.of(5, (7, 4))
    sprite = feature_sprite([features_of()], 0)
    for half in (0, 1):
        assert (tile(sprite, layout, 5, half) == 0).all()


def test_what_lies_outside_the_image_is_transparent():
    features = features_of()
    features.boxes[0, 2] = (1, 0, 7, 3)
    layout = SpriteLayout.of(5, (7, 4))
    for half in (0, 1):
        shown = tile(feature_sprite([features], 0), layout, 2, half)
        expected = np.zeros((7, 4), "uint8")
        expected[1:, :3] = 255
        np.testing.assert_array_equal(shown[..., 3], expected)


def test_absent_images_are_transparent():
    features = features_of()
    features.image_indices[1, 4] = -1
    shown = tile(feature_sprite([features], 1), SpriteLayout.of(5, (7, 4)), 4, 0)
    assert (shown[..., 3] == 0).all()


def test_grey_images():
    features = features_of(channels=1)
    patch = tile(feature_sprite([features], 0), SpriteLayout.of(5, (7, 4)), 0, 1)
    np.testing.assert_array_equal(patch[..., :3], features.patches[0, 0].repeat(3, axis=-1))


def test_large_windows_are_averaged():
    features = features_of(k=1, size=(224, 224))
    features.patches[:] = np.indices((224, 224)).sum(axis=0)[..., None] // 2 % 256
    sprite = feature_sprite([features], 0)
    assert sprite.shape == (112, 224, 4)
    means = features.patches[0, 0, :2, :2].mean(axis=(0, 1))
    np.testing.assert_array_equal(sprite[0, 112, :3], np.rint(means))


def test_an_edge_that_is_averaged_keeps_its_colour():
    features = features_of(k=1, size=(224, 224))
    features.patches[:] = 200
    features.boxes[:] = (0, 1, 224, 224)
    patch = feature_sprite([features], 0)[:, 112:]
    assert (patch[..., :3] == 200).all()
    assert patch[0, 0, 3] == 128
    assert (patch[:, 1:, 3] == 255).all()


def test_webp_without_loss_gives_the_pixels_back():
    pixels = feature_sprite([features_of()], 0)
    with Image.open(io.BytesIO(webp(pixels, lossless=True))) as image:
        assert image.format == "WEBP"
        read = np.asarray(image)
    opaque = pixels[..., 3] == 255
    np.testing.assert_array_equal(read[opaque], pixels[opaque])
    np.testing.assert_array_equal(read[..., 3], pixels[..., 3])


def test_webp_of_opaque_pixels_has_no_opacity():
    pixels = np.full((9, 7, 4), 255, "uint8")
    with Image.open(io.BytesIO(webp(pixels))) as image:
        assert image.mode == "RGB"
        assert image.size == (7, 9)


def test_filters_are_shown_each_at_its_own_contrast():
    filters = np.zeros((2, 3, 3, 2), "float32")
    filters[0, 0, 0] = (1, -0.01)
    found = filter_pixels(filters)
    assert found.shape == (2, 2, 3, 3)
    assert found[0, 0, 0].tolist() == [255, 128, 128]
    assert found[1, 0, 0].tolist() == [1, 128, 128]
    assert (found[:, 1] == 128).all()
