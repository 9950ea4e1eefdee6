"""Maps against the projections of DeconvModel, by hand, and by loops."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kerasvis.analyses.fidelity.chosen_units import choose_units
from kerasvis.analyses.fidelity.unit_maps import unit_methods
from kerasvis.attributions.edges import edges
from kerasvis.attributions.methods import checked_maps
from kerasvis.deconvnet import DeconvModel
from kerasvis.deconvnet.targets import Unit
from tests.marks import few

SIZE = (15, 11)
RECTIFICATIONS = ("deconvnet", "guided", "gradient")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    random = {"kernel_initializer": "he_normal", "bias_initializer": "random_normal"}
    stack = [
        keras.Input((*SIZE, 3)),
        layers.Conv2D(6, 3, activation="relu", name="conv1", **random),
        layers.MaxPooling2D(3, 2, padding="same", name="pool1"),
        layers.Conv2D(5, (3, 2), activation="relu", name="conv2", **random),
        layers.Flatten(name="flat"),
        layers.Dense(4, activation="softmax", name="scores", **random),
    ]
    return keras.Sequential(stack)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(5, *SIZE, 3)).astype("float32")


@pytest.mark.parametrize("rectification", few(RECTIFICATIONS, 1))
def test_maps_are_projections_over_activations(model, images, rectification):
    units = choose_units(model, "conv2", images)
    maps = unit_methods(rectification)[rectification](model, "conv2", images, units.target)
    projections = DeconvModel(model, "conv2", rectification).project(images, units.target)
    expected = projections / units.activations[:, None, None, None]
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_silent_unit_has_a_map(model, images):
    activations = choose_units(model, "conv2", images).layer_activations
    image, row, column, feature = np.argwhere(activations == 0)[0]
    image, unit = images[[image]], Unit(feature, row, column)
    for rectification in RECTIFICATIONS:
        assert not DeconvModel(model, "conv2", rectification).project(image, unit).any()
        assert unit_methods(rectification)[rectification](model, "conv2", image, unit).any()


def test_gradient_is_that_of_the_score(model, images):
    maps = unit_methods("gradient")["gradient"](model, "scores", images, Unit(2))
    below = keras.Model(model.inputs, model.get_layer("flat").output)
    kernel, bias = model.get_layer("scores").get_weights()
    pixels = tf.convert_to_tensor(images)
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        scores = below(pixels) @ kernel[:, 2:3] + bias[2]
    expected = tape.gradient(scores, pixels)
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-6)


def test_a_map_follows_the_weights(model, images):
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    method = unit_methods("deconvnet")["deconvnet"]
    before = method(copy, "conv2", images, Unit(1, 2, 3))
    copy.get_layer("conv1").kernel.assign(-copy.get_layer("conv1").kernel)
    after = method(copy, "conv2", images, Unit(1, 2, 3))
    assert np.abs(after - before).max() > 0.01 * np.abs(before).max()


def test_a_rectification_that_is_a_layer_stays():
    inputs = keras.Input((4, 4, 1))
    outputs = layers.ReLU(name="relu")(layers.Conv2D(1, 1, use_bias=False, name="conv")(inputs))
    model = keras.Model(inputs, outputs)
    model.set_weights([np.full((1, 1, 1, 1), 2.0)])
    images = np.ones((1, 4, 4, 1), "float32")
    for rectification in RECTIFICATIONS:
        method = unit_methods(rectification)[rectification]
        expected = np.zeros((1, 4, 4, 1))
        expected[0, 1, 2] = 2
        np.testing.assert_allclose(method(model, "relu", images, Unit(0, 1, 2)), expected)


def test_edges_by_a_loop():
    images = np.random.default_rng(0).normal(size=(2, 6, 5, 3))
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    expected = np.zeros(images.shape)
    for image, row, column, channel in np.ndindex(images.shape):
        around = padded[image, row : row + 3, column : column + 3, channel]
        expected[image, row, column, channel] = np.hypot(
            (around * sobel).sum(), (around * sobel.T).sum()
        )
    np.testing.assert_allclose(edges(None, "any", images, None), expected, rtol=1e-5)


def test_methods_by_name_and_of_the_user(images):
    def mine(model, layer, images, target):
        return images[..., 0]

    methods = unit_methods({"mine": mine, "zf": "deconvnet"})
    assert list(methods) == ["mine", "zf"]
    assert methods["mine"] is mine
    maps = checked_maps("mine", mine(None, "conv", images, None), images.shape)
    np.testing.assert_array_equal(maps, images[..., :1])
    assert list(unit_methods("edges")) == ["edges"]


@pytest.mark.parametrize(
    ("methods", "sentence"),
    [
        (("guided", "saliency"), "no method 'saliency'"),
        ((), "No method was given"),
        ({}, "No method was given"),
    ],
)
def test_wrong_methods(methods, sentence):
    with pytest.raises(ValueError, match=sentence):
        unit_methods(methods)


@pytest.mark.parametrize(
    ("maps", "sentence"),
    [
        (np.zeros((5, 3, 3, 1)), r"'mine' must return .* Received: maps of shape \(5, 3, 3, 1\)"),
        (np.full((5, *SIZE), np.nan), "'mine' returned NaN or infinity"),
    ],
)
def test_wrong_maps(images, maps, sentence):
    with pytest.raises(ValueError, match=sentence):
        checked_maps("mine", maps, images.shape)
