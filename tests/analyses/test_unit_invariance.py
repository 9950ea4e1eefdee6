"""Curvatures against Hessians that are known, or that TensorFlow's tapes make whole."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from scipy.linalg import null_space

from kerasvis.analyses.unit_invariance import Sphere, UnitInvariance, unit_invariance
from kerasvis.deconvnet.targets import Strongest, Unit, WholeMap

SIZE = (3, 4)
NUM_VALUES = 24


@pytest.fixture(scope="module")
def quadratic():
    """A model of two quadratic forms: `sum of weights × (directions @ image)²`."""
    keras.utils.set_random_seed(0)
    stack = [
        keras.Input((*SIZE, 2)),
        layers.Flatten(),
        layers.Dense(30, activation=keras.ops.square, use_bias=False, name="squares"),
        layers.Dense(2, use_bias=False, name="forms"),
    ]
    return keras.Sequential(stack)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).normal(size=(*SIZE, 2)).astype("float32")


def known_hessian(model, unit):
    directions = model.get_layer("squares").get_weights()[0].astype("float64")
    weights = model.get_layer("forms").get_weights()[0][:, unit].astype("float64")
    return 2 * (directions * weights) @ directions.T


def on_the_sphere(hessian, gradient, point):
    """Eigenvalues by angle, ascending, and eigenvectors, of a whole Hessian on the tangents."""
    tangents = null_space(point[None])
    square = point @ point
    whole = square * tangents.T @ hessian @ tangents
    whole -= (gradient @ point) * np.eye(len(point) - 1)
    values, vectors = np.linalg.eigh(whole)
    return values, (tangents @ vectors).T


def both_ends(values, number):
    return np.concatenate([values[:number], values[-number:]])


@pytest.mark.parametrize("centre", [0.0, 0.4, "map"])
def test_a_quadratic_unit(quadratic, image, centre):
    if centre == "map":
        centre = 0.3 * np.random.default_rng(1).normal(size=image.shape)
    found = unit_invariance(
        quadratic, "forms", image, Unit(1), centre=centre, num_directions=3,
        tolerance=1e-6,
    )  # fmt: skip
    hessian = known_hessian(quadratic, 1)
    values = image.ravel().astype("float64")
    point = (image - centre).ravel().astype("float64")
    curvatures, directions = on_the_sphere(hessian, hessian @ values, point)
    scale = np.abs(curvatures).max()
    np.testing.assert_allclose(found.curvatures, both_ends(curvatures, 3), atol=1e-4 * scale)
    for actual, expected in zip(found.directions, both_ends(directions, 3), strict=True):
        assert abs(actual.ravel() @ expected) == pytest.approx(1, abs=1e-3)
    assert found.radius == pytest.approx(np.linalg.norm(point))
    assert found.activation == pytest.approx(values @ hessian @ values / 2, rel=1e-4)
    assert found.box.tolist() == [0, 0, *SIZE]
    assert (found.layer, found.feature_index, found.step) == ("forms", 1, 0.01)


def test_curvature_is_the_second_derivative_along_the_great_circle(quadratic, image):
    found = unit_invariance(quadratic, "forms", image, Unit(0), num_directions=1, angles=[0.0])
    hessian = known_hessian(quadratic, 0)
    point = image.ravel().astype("float64")
    for curvature, direction in zip(found.curvatures, found.directions, strict=True):
        direction = direction.ravel().astype("float64")

        def activation(angle, direction=direction):
            moved = np.cos(angle) * point + np.sin(angle) * np.linalg.norm(point) * direction
            return moved @ hessian @ moved / 2

        h = 1e-3
        second = (activation(h) - 2 * activation(0) + activation(-h)) / h**2
        assert curvature == pytest.approx(second, rel=1e-3)


@pytest.fixture(scope="module")
def smooth():
    keras.utils.set_random_seed(3)
    options = {"activation": "softplus", "bias_initializer": "random_normal"}
    inputs = keras.Input((9, 8, 2))
    x = layers.Conv2D(6, 3, name="conv1", **options)(inputs)
    return keras.Model(inputs, layers.Conv2D(4, 2, strides=2, name="conv2", **options)(x))


def dense_hessian(model, image, unit):
    """`(Hessian, gradient)` of a unit by two tapes, `(values, values)` and `(values,)`."""
    images = tf.constant(image[None])
    with tf.GradientTape() as outer:
        outer.watch(images)
        with tf.GradientTape() as inner:
            inner.watch(images)
            activation = model(images)[0, unit.row, unit.column, unit.feature]
        gradient = inner.gradient(activation, images)
    hessian = outer.jacobian(gradient, images).numpy()
    return hessian.reshape(image.size, image.size), gradient.numpy().ravel()


def test_a_unit_of_a_net_of_softplus(smooth):
    image = np.random.default_rng(1).normal(size=(9, 8, 2)).astype("float32")
    unit = Unit(2, 1, 2)
    found = unit_invariance(
        smooth, "conv2", image, unit, num_directions=2, step=3e-3, tolerance=1e-5,
    )  # fmt: skip
    assert found.box.tolist() == [2, 4, 6, 8]
    is_seen = np.zeros(image.shape, bool)
    is_seen[2:6, 4:8] = True
    hessian, gradient = dense_hessian(smooth, image, unit)
    assert not gradient[~is_seen.ravel()].any()
    seen = np.flatnonzero(is_seen)
    point = image.ravel()[seen].astype("float64")
    inside = hessian[np.ix_(seen, seen)].astype("float64")
    curvatures, directions = on_the_sphere(inside, gradient[seen].astype("float64"), point)
    expected = both_ends(curvatures, 2)
    np.testing.assert_allclose(found.curvatures, expected, atol=2e-3 * np.abs(expected).max())
    gap = np.diff(curvatures[[0, 1]]) / np.ptp(curvatures)
    assert gap > 0.02, "the first direction is one of its own"
    assert abs(found.directions[0].ravel() @ directions[0]) > 0.99


def test_images_lie_on_the_sphere_and_activations_are_those_of_the_model(smooth):
    image = np.random.default_rng(1).normal(size=(9, 8, 2)).astype("float32")
    found = unit_invariance(
        smooth, "conv2", image, Strongest(2), centre=0.1, num_directions=1,
        angles=[-30, 0, 90],
    )  # fmt: skip
    maps = smooth(image[None]).numpy()[0, ..., 2]
    row, column = np.unravel_index(maps.argmax(), maps.shape)
    assert found.position.tolist() == [row, column]
    top, left, bottom, right = found.box
    assert found.images.shape == (2, 3, bottom - top, right - left, 2)
    lengths = np.linalg.norm((found.images - 0.1).reshape(2, 3, -1), axis=-1)
    np.testing.assert_allclose(lengths, found.radius, rtol=1e-5)
    np.testing.assert_allclose(found.images[:, 1], image[None, top:bottom, left:right][[0, 0]])
    quarter = 0.1 + found.radius * found.directions
    np.testing.assert_allclose(found.images[:, 2], quarter, rtol=1e-4, atol=1e-5)
    for number, place in np.ndindex(2, 3):
        whole = image.copy()
        whole[top:bottom, left:right] = found.images[number, place]
        expected = smooth(whole[None]).numpy()[0, row, column, 2]
        assert found.activations[number, place] == pytest.approx(expected, rel=1e-5)
    assert found.activation == pytest.approx(maps.max(), rel=1e-5)


def test_only_the_sphere_curves_a_net_of_relus(image):
    """Away from kinks all directions are alike: the activation falls as a cosine."""
    keras.utils.set_random_seed(0)
    bias = keras.initializers.Constant(100.0)
    stack = [
        keras.Input((*SIZE, 2)),
        layers.Flatten(),
        layers.Dense(5, activation="relu", bias_initializer=bias),
        layers.Dense(1, name="unit"),
    ]
    model = keras.Sequential(stack)
    found = unit_invariance(model, "unit", image, Unit(0), num_directions=2)
    at_the_centre = model(np.zeros((1, *image.shape), "float32")).numpy()[0, 0]
    expected = -(found.activation - at_the_centre)
    np.testing.assert_allclose(found.curvatures, expected, rtol=1e-3, atol=1e-3 * abs(expected))


@pytest.mark.parametrize("first", [1.5, -1.5, 0.0])
def test_tangents_of_the_sphere(first):
    point = np.array([first, 0.3, -2.0, 0.7])
    sphere = Sphere(point)
    tangents = np.stack([sphere.embedded(e) for e in np.eye(3)])
    np.testing.assert_allclose(tangents @ tangents.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(tangents @ point, 0, atol=1e-12)
    vector = np.array([0.2, 1.0, -1.0, 3.0])
    np.testing.assert_allclose(sphere.tangential(vector), tangents @ vector, atol=1e-12)
    np.testing.assert_array_equal(sphere.point, [first, 0.3, -2.0, 0.7])


def test_save_and_load(quadratic, image, tmp_path):
    options = {"num_directions": 1}
    found = unit_invariance(quadratic, "forms", image, Unit(0), **options)
    found.save(tmp_path / "invariance.npz")
    assert UnitInvariance.load(tmp_path / "invariance.npz") == found
    again = unit_invariance(quadratic, "forms", image, Unit(0), **options)
    np.testing.assert_array_equal(again.directions, found.directions)


ERRORS = [
    ({"step": 0}, "Received: step=0, tolerance=0.001, num_directions=3"),
    ({"num_directions": 0}, "num_directions=0"),
    (
        {"num_directions": 12},
        "has only 24 values: give a smaller num_directions. Received: num_dir",
    ),
    ({"angles": []}, "angles in degrees. Received: angles=[]"),
    ({"angles": [np.nan]}, "Received: angles=[nan]"),
    ({"target": WholeMap(0)}, "must be one unit: give kerasvis.targets.Unit(feature, row, column)"),
    ({"target": Unit(2)}, "has 2 features: give 0 to 1. Received: feature=2"),
    ({"image": np.zeros((*SIZE, 2))}, "The image equals the centre in the unit's receptive field"),
    ({"image": np.ones((3, 3, 2))}, "Received: images of shape (1, 3, 3, 2)"),
]


@pytest.mark.parametrize(("options", "sentence"), ERRORS)
def test_mistakes(quadratic, image, options, sentence):
    arguments = {"image": image, "target": Unit(0), **options}
    with pytest.raises(ValueError, match=re.escape(sentence)):
        unit_invariance(quadratic, "forms", **arguments)
