"""Files that were written before there were versions are still read."""

import dataclasses

import numpy as np
import pytest

from kerasvis.activations import TopActivations
from kerasvis.activations.map_statistics import MapStatistics
from kerasvis.analyses import (
    Correspondence,
    Evolution,
    FeatureTransfer,
    FeatureVisualization,
    FidelityReport,
    LayerAblation,
    OcclusionAgreement,
    OcclusionSensitivity,
    PreferredImages,
    UnitInvariance,
)
from kerasvis.analyses.fidelity.fidelity_result import CHECKS
from kerasvis.analyses.fidelity.patch_sufficiency import PatchSufficiency
from kerasvis.storage.fields import names_of
from tests.storage.example_results import Examples


def test_top_activations(tmp_path):
    top = Examples().of(TopActivations)
    arrays = {"layers": np.array(top.layers, "str")}
    for name, layer in top.activations.items():
        arrays |= {f"{name}/{part}": array for part, array in layer._asdict().items()}
    np.savez(tmp_path / "top.npz", **arrays)
    assert TopActivations.load(tmp_path / "top.npz") == top


def test_occlusion_sensitivity(tmp_path):
    result = Examples().of(OcclusionSensitivity)
    for projection in (result.projection, None):
        arrays = {name: getattr(result, name) for name in names_of(OcclusionSensitivity)}
        occluders = vars(arrays.pop("occluders"))
        arrays["projection"] = np.zeros(0) if projection is None else projection
        np.savez(tmp_path / "heat.npz", **arrays, **occluders)
        loaded = OcclusionSensitivity.load(tmp_path / "heat.npz")
        assert loaded.occluders == result.occluders
        np.testing.assert_equal(loaded.projection, projection)
        np.testing.assert_equal(loaded.probabilities, result.probabilities)


def fields_of(result):
    return {name: getattr(result, name) for name in names_of(type(result))}


def test_evolution(tmp_path):
    evolution = Examples().of(Evolution)
    arrays = {"epochs": evolution.epochs, "layers": np.array(evolution.layers, "str")}
    for layer, maps in evolution.features.items():
        parts = fields_of(dataclasses.replace(maps, layer=layer))
        arrays |= {f"{layer}/{part}": value for part, value in parts.items() if part != "layer"}
    np.savez(tmp_path / "evolution.npz", **arrays)
    loaded = Evolution.load(tmp_path / "evolution.npz")
    assert loaded.layers == evolution.layers
    for layer in loaded:
        assert loaded[layer] == dataclasses.replace(evolution[layer], layer=layer)


@pytest.mark.parametrize("left_out", [(), ("selectivity", "insertion_deletion")])
def test_fidelity_report(left_out, tmp_path):
    report = Examples().of(FidelityReport)
    report = dataclasses.replace(report, **dict.fromkeys(left_out))
    arrays = fields_of(report)
    for check in CHECKS:
        if (result := arrays.pop(check)) is not None:
            arrays |= {f"{check}.{name}": value for name, value in fields_of(result).items()}
    np.savez(tmp_path / "report.npz", **with_covered(arrays))
    assert FidelityReport.load(tmp_path / "report.npz") == report


@pytest.mark.parametrize("kind", [FidelityReport, PatchSufficiency])
def test_occluded_patches_of_the_first_version(kind, tmp_path):
    result = Examples().of(kind)
    arrays = with_covered(result.to_arrays()) | {"kerasvis/version": np.array(1)}
    np.savez(tmp_path / "result.npz", **arrays)
    assert kind.load(tmp_path / "result.npz") == result


def with_covered(arrays):
    """The arrays under the names of files below version 2."""
    return {
        name.removesuffix("occluded") + "covered" if name.endswith("occluded") else name: array
        for name, array in arrays.items()
    }


FLAT = [
    *(Correspondence, FeatureTransfer, FeatureVisualization, LayerAblation, OcclusionAgreement),
    *(MapStatistics, PreferredImages, UnitInvariance),
]


@pytest.mark.parametrize("kind", FLAT)
def test_classes_without_inner_ones(kind, tmp_path):
    result = Examples().of(kind)
    np.savez(tmp_path / "result.npz", **fields_of(result))
    assert kind.load(tmp_path / "result.npz") == result


def test_a_field_that_was_added_later_has_its_default(tmp_path):
    result = Examples().of(FeatureVisualization)
    arrays = fields_of(result)
    del arrays["pixel_range"]
    np.savez(tmp_path / "result.npz", **arrays)
    loaded = FeatureVisualization.load(tmp_path / "result.npz")
    assert loaded == dataclasses.replace(result, pixel_range="")
