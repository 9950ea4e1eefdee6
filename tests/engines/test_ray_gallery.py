"""A gallery whose scans and projections are computed on two machines, against this process."""

import numpy as np
import pytest

import kerasvis as kv
from kerasvis.reports import layer_pictures
from tests.engines.killing import Killing
from tests.engines.light_work import files
from tests.engines.nested_convnet import SIZE, brightness, nested_convnet

LAYERS = ["conv", "inner/linear"]


@pytest.fixture(scope="module")
def model():
    return nested_convnet()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (17, *SIZE, 3)).astype("float32")


def written(model, images, folder, engine=None):
    methods = ["deconvnet", "gradient_times_input", brightness]
    options = {"methods": methods, "relevance": True, "k": 3, "batch_size": 4, "verbose": 0}
    kv.write_gallery(model, LAYERS, images, folder, engine=engine, **options)
    return files(folder)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["array", "batches"])
def test_the_files_are_the_same(machines, engine, model, images, tmp_path, monkeypatch, kind):
    if kind == "batches":
        images = [images[begin : begin + 4] for begin in range(0, 17, 4)]
    num_bytes = 4 * 3 * 3 * np.prod(SIZE) * 3  # of one feature map by three methods, at most
    monkeypatch.setattr(layer_pictures, "NUM_BYTES_AT_ONCE", 2 * num_bytes)
    here = written(model, images, tmp_path / "here")
    assert written(model, images, tmp_path / "there", engine) == here
    assert sum(path.suffix == ".webp" for path in here) > 2 * 9


@pytest.mark.slow
def test_a_machine_is_killed_while_it_projects(machines, model, images, tmp_path, monkeypatch):
    monkeypatch.setattr(layer_pictures, "NUM_BYTES_AT_ONCE", 1)
    here = written(model, images, tmp_path / "here")
    engine = Killing(machines, 10 + 7)
    assert written(model, images, tmp_path / "there", engine) == here
    assert engine.num_parts == 10 + 2 * 9  # of two scans; feature maps
