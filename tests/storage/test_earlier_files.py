"""Files that were written before there were versions are still read."""

import numpy as np

from kerasvis.activations import TopActivations
from kerasvis.analyses import OcclusionSensitivity
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
