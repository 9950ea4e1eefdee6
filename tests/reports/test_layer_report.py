import numpy as np
import pytest

from kerasvis.activations import LayerActivations, MapStatistics
from kerasvis.graph import ReceptiveField
from kerasvis.reports.layer_report import LayerReport, MapSummary, PreferredClass, ShownUnit
from kerasvis.reports.sprites import SpriteLayout


@pytest.fixture
def report():
    """Three maps over four images, of which two activations are kept."""
    maxima = np.array([[1, 0, -1], [3, 0, 8], [2, 0, 0], [0, 0, 1]], "float32")
    statistics = MapStatistics("conv", np.arange(4), maxima)
    top = LayerActivations(
        np.array([[3, 2], [0, -np.inf], [8, 1]], "float32"),
        np.array([[1, 2], [0, -1], [1, 3]]),
        np.array([[[4, 5], [6, 7]], [[0, 0], [-1, -1]], [[1, 2], [3, 4]]], "int32"),
    )
    field = ReceptiveField((3, 5), (1, 1), (0, 0), (9, 9))
    means = statistics.class_means(["a", "b", "b", "c"])
    layout = SpriteLayout.of(2, (3, 5))
    return LayerReport("conv", top, statistics, layout, field, class_means=means)


def test_counts(report):
    assert (report.num_maps, report.num_images, report.num_silent) == (3, 4, 1)


def test_units(report):
    assert report.units(0) == [ShownUnit(0, 3.0, 1, (4, 5)), ShownUnit(1, 2.0, 2, (6, 7))]
    assert report.units(1) == [ShownUnit(0, 0.0, 0, (0, 0))]


def test_preferred_classes(report):
    assert report.preferred_classes(0) == [PreferredClass("b", 2.5, 2), PreferredClass("a", 1.0, 1)]
    assert report.preferred_classes(1) == []
    assert report.preferred_classes(2) == [PreferredClass("b", 4.0, 2), PreferredClass("c", 1.0, 1)]


def test_summaries(report):
    first, silent, last = report.summaries()
    assert first == MapSummary(0, 3.0, 0.75, pytest.approx((1 - 2.25 / 3.5) / 0.75), ("b", "a"))
    assert silent[:3] == (1, 0.0, 0.0)
    assert np.isnan(silent.sparseness)
    assert last[:3] == (2, 8.0, 0.5)


def test_strongest_map(report):
    assert report.strongest_map == 2
