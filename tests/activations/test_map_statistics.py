import math

import keras
import numpy as np
import pytest

from kerasvis.activations import MapStatistics, map_statistics
from kerasvis.data import ImageFolder
from kerasvis.graph import feature_extractor
from tests.activations.small_models import small_convnet, whole_numbered_images

LAYERS = ["conv", "inner/linear", "dense"]


def statistics_of(maxima, image_indices=None):
    maxima = np.array(maxima, "float32")
    image_indices = np.arange(len(maxima)) if image_indices is None else np.array(image_indices)
    return MapStatistics("conv", image_indices, maxima)


def test_maxima_are_those_of_the_maps():
    model, images = small_convnet(), whole_numbered_images(7)
    found = map_statistics(model, LAYERS, images, batch_size=3, verbose=0)
    outputs = feature_extractor(model, LAYERS).predict(images, verbose=0)
    assert list(found) == LAYERS
    for layer, maps in zip(LAYERS, outputs, strict=True):
        statistics = found[layer]
        assert statistics.layer == layer
        assert statistics.image_indices.tolist() == list(range(7))
        assert statistics.maxima.dtype == "float32"
        for image in range(7):
            for feature in range(maps.shape[-1]):
                expected = max(np.ravel(maps[image][..., feature]).tolist())
                assert statistics.maxima[image, feature] == expected


def test_images_that_cannot_be_decoded_are_left_out(tmp_path):
    for name in ("a", "b", "d"):
        pixels = np.random.default_rng(len(name)).integers(0, 256, (7, 9, 3)).astype("uint8")
        keras.utils.save_img(tmp_path / f"{name}.png", pixels)
    (tmp_path / "c.png").write_bytes(b"no image")
    folder = ImageFolder(tmp_path, (7, 9))
    statistics = map_statistics(small_convnet(), ["conv"], folder, batch_size=2, verbose=0)["conv"]
    assert statistics.image_indices.tolist() == [0, 1, 3]
    assert len(statistics.maxima) == 3


def test_number_active_means_and_sparseness():
    statistics = statistics_of([[1, 0, -1, 2], [1, 0, -3, 0], [1, 0, 4, 0], [1, 0, 0, 0]])
    assert statistics.num_active.tolist() == [4, 0, 1, 1]
    assert statistics.means.tolist() == [1, 0, 0, 0.5]
    all_alike, never, once, once_too = statistics.sparseness.tolist()
    assert all_alike == 0
    assert math.isnan(never)
    assert once == once_too == 1


def test_sparseness_by_hand():
    # means 1.5 and 3.5 of squares: (1 - 2.25 / 3.5) / (1 - 1 / 4)
    found = statistics_of([[0], [1], [2], [3]]).sparseness
    np.testing.assert_allclose(found, [(1 - 2.25 / 3.5) / 0.75], rtol=1e-12)


def test_sparseness_of_one_image_is_not_known():
    assert np.isnan(statistics_of([[3.0]]).sparseness).all()


def test_co_activation_is_the_correlation_of_maxima():
    maxima = np.random.default_rng(0).normal(size=(9, 5)).astype("float32")
    found = statistics_of(maxima).co_activation
    for a in range(5):
        for b in range(5):
            x, y = (maxima[:, f].astype("float64") for f in (a, b))
            x, y = x - sum(x) / 9, y - sum(y) / 9
            expected = sum(x * y) / math.sqrt(sum(x * x) * sum(y * y))
            np.testing.assert_allclose(found[a, b], expected, rtol=1e-5, atol=1e-6)


def test_a_constant_map_is_like_none():
    constant = np.full((6, 1), 0.1)
    maxima = np.concatenate([constant, np.arange(6)[:, None], np.arange(6)[:, None] ** 2], axis=1)
    statistics = statistics_of(maxima)
    assert np.isnan(statistics.co_activation[0]).all()
    assert statistics.most_alike(0) == []
    ((feature, correlation),) = statistics.most_alike(1)
    assert feature == 2
    np.testing.assert_allclose(correlation, np.corrcoef(maxima.T)[1, 2], rtol=1e-5)


def test_most_alike_is_ordered_positive_and_never_the_map_itself():
    first = np.array([0, 1, 2, 3, 4.0])
    noise = np.array([1, -1, 0, 1, -1.0])
    maxima = np.stack([first, first + noise, -first, first + 0.1 * noise, 2 * first], axis=1)
    found = statistics_of(maxima).most_alike(0, number=3)
    assert [feature for feature, _ in found] == [4, 3, 1]
    assert found[0][1] == pytest.approx(1)
    assert [feature for feature, _ in statistics_of(maxima).most_alike(0, number=1)] == [4]


def test_histogram_counts_every_image_once():
    counts, edges = statistics_of([[0], [0], [1], [3.5], [4]]).histogram(0, num_intervals=4)
    assert edges.tolist() == [0, 1, 2, 3, 4]
    assert counts.tolist() == [2, 1, 0, 2]


def test_histogram_of_a_silent_map():
    histogram = statistics_of(np.zeros((6, 1))).histogram(0)
    assert histogram.counts.sum() == 6


def test_class_means_over_the_images_that_have_a_class():
    statistics = statistics_of([[1, 2], [3, 4], [5, 9], [7, 7]], image_indices=[0, 2, 3, 4])
    found = statistics.class_means(["b", "not scanned", "a", "b", None])
    assert found.names == ("a", "b")
    assert found.num_images.tolist() == [1, 2]
    assert found.means.tolist() == [[3, 4], [3, 5.5]]


def test_no_image_has_a_class():
    found = statistics_of([[1, 2], [3, 4]]).class_means([None, None])
    assert found.names == ()
    assert found.means.shape == (0, 2)


def test_saves_and_loads(tmp_path):
    statistics = statistics_of([[1, 2], [3, 4]], image_indices=[0, 5])
    statistics.save(tmp_path / "a.npz")
    loaded = MapStatistics.load(tmp_path / "a.npz")
    assert loaded == statistics
    assert loaded.means.tolist() == [2, 3]


def test_unknown_layer_is_named():
    with pytest.raises(ValueError, match="The model has no layer 'cnv': did you mean conv"):
        map_statistics(small_convnet(), ["cnv"], whole_numbered_images(2), verbose=0)
