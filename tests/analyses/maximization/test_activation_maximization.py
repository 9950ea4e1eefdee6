"""Gradient ascent on units whose maximum is known."""

import re

import keras
import numpy as np
import pytest
from keras import layers

from kerasvis.analyses.maximization.activation_maximization import (
    PixelGradient,
    PreferredImages,
    maximize_activation,
)
from kerasvis.attributions.activation_gradient import ActivationGradient
from kerasvis.data import Preprocessing
from kerasvis.deconvnet.targets import Strongest, Unit, WholeMap
from tests.attributions.small_convnets import convnet
from tests.marks import grid

SIZE = (6, 5)
PLAIN = {"parametrization": "pixels", "jitter": 0, "total_variation": 0}


@pytest.fixture(scope="module")
def linear():
    """A model with three linear units."""
    keras.utils.set_random_seed(0)
    stack = [keras.Input((*SIZE, 3)), layers.Flatten(), layers.Dense(3, name="units")]
    return keras.Sequential(stack, name="linear")


def weights_of(model, unit):
    return model.get_layer("units").get_weights()[0][:, unit].reshape(*SIZE, 3)


def test_a_linear_unit_prefers_black_and_white(linear):
    found = maximize_activation(
        linear, "units", Unit([2, 0]), num_steps=60, learning_rate=0.3, **PLAIN
    )
    assert found.pixels.shape == (2, *SIZE, 3)
    assert found.feature_indices.tolist() == [2, 0]
    for pixels, unit in zip(found.pixels, (2, 0), strict=True):
        weights = weights_of(linear, unit)
        assert (pixels[weights > 0] > 250).all()
        assert (pixels[weights < 0] < 5).all()
    scores = linear(found.pixels.astype("float32")).numpy()
    np.testing.assert_allclose(found.activations, scores[[0, 1], [2, 0]], rtol=1e-5)


def test_channels_go_through_the_preprocessing(linear):
    """Of an image with BGR channels, the first is the last of the pixels."""
    options = {"num_steps": 60, "learning_rate": 0.3, "preprocessing": "caffe", **PLAIN}
    found = maximize_activation(linear, "units", Unit(1), **options)
    weights = weights_of(linear, 1)[..., ::-1]
    assert ((found.pixels[0] > 128) == (weights > 0)).all()


@pytest.mark.parametrize("mode", ["raw", "caffe", "tf", "torch"])
def test_derivatives_by_pixels(linear, mode):
    """Of a linear unit, against what one more unit of each pixel adds."""
    preprocessing = Preprocessing(mode)
    derive = PixelGradient(ActivationGradient(linear, "units"), Unit(1), preprocessing, 3)
    pixels = np.random.default_rng(0).uniform(0, 255, (1, *SIZE, 3))
    activation, derivatives = derive(pixels)
    scores = linear(preprocessing.images(pixels)).numpy()
    np.testing.assert_allclose(activation, scores[:, 1], rtol=1e-5)
    for place in [(0, 0, 0, 0), (0, 2, 3, 1), (0, 5, 4, 2)]:
        brighter = pixels.copy()
        brighter[place] += 100
        added = (derive(brighter)[0] - activation)[0] / 100
        assert derivatives[place] == pytest.approx(added, rel=1e-2)


def test_the_first_step_of_adam_by_hand(linear):
    """It changes every coefficient by the learning rate, in the direction of the derivative."""
    rng = np.random.default_rng(3)
    start = 0.3 * rng.standard_normal((1, *SIZE, 3))
    moved = rng.integers(-2, 3, 2)
    weights = np.roll(weights_of(linear, 0), -moved, axis=(0, 1))
    expected = 255 / (1 + np.exp(-start - 0.5 * np.sign(weights)))
    options = {**PLAIN, "jitter": 2, "learning_rate": 0.5, "seed": 3}
    found = maximize_activation(linear, "units", Unit(0), num_steps=1, **options)
    np.testing.assert_allclose(found.pixels, expected, atol=0.51)
    moved_start = np.roll(255 / (1 + np.exp(-start)), moved, axis=(1, 2))
    before = np.sum(moved_start * weights_of(linear, 0))
    np.testing.assert_allclose(found.history[0, 0], before, rtol=1e-4)


