import dataclasses

import numpy as np
import pytest

from kerasvis.analyses.fidelity.cosine_convergence import CosineConvergence
from kerasvis.analyses.fidelity.fidelity_result import (
    CHECKS,
    OF_ALL_METHODS,
    FidelityReport,
    from_arrays,
    joined,
    to_arrays,
)
from kerasvis.analyses.fidelity.selectivity import Selectivity
from tests.analyses.fidelity.fidelity_reports import equal


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
    assert equal(FidelityReport.load(tmp_path / "fidelity.npz"), report(**checks))


def test_a_file_of_something_else(tmp_path):
    np.savez(tmp_path / "other.npz", layers=1)
    with pytest.raises(ValueError, match=r"not an \.npz file.*: it has no 'layer'"):
        FidelityReport.load(tmp_path / "other.npz")


def test_arrays_of_a_check():
    arrays = to_arrays(selectivity("zf", "my_method"))
    assert arrays["methods"].tolist() == ["zf", "my_method"]
    assert all(isinstance(array, np.ndarray) for array in arrays.values())
    assert equal(from_arrays(Selectivity, arrays), selectivity("zf", "my_method"))


def test_results_of_single_methods_are_joined():
    first, second, third = selectivity("zf"), selectivity("a", "b"), selectivity("c")
    found = joined([first, second, third])
    assert found.methods == ("zf", "a", "b", "c")
    assert found.measures == first.measures
    np.testing.assert_array_equal(found.features, first.features)
    for row, expected in enumerate((first, second, second, third)):
        place = (0, 0, 1, 0)[row]
        np.testing.assert_array_equal(found.between_units[row], expected.between_units[place])
    assert equal(joined([first]), first)


def test_fields_without_an_axis_of_methods_are_known():
    fields = {field.name for kind in CHECKS.values() for field in dataclasses.fields(kind)}
    assert fields > OF_ALL_METHODS
