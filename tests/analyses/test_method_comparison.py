import re

import keras
import numpy as np
import pytest

import kerasvis as kv
from kerasvis.analyses.method_comparison import MethodComparison, compare_methods
from kerasvis.attributions import METHODS, attribute
from kerasvis.data import Preprocessing
from kerasvis.deconvnet.targets import Strongest, Unit, WholeMap
from tests.attributions.small_convnets import SIZE, convnet

OPTIONS = {"smoothgrad": {"num_samples": 2, "noise_level": 0.5}}


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    return convnet()


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3)).astype("uint8")


@pytest.fixture(scope="module")
def images(pixels):
    return Preprocessing("caffe").images(pixels)


@pytest.fixture(scope="module")
def comparison(model, images):
    """Of a strongest unit, which lies somewhere else in each image."""
    options = {"options": OPTIONS, "preprocessing": "caffe"}
    return compare_methods(model, "active2", images, Strongest(1), **options)


def test_every_method_traces_back_the_same_unit(model, images, pixels, comparison):
    activations, positions = kv.DeconvModel(model, "active2").locate(images, 1)
    np.testing.assert_allclose(comparison.activations, activations, rtol=1e-5)
    np.testing.assert_array_equal(comparison.positions, positions)
    np.testing.assert_array_equal(comparison.pixels, pixels)
    assert comparison.feature_indices.tolist() == [1, 1, 1]
    assert list(comparison.maps) == list(METHODS)[:-1]
    unit = Unit(1, *positions.T)
    for method, maps in comparison.maps.items():
        expected = attribute(model, "active2", images, unit, method, **OPTIONS.get(method, {}))
        if method == "grad_cam":
            assert maps.shape == (3, *SIZE)
        else:
            expected = expected[..., ::-1]  # the model's images are BGR
        np.testing.assert_allclose(maps, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def brightness(model, layer, images, target):
    return np.abs(images)


def of_one_channel(model, layer, images, target, *, batch_size=None, channel=0):
    assert batch_size == 2
    return images[..., channel]


def test_methods_of_ones_own(model, images):
    methods = {"mine": brightness, "heat": of_one_channel, "zf": "deconvnet"}
    options = {"options": {"heat": {"channel": 2}}, "batch_size": 2, "preprocessing": "caffe"}
    found = compare_methods(model, "conv2", images, Unit(1, 2, 1), methods, **options)
    assert list(found.maps) == list(methods)
    np.testing.assert_array_equal(found.maps["mine"], np.abs(images)[..., ::-1].astype("float32"))
    np.testing.assert_array_equal(found.maps["heat"], images[..., 2].astype("float32"))


def test_a_registered_method_is_known_everywhere(model, images, monkeypatch):
    monkeypatch.setitem(METHODS, "brightness", brightness)
    found = attribute(model, "conv2", images, Unit(1, 2, 1), "brightness")
    np.testing.assert_array_equal(found, np.abs(images))
    options = {"checks": "selectivity", "preprocessing": "caffe", "verbose": 0}
    report = kv.fidelity_report(model, "conv2", images, ["brightness"], **options)
    assert report.methods == ("brightness",)


def test_scores_and_whole_maps(model, images):
    found = compare_methods(
        model, "scores", images, Unit([3, 0, 0]), ["gradient"], preprocessing="caffe"
    )
    assert found.feature_indices.tolist() == [3, 0, 0]
    assert not found.positions.any()
    logits = keras.Model(model.input, model.get_layer("pooled").output)(images).numpy()
    kernel, bias = model.get_layer("scores").get_weights()
    scores = logits @ kernel + bias
    np.testing.assert_allclose(found.activations, scores[[0, 1, 2], [3, 0, 0]], rtol=1e-5)
    whole = compare_methods(model, "sum", images, WholeMap(2), ["gradient"], preprocessing="caffe")
    maps = keras.Model(model.input, model.get_layer("sum").output)(images).numpy()
    np.testing.assert_allclose(whole.activations, maps[..., 2].sum((1, 2)), rtol=1e-5)
    assert (whole.positions == -2).all()


def test_save_and_load(comparison, tmp_path):
    comparison.save(tmp_path / "methods.npz")
    assert MethodComparison.load(tmp_path / "methods.npz") == comparison


ERRORS = [
    ({"methods": []}, "No method was given"),
    ({"methods": ["gradient", "gradient"]}, "Two methods have the same name"),
    ({"methods": ["grad_cma"]}, "There is no method 'grad_cma': did you mean grad_cam"),
    (
        {"methods": ["gradient"], "options": {"grad_cam": {}}},
        "There are options for 'grad_cam', which is not among the methods: add it.",
    ),
    ({"preprocessing": "bgr"}, "preprocessing='bgr'"),
    ({"target": Unit(9)}, "has 4 features: give 0 to 3. Received: feature=9"),
]


@pytest.mark.parametrize(("options", "sentence"), ERRORS)
def test_mistakes(model, images, options, sentence):
    arguments = {"layer": "scores", "images": images, "target": Unit(1)}
    arguments |= {"preprocessing": "caffe", **options}
    with pytest.raises(ValueError, match=re.escape(sentence)):
        compare_methods(model, **arguments)