@pytest.mark.slow
def test_total_variation_smooths(linear):
    def roughness(weight):
        options = {**PLAIN, "total_variation": weight, "num_steps": 80, "learning_rate": 0.2}
        pixels = maximize_activation(linear, "units", Unit(0), **options).pixels.astype(float)
        return np.abs(np.diff(pixels, axis=1)).mean()

    assert roughness(3.0) < 0.5 * roughness(0.0)


UNIT, STRONGEST, WHOLE_MAP = Unit([1, 3], 2, 3), Strongest([1, 3]), WholeMap([1, 3])


@pytest.mark.parametrize(
    ("target", "parametrization"),
    grid(
        [UNIT, STRONGEST, WHOLE_MAP],
        ["pixels", "frequencies"],
        quick=[(UNIT, "frequencies")],
    ),
)
def test_activations_rise(target, parametrization):
    model = convnet()
    options = {"num_steps": 25, "jitter": 1, "parametrization": parametrization}
    found = maximize_activation(model, "sum", target, preprocessing="tf", **options)
    assert found.history.shape == (2, 25)
    assert (found.activations > 2 * np.abs(found.history[:, 0])).all()
    again = maximize_activation(model, "sum", target, preprocessing="tf", **options)
    np.testing.assert_array_equal(found.pixels, again.pixels)
    other = maximize_activation(model, "sum", target, preprocessing="tf", seed=1, **options)
    assert (found.pixels != other.pixels).any()


def test_a_silent_unit_stays_silent():
    bias = keras.initializers.Constant(-1e6)
    silent = layers.Conv2D(2, 3, activation="relu", bias_initializer=bias, name="silent")
    model = keras.Sequential([keras.Input((*SIZE, 3)), silent])
    found = maximize_activation(model, "silent", WholeMap(0), num_steps=3)
    assert not found.activations.any()
    assert not found.history.any()


def test_a_model_of_any_size_and_grey_images():
    model = convnet(size=(None, None), channels=1)
    found = maximize_activation(model, "conv1", WholeMap(1), image_size=(9, 14), num_steps=2)
    assert found.pixels.shape == (1, 9, 14, 1)
    with pytest.raises(ValueError, match=r"takes images of any size: give image_size=\(height"):
        maximize_activation(model, "conv1", WholeMap(1))


def test_the_model_stays_as_it_is(linear):
    before = [w.copy() for w in linear.get_weights()]
    maximize_activation(linear, "units", Unit(0), num_steps=2)
    for weight, same in zip(linear.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, same)


def test_save_and_load(linear, tmp_path):
    found = maximize_activation(linear, "units", Unit(0), num_steps=2)
    found.save(tmp_path / "preferred.npz")
    assert PreferredImages.load(tmp_path / "preferred.npz") == found


ERRORS = [
    ({"num_steps": 0}, "Received: num_steps=0, jitter=8"),
    ({"jitter": -1}, "Received: num_steps=256, jitter=-1"),
    ({"jitter": 1.5}, "jitter=1.5"),
    ({"learning_rate": 0}, "Received: learning_rate=0, initial_deviation=0.3, total_variation=0.1"),
    ({"total_variation": -1}, "total_variation=-1"),
    ({"initial_deviation": -1}, "initial_deviation=-1"),
    ({"parametrization": "fourier"}, "Received: parametrization='fourier'"),
    ({"image_size": (7, 5)}, "takes images (batch, 6, 5, 3): resize the images"),
    ({"preprocessing": "bgr"}, "preprocessing='bgr'"),
    ({"target": Unit(3)}, "has 3 features: give 0 to 2. Received: feature=3"),
    ({"layer": "unit"}, "no layer 'unit': did you mean units"),
]


@pytest.mark.parametrize(("options", "sentence"), ERRORS)
def test_mistakes(linear, options, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        maximize_activation(linear, **{"layer": "units", "target": Unit(0), **options})
