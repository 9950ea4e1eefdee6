import keras
import numpy as np
import pytest
from keras import layers

from kerasvis.analyses.fidelity.chosen_units import (
    boxes_seen,
    choose_units,
)
from kerasvis.deconvnet.targets import Unit
from kerasvis.graph import receptive_field

SIZE = (13, 9)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    stack = [
        keras.Input((*SIZE, 3)),
        layers.Conv2D(4, 3, 2, activation="relu", name="conv1"),
        layers.Conv2D(5, 2, name="conv2"),
        layers.GlobalAveragePooling2D(name="mean"),
        layers.Dense(6, name="scores"),
    ]
    return keras.Sequential(stack)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(7, *SIZE, 3)).astype("float32")


def outputs_of(model, layer, images):
    return keras.Model(model.inputs, model.get_layer(layer).output).predict(images, verbose=0)


def test_the_strongest_unit_of_the_layer(model, images):
    units = choose_units(model, "conv2", images)
    expected = outputs_of(model, "conv2", images)
    np.testing.assert_allclose(units.layer_activations, expected, rtol=1e-5, atol=1e-6)
    for number, of_image in enumerate(expected):
        row, column, feature = np.unravel_index(of_image.argmax(), of_image.shape)
        assert units.features[number] == feature
        assert tuple(units.positions[number]) == (row, column)
        assert units.activations[number] == pytest.approx(of_image.max(), rel=1e-5)
    np.testing.assert_array_equal(units.target.feature, units.features)
    np.testing.assert_array_equal(units.target.row, units.positions[:, 0])
    np.testing.assert_array_equal(units.target.column, units.positions[:, 1])


def test_a_feature_that_was_asked_for(model, images):
    expected = outputs_of(model, "conv2", images)[..., 3].reshape(7, -1)
    units = choose_units(model, "conv2", images, 3)
    np.testing.assert_allclose(units.activations, expected.max(axis=1), rtol=1e-5)
    features = [0, 1, 2, 3, 4, 0, 1]
    units = choose_units(model, "conv2", images, features)
    np.testing.assert_array_equal(units.features, features)


def test_dense_units_have_no_position(model, images):
    units = choose_units(model, "scores", images)
    expected = outputs_of(model, "scores", images)
    np.testing.assert_array_equal(units.features, expected.argmax(axis=1))
    assert units.layer_activations.shape == (7, 1, 1, 6)
    assert isinstance(units.target, Unit)
    assert units.target.row is None
    np.testing.assert_array_equal(units.boxes, [[0, 0, 13, 9]] * 7)


def test_boxes_are_cut_at_the_border():
    inputs = keras.Input((12, 10, 1))
    model = keras.Model(inputs, layers.Conv2D(1, 5, 2, padding="same", name="conv")(inputs))
    field = receptive_field(model, "conv")
    assert field.box(0, 0)[0] < 0
    boxes = boxes_seen(model, "conv", (12, 10), np.array([[0, 0], [2, 2], [5, 4]]))
    for box, position in zip(boxes, ((0, 0), (2, 2), (5, 4)), strict=True):
        top, left, bottom, right = field.box(*position)
        assert tuple(box) == (max(top, 0), max(left, 0), min(bottom, 12), min(right, 10))


def test_activation_of_one_unit_in_other_images(model, images):
    units = choose_units(model, "conv2", images)
    found = units.activation_in(images, 4)
    row, column = units.positions[4]
    expected = outputs_of(model, "conv2", images)[:, row, column, units.features[4]]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_errors(model, images):
    with pytest.raises(ValueError, match="no layer 'conv3': did you mean"):
        choose_units(model, "conv3", images)
    with pytest.raises(ValueError, match=r"has 5 features: give 0 to 4\. Received: feature=5"):
        choose_units(model, "conv2", images, 5)
    silent = np.zeros_like(images)
    with pytest.raises(ValueError, match="Feature 1 of layer 'conv1' is not active in image 0"):
        choose_units(model, "conv1", silent, 1)
    linear = keras.Sequential([keras.Input((4, 4, 3)), layers.Conv2D(2, 1, name="conv")])
    with pytest.raises(ValueError, match="'conv' returns nan in image 0: check the range"):
        choose_units(linear, "conv", np.full((1, 4, 4, 3), np.nan, "float32"))
