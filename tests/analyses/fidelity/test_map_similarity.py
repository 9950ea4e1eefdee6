"""Similarities by hand, and what they are blind to."""

import numpy as np
import pytest

from kerasvis.analyses.fidelity.map_similarity import (
    MEASURES,
    correlation,
    gradient_histograms,
    map_similarity,
    mean_of_defined,
    picture,
    structural_similarity,
)


def random_map(seed, size=(31, 22), channels=3):
    return np.random.default_rng(seed).normal(size=(*size, channels))


def test_equal_maps_are_entirely_alike():
    values = random_map(0)
    np.testing.assert_allclose(map_similarity(values, values), [1, 1, 1, 1], rtol=1e-12)
    np.testing.assert_allclose(map_similarity(values, 7 * values), [1, 1, 1, 1], rtol=1e-12)


def test_only_the_signed_rank_sees_a_sign():
    values = random_map(0)
    np.testing.assert_allclose(map_similarity(values, -values), [1, -1, 1, 1], rtol=1e-12)


def test_ranks_by_hand():
    first = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9.0]])[..., None]
    second = np.array([[2, 1, 30], [4, -50, 6], [-7, 9, 8.0]])[..., None]
    # Spearman: 1 − 6 Σ d² / (n (n² − 1)), n = 9
    absolute = np.array([[2, 1, 8], [3, 9, 4], [5, 7, 6]])
    signed = np.array([[4, 3, 9], [5, 1, 6], [2, 8, 7]])
    places = np.arange(1, 10).reshape(3, 3)
    expected = [1 - 6 * np.sum((ranks - places) ** 2) / 720 for ranks in (absolute, signed)]
    np.testing.assert_allclose(map_similarity(first, second)[:2], expected, rtol=1e-12)


def test_channels_are_summed():
    values = np.array([[[1, -1], [0, 3]], [[2, 2], [-4, 0]]], "float64")
    values = np.pad(values, ((0, 1), (0, 1), (0, 0)), constant_values=0.5)
    strengths = np.abs(values[..., 0]) + np.abs(values[..., 1])
    sums = values[..., 0] + values[..., 1]
    other = random_map(3, (3, 3), 2)
    found = map_similarity(values, other)
    of_strengths = map_similarity(strengths[..., None], np.abs(other).sum(axis=-1)[..., None])
    of_sums = map_similarity(sums[..., None], other.sum(axis=-1)[..., None])
    np.testing.assert_allclose(found[[0, 2, 3]], of_strengths[[0, 2, 3]], rtol=1e-12)
    np.testing.assert_allclose(found[1], of_sums[1], rtol=1e-12)


def test_independent_maps_are_hardly_alike():
    found = map_similarity(random_map(0, (90, 70)), random_map(1, (90, 70)))
    assert (np.abs(found[:3]) < 0.1).all()
    assert found[3] < 0.5


def test_a_constant_map_has_no_similarity():
    empty = np.zeros((9, 8, 3))
    assert np.isnan(map_similarity(empty, random_map(0, (9, 8)))).all()
    cancelled = random_map(0, (9, 8), 1) * np.array([1, -1])
    is_defined = ~np.isnan(map_similarity(cancelled, random_map(0, (9, 8), 2)))
    np.testing.assert_array_equal(is_defined, [True, False, True, True])
    assert np.isnan(correlation([1, 1, 1], [1, 2, 3]))


def test_undefined_numbers_are_left_out():
    found = mean_of_defined(np.array([[1, np.nan, 3], [np.nan] * 3]))
    np.testing.assert_array_equal(found, [2, np.nan])
    assert np.isnan(mean_of_defined(np.zeros((4, 0)))).all()


def test_pictures_are_cut_at_a_percentile():
    strengths = np.concatenate([np.zeros(50), np.arange(1, 101), [10000.0]])
    shown = picture(strengths)
    full = np.percentile(strengths[50:], 99)
    np.testing.assert_allclose(shown, np.minimum(strengths / full, 1), rtol=1e-12)
    assert shown.max() == 1
    assert shown[50] == pytest.approx(1 / full)


def test_structural_similarity_of_windows_by_hand():
    first, second = (np.random.default_rng(n).random((5, 9)) for n in (0, 1))
    found = structural_similarity(first, second)
    expected = []  # windows of 5×5, the largest odd ones that fit
    for column in range(5):
        x, y = first[:, column : column + 5].ravel(), second[:, column : column + 5].ravel()
        cov = np.cov(x, y)
        luminance = (2 * x.mean() * y.mean() + 1e-4) / (x.mean() ** 2 + y.mean() ** 2 + 1e-4)
        structure = (2 * cov[0, 1] + 9e-4) / (cov[0, 0] + cov[1, 1] + 9e-4)
        expected.append(luminance * structure)
    assert found == pytest.approx(np.mean(expected), rel=1e-9)


def test_histograms_have_cells_that_fit():
    assert gradient_histograms(np.random.default_rng(0).random((48, 70))).size == 9 * 9 * 2
    assert gradient_histograms(np.random.default_rng(0).random((3, 4))).size == 9 * 9 * 2
    assert len(MEASURES) == len(map_similarity(random_map(0), random_map(1)))


@pytest.mark.parametrize(
    ("shapes", "sentence"),
    [
        (
            ((5, 4, 3), (4, 5, 3)),
            r"two of one shape .* Received: maps of shapes \(5, 4, 3\) and \(4, 5, 3\)",
        ),
        (((5, 4), (5, 4)), r"\(rows, columns, channels\). Received: a map of shape \(5, 4\)"),
        (
            ((2, 9, 3), (2, 9, 3)),
            "too small to compare: give 3 pixels or more .* Received: a map of 2×9 pixels",
        ),
    ],
)
def test_what_cannot_be_compared(shapes, sentence):
    with pytest.raises(ValueError, match=sentence):
        map_similarity(*map(np.ones, shapes))
