import dataclasses

import numpy as np
import pytest

from kerasvis.analyses.fidelity.cosine_convergence import CosineConvergence
from kerasvis.analyses.fidelity.fidelity_result import (
    CHECKS,
    OF_ALL_METHODS,
    FidelityReport,
    joined,
)
from kerasvis.analyses.fidelity.selectivity import Selectivity


def selectivity(*methods):
    rng = np.random.default_rng(len(methods))
    return Selectivity(
        methods=methods,
        measures=("rank", "SSIM"),
        features=np.arange(6, dtype="int32").reshape(3, 2),
        between_units=rng.random((len(methods), 3, 2)),
        between_images=np.full((len(methods), 3, 2), np.nan),
    )


def cosines(*methods):
    calls = ("conv2", "image") if methods else ()
    return CosineConvergence(methods, calls, np.ones((len(methods), len(calls), 3, 4)))


def report(**checks):
    return FidelityReport(
        layer="conv2",
        methods=("zf", "my_method"),
        features=np.array([4, 0, 7], "int32"),
        positions=np.array([[1, 2], [0, 0], [3, 1]], "int32"),
        activations=np.array([1.5, 2, 0.25], "float32"),
        boxes=np.arange(12).reshape(3, 4),
        **checks,
    )


@pytest.mark.parametrize(
    "checks",
    [
        {},
        {"selectivity": selectivity("zf", "my_method")},
        {"selectivity": selectivity("zf"), "cosine_convergence": cosines("zf")},
        {"cosine_convergence": cosines()},  # of a report on methods of the user's alone
    ],
    ids=len,
)
def test_saved_and_loaded(checks, tmp_path):
    report(**checks).save(tmp_path / "fidelity.npz")
    assert FidelityReport.load(tmp_path / "fidelity.npz") == report(**checks)


def test_results_of_single_methods_are_joined():
    first, second, third = selectivity("zf"), selectivity("a", "b"), selectivity("c")
    found = joined([first, second, third])
    assert found.methods == ("zf", "a", "b", "c")
    assert found.measures == first.measures
    np.testing.assert_array_equal(found.features, first.features)
    for row, expected in enumerate((first, second, second, third)):
        place = (0, 0, 1, 0)[row]
        np.testing.assert_array_equal(found.between_units[row], expected.between_units[place])
    assert joined([first]) == first


def test_fields_without_an_axis_of_methods_are_known():
    fields = {field.name for kind in CHECKS.values() for field in dataclasses.fields(kind)}
    assert fields > OF_ALL_METHODS
