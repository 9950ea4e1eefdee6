"""Projections that are computed on two machines, against this process."""

import numpy as np
import pytest

import kerasvis as kv
from kerasvis.analyses import projections_on_engine
from tests.engines.killing import Killing
from tests.engines.nested_convnet import SIZE, brightness, nested_convnet

LAYERS = ["conv", "inner/linear", "dense"]


@pytest.fixture(scope="module")
def model():
    return nested_convnet()


@pytest.fixture
def images(monkeypatch):
    """Images, of which seven activations are projected at once."""
    monkeypatch.setattr("kerasvis.analyses.unit_windows.NUM_UNITS_AT_ONCE", 7)
    return np.random.default_rng(0).integers(0, 256, (17, *SIZE, 3)).astype("float32")


def visualized(model, images, engine=None):
    """`{(layer, method, field): bytes}`."""
    methods = ["deconvnet", "guided", "gradient_times_input", brightness]
    options = {"methods": methods, "k": 4, "num_features": 3, "verbose": 0}
    found = kv.visualize_features(model, LAYERS, images, engine=engine, **options)
    return {
        (layer, method, field): values.tobytes()
        for layer, by_method in found.items()
        for method, each in by_method.items()
        for field, values in each.to_arrays().items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["array", "batches"])
def test_the_arrays_are_the_same(machines, engine, model, images, kind):
    if kind == "batches":
        images = [images[begin : begin + 4] for begin in range(0, 17, 4)]
    here = visualized(model, images)
    assert visualized(model, images, engine) == here
    assert len(here) > 3 * 4 * 5


@pytest.mark.slow
def test_a_machine_is_killed_while_it_projects(machines, model, images, monkeypatch):
    here = visualized(model, images)
    engine = Killing(machines, 2 + 3)
    assert visualized(model, images, engine) == here
    assert engine.num_parts == 2 + 3 * 2  # of the scan; of each layer, with twelve activations


@pytest.mark.parametrize("number", [1, 2, 5])
def test_the_halves_of_a_part_are_its_units(number):
    windows = projections_on_engine.UnitsInWindows(
        "conv",
        np.arange(number),
        np.zeros((number, 2), int),
        np.arange(number),
        kv.analyses.unit_windows.Windows((3, 3), np.zeros((number, 2), int), SIZE),
    )
    part = projections_on_engine.UnitsOfLayer(0, np.arange(number) + 10, windows, None)
    last = f"s 0 to {number - 1}" if number > 1 else " 0"
    assert part.describe() == f"The activations of feature map{last} of layer 'conv'"
    halves = part.halves()
    assert sum(half.num_images for half in halves) == number
    assert np.concatenate([half.numbers for half in halves]).tolist() == part.numbers.tolist()
    features = [half.units.features for half in halves]
    assert np.concatenate(features).tolist() == list(range(number))
