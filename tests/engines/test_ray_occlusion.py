"""Occlusion of many images on two machines, against this process."""

import keras
import numpy as np
import pytest

import kerasvis as kv
from kerasvis.analyses.occlusion.occlusion_of_images import stream_occlusion_sensitivity
from kerasvis.analyses.occlusion.occlusion_on_engine import occlusion_on_engine
from kerasvis.engines import Ray
from tests.engines.light_work import files

pytestmark = pytest.mark.slow

SETTINGS = {"patch_size": 5, "strides": 4, "baseline": "blur", "verbose": 0}


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    features = [keras.layers.Conv2D(4, 3, activation="relu", name="conv")]
    classes = [keras.layers.Flatten(), keras.layers.Dense(5, activation="softmax")]
    return keras.Sequential([keras.Input((17, 22, 3)), *features, *classes])


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0, 255, (7, 17, 22, 3)).astype("float32")


@pytest.fixture(scope="module")
def here(model, images):
    return kv.occlusion_sensitivity(model, images, 3, **SETTINGS)


def test_results_are_those_of_one_process(machines, engine, model, images, here):
    there = kv.occlusion_sensitivity(model, images, 3, engine=engine, **SETTINGS)
    assert there == here


def test_a_machine_is_killed_in_the_middle(machines, model, images, here):
    analysis = kv.analyses.OcclusionAnalysis(model, (17, 22), **SETTINGS)
    found = {}
    for index, result in occlusion_on_engine(Ray(), analysis, images, [3] * 7):
        assert index not in found
        found[index] = result
        if len(found) == 2:
            machines.kill()
    assert [found[index] for index in range(7)] == here


def test_files_that_are_there_are_not_computed_again(machines, engine, model, images, tmp_path):
    analysis = kv.analyses.OcclusionAnalysis(model, (17, 22), **SETTINGS)
    names = [f"image{number}" for number in range(7)]

    def stream(folder, engine):
        return list(
            stream_occlusion_sensitivity(analysis, images, [None] * 7, folder, names, engine)
        )

    expected = stream(tmp_path / "here", None)
    stream(tmp_path / "there", engine)
    for name in names[2:5]:
        (tmp_path / "there" / f"{name}.npz").unlink()
    kept = (tmp_path / "there" / "image0.npz").stat().st_mtime_ns
    assert stream(tmp_path / "there", engine) == expected
    assert (tmp_path / "there" / "image0.npz").stat().st_mtime_ns == kept
    assert files(tmp_path / "here") == files(tmp_path / "there")
