import re

import numpy as np
import pytest

from kerasvis.figures import filter_grid


def kernels(num_filters=10, size=(7, 5), channels=3):
    """Noise in which filter 4 dominates."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(*size, channels, num_filters)).astype("float32")
    values[..., 4:5] *= 20
    return values


def shown(figure):
    (image,) = figure.axes[0].images
    return np.asarray(image.get_array()), image.get_extent()


def filter_of(pixels, number, columns, size, times):
    gap = (pixels.shape[1] - columns * size[1] * times) // (columns - 1)
    row, column = divmod(number, columns)
    top, left = row * (size[0] * times + gap), column * (size[1] * times + gap)
    tile = pixels[top : top + size[0] * times, left : left + size[1] * times]
    return tile[::times, ::times]


@pytest.mark.parametrize("scale", ["shared", "each"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("columns", [None, 5])
def test_every_filter_stands_at_its_index(scale, channels, columns):
    weights = kernels(channels=channels)
    pixels, _ = shown(filter_grid(weights, scale=scale, filters_per_row=columns))
    largest = np.abs(weights).max()
    for number in range(10):
        actual = filter_of(pixels, number, columns or 4, (7, 5), times=14)  # 7 × 14 >= 96 dots
        weight = weights[..., number]
        full = largest if scale == "shared" else np.abs(weight).max()
        np.testing.assert_allclose(
            actual.astype(int), np.rint(128 + 127 * weight / full) + np.zeros(3), atol=1
        )


def test_a_dominant_filter_greys_the_others_on_one_scale_only():
    def contrast(scale):
        pixels, _ = shown(filter_grid(kernels(), scale=scale))
        tiles = [filter_of(pixels, number, 4, (7, 5), times=14) for number in range(10)]
        return [np.abs(tile.astype(int) - 128).max() for tile in tiles]

    assert contrast("each") == [127] * 10
    assert max(np.delete(contrast("shared"), 4)) < 20


def test_page_fits_the_filters_and_states_the_scale():
    figure = filter_grid(kernels(96, (7, 7)), title="conv1")
    pixels, (left, right, bottom, top) = shown(figure)
    width, height = figure.get_size_inches()
    assert 0 < left < right < width
    assert 0 < top < bottom < height
    assert (right - left) / (bottom - top) == pytest.approx(pixels.shape[1] / pixels.shape[0])
    assert right - left == pytest.approx(10 * 0.32 + 9 * 0.03, abs=0.01)
    sentences = [text.get_text() for text in figure.axes[0].texts]
    assert sentences[0] == "conv1"
    assert "full contrast: the largest absolute weight of all filters." in " ".join(sentences)
    each = " ".join(text.get_text() for text in filter_grid(kernels(), scale="each").axes[0].texts)
    assert "the largest absolute weight of each filter." in each


def with_nan():
    weights = kernels()
    weights[0, 0, 0, 7] = np.nan
    return weights


WRONG = [
    ((kernels(channels=64),), {}, "Received: kernels of shape (7, 5, 64, 10)"),
    ((kernels()[..., 0],), {}, "Received: kernels of shape (7, 5, 3)"),
    ((kernels(num_filters=0),), {}, "Received: kernels of shape (7, 5, 3, 0)"),
    ((kernels(),), {"scale": "all"}, "Give 'shared' or 'each'. Received: scale='all'"),
    ((kernels(),), {"filters_per_row": 0}, "Received: filters_per_row=0, filter_size=0.32"),
    ((kernels(),), {"filter_size": 0}, "filter_size=0"),
    ((with_nan(),), {}, "Received: 1 filter not finite, the first is 7"),
]


@pytest.mark.parametrize(("arguments", "options", "sentence"), WRONG)
def test_what_cannot_be_shown_is_refused(arguments, options, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        filter_grid(*arguments, **options)
