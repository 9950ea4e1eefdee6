import re
from types import SimpleNamespace

import numpy as np
import pytest

from kerasvis.figures.page import DPI, MARGIN
from kerasvis.figures.unit_invariance_grid import unit_invariance_grid

INVARIANCE = SimpleNamespace(
    activation=4.0,
    step=0.25,
    curvatures=np.array([-20.0, -1.0]),
    angles=np.array([-30.0, 0.0, 45.0]),
    activations=np.array([[1.0, 4.0, 0.5], [3.9, 4.0, 3.0]]),
)


def pixels(size=(10, 8), channels=3):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (2, 3, *size, channels)).astype("uint8")


@pytest.mark.parametrize("channels", [1, 3])
def test_rows_are_directions_and_columns_angles(channels):
    figure = unit_invariance_grid(INVARIANCE, pixels(channels=channels), image_size=20 / DPI)
    shown = {image.get_label(): image for image in figure.axes[0].images}
    width, height = figure.get_size_inches()
    for number, place in np.ndindex(2, 3):
        picture = shown[f"direction {number} angle {place}"]
        expected = np.broadcast_to(pixels(channels=channels)[number, place], (10, 8, 3))
        np.testing.assert_array_equal(picture.get_array()[::2, ::2], expected)
        left, right, bottom, top = picture.get_extent()
        assert MARGIN - 1e-9 <= left < right < width
        assert 0 < top < bottom < height
    lefts = [shown[f"direction 0 angle {place}"].get_extent()[0] for place in range(3)]
    assert lefts == sorted(set(lefts))


def test_texts():
    figure = unit_invariance_grid(INVARIANCE, pixels(), title="unit 7")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[:5] == ["unit 7", "−30°", "image", "+45°", "direction 1, curvature −5"]
    assert texts[5:8] == ["0.25", "1.00", "0.12"]
    assert "direction 2, curvature −0.25" in texts
    caption = " ".join(texts)
    assert "slowest decrease, to which it is invariant" in caption
    assert "from gradients 0.25 radians to either side" in caption


def silent():
    return SimpleNamespace(**{**vars(INVARIANCE), "activation": 0})


WRONG = [
    (INVARIANCE, pixels()[:1], {}, "Received: uint8 pixels of shape (1, 3, 10, 8, 3)"),
    (
        INVARIANCE,
        pixels().astype("float32"),
        {},
        "of shape (2, 3) + (height, width, channels). Received: float32",
    ),
    (INVARIANCE, pixels(), {"image_size": 0}, "Received: image_size=0"),
    (
        silent(),
        pixels(),
        {},
        "not active in the image: give an invariance around an image that exc",
    ),
]


@pytest.mark.parametrize(("invariance", "images", "options", "sentence"), WRONG)
def test_what_cannot_be_shown_is_refused(invariance, images, options, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        unit_invariance_grid(invariance, images, **options)
