"""Every method against its definition, with gradients by TensorFlow's tape."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import kerasvis as kv
from kerasvis.attributions import METHODS, attribute
from kerasvis.attributions.grad_cam import coarse_grad_cam, last_feature_maps
from kerasvis.deconvnet.targets import Strongest, Unit, WholeMap
from tests.attributions.small_convnets import RANDOM, SIZE, convnet, random_images, taped
from tests.marks import few, slow


def assert_close(actual, expected, tolerance=1e-5):
    assert actual.shape == expected.shape
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    return convnet(last=None)


@pytest.fixture(scope="module")
def images():
    return random_images()


TARGETS = {
    "unit": ("active2", Unit(1, 2, 4), lambda y: y[:, 2, 4, 1]),
    "strongest": ("active2", Strongest(1), lambda y: tf.reduce_max(y[..., 1], (1, 2))),
    "map": ("sum", WholeMap(2), lambda y: tf.reduce_sum(y[..., 2], (1, 2))),
    "score": ("scores", Unit(3), lambda y: y[:, 3]),
    "scores": (
        "scores",
        Unit([0, 3, 1]),
        lambda y: tf.linalg.diag_part(tf.gather(y, [0, 3, 1], axis=1)),
    ),
}


@pytest.mark.parametrize("name", few(TARGETS))
def test_gradient_starts_at_1(model, images, name):
    layer, target, value = TARGETS[name]
    _, expected = taped(model, layer, images, value)
    assert_close(attribute(model, layer, images, target, "gradient"), expected)
    actual = attribute(model, layer, images, target, "gradient_times_input")
    assert_close(actual, expected * images)
    assert actual.dtype == "float32"


def test_the_score_before_a_softmax_is_meant(images):
    keras.utils.set_random_seed(1)
    _, expected = taped(convnet(last=None), "scores", images, lambda y: y[:, 2])
    keras.utils.set_random_seed(1)
    actual = attribute(convnet(last="softmax"), "scores", images, Unit(2), "gradient")
    assert_close(actual, expected)


def test_a_silent_unit_has_gradient_0_and_no_nan(model, images):
    maps = keras.Model(model.input, model.get_layer("active2").output)(images).numpy()
    _, row, column, feature = np.argwhere(maps[:1] == 0)[0]
    actual = attribute(model, "active2", images[:1], Unit(feature, row, column), "gradient")
    assert not actual.any()


def test_a_negative_score_has_its_gradient(model, images):
    """The deconvnet's signal starts negative there, the gradient's at 1."""
    scores = model(images).numpy()
    image, index = np.argwhere(scores < 0)[0]
    chosen = images[image][None]
    _, expected = taped(model, "scores", chosen, lambda y: y[:, index])
    assert_close(attribute(model, "scores", chosen, Unit(index), "gradient"), expected)


@pytest.mark.slow
@pytest.mark.parametrize("rectification", ["deconvnet", slow("guided")])
def test_projections_are_those_of_the_deconvnet(model, images, rectification):
    projected = kv.DeconvModel(model, "active2", rectification).project(images, Strongest(1))
    activations, _ = kv.DeconvModel(model, "active2").locate(images, 1)
    assert activations.min() > 0
    scale = activations[:, None, None, None] if rectification == "guided" else 1
    actual = attribute(model, "active2", images, Strongest(1), rectification)
    assert_close(actual * scale, projected)


def test_smoothgrad_is_the_mean_over_noisy_images(model, images):
    options = {"num_samples": 7, "noise_level": 0.2, "seed": 5}
    actual = attribute(model, "scores", images, Unit(1), "smoothgrad", **options)
    rng = np.random.default_rng(5)
    total = 0
    for _ in range(7):
        noise = rng.standard_normal(images.shape[1:], "float32")
        noisy = [x + 0.2 * (x.max() - x.min()) * noise for x in images]
        total = total + taped(model, "scores", np.stack(noisy), lambda y: y[:, 1])[1]
    assert_close(actual, total / 7)
    alone = attribute(model, "scores", images[1:2], Unit(1), "smoothgrad", **options)
    assert_close(alone, actual[1:2])
    other = attribute(model, "scores", images, Unit(1), "smoothgrad", **{**options, "seed": 6})
    assert np.abs(other - actual).max() > 1e-3 * np.abs(actual).max()


def test_smoothgrad_without_noise_is_the_gradient(model, images):
    options = {"num_samples": 2, "noise_level": 0}
    actual = attribute(model, "sum", images, Strongest(0), "smoothgrad", **options)
    assert_close(actual, attribute(model, "sum", images, Strongest(0), "gradient"))


def test_smoothgrad_stays_at_the_unit_that_is_strongest_without_noise(model, images):
    deconv = kv.DeconvModel(model, "sum")
    _, positions = deconv.locate(images, 0)
    options = {"num_samples": 4, "noise_level": 1.0}
    actual = attribute(model, "sum", images, Strongest(0), "smoothgrad", **options)
    assert_close(
        actual, attribute(model, "sum", images, Unit(0, *positions.T), "smoothgrad", **options)
    )


@pytest.mark.parametrize("maps_layer", ["conv1", "pool1", "conv2", "active2", "sum"])
def test_grad_cam_by_its_definition(model, images, maps_layer):
    maps, gradients = taped(model, "scores", images, lambda y: y[:, 3], maps_layer)
    expected = np.zeros(maps.shape[:3])
    for image in range(len(images)):
        for feature in range(maps.shape[3]):
            weight = gradients[image, :, :, feature].mean()
            expected[image] += weight * maps[image, :, :, feature]
    expected = np.maximum(expected, 0)
    actual = coarse_grad_cam(model, "scores", images, Unit(3), maps_layer=maps_layer)
    assert_close(actual, expected)


def test_grad_cam_is_resized_bilinearly(model, images):
    coarse = coarse_grad_cam(model, "scores", images, Unit(3))
    resized = attribute(model, "scores", images, Unit(3), "grad_cam")
    assert coarse.shape == (3, 6, 5)
    assert_close(resized, np.stack([bilinear(heat, SIZE) for heat in coarse]))


def bilinear(values, size):
    """Values at the centres of new pixels, blended from the four nearest, cell by cell."""
    enlarged = np.zeros(size)
    for row, column in np.ndindex(size):
        places = []
        for position, new, old in zip((row, column), size, values.shape, strict=True):
            place = np.clip((position + 0.5) * old / new - 0.5, 0, old - 1)
            below = min(int(place), old - 2)
            places.append(((below, 1 - place + below), (below + 1, place - below)))
        enlarged[row, column] = sum(
            a * b * values[i, j] for i, a in places[0] for j, b in places[1]
        )
    return enlarged


def test_grad_cam_of_a_unit(model, images):
    maps, gradients = taped(model, "active2", images, lambda y: y[:, 3, 1, 4], "conv1")
    expected = np.maximum((maps * gradients.mean((1, 2), keepdims=True)).sum(-1), 0)
    actual = coarse_grad_cam(model, "active2", images, Unit(4, 3, 1), maps_layer="conv1")
    assert_close(actual, expected)


def test_last_feature_maps(model):
    assert last_feature_maps(model, "scores") == "sum"
    assert last_feature_maps(model, "pooled") == "sum"
    assert last_feature_maps(model, "sum") == "active2"
    assert last_feature_maps(model, "conv2") == "conv1"


def test_last_feature_maps_of_any_size_and_without_maps_of_one_position():
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, activation="relu", name="conv1")(inputs)
    x = layers.MaxPooling2D(2, name="pool1")(x)
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Conv2D(3, 1, name="logits")(x)
    model = keras.Model(inputs, layers.Flatten(name="flat")(x))
    assert last_feature_maps(model, "flat", image_size=(20, 30)) == "conv1"
    images = random_images(size=(20, 30))
    assert attribute(model, "flat", images, Unit(1), "grad_cam").shape == (3, 20, 30)


@pytest.mark.parametrize(
    "activation", few(["softplus", "tanh", "sigmoid", "elu", "selu", "exponential"])
)
def test_gradients_of_smooth_activations(images, activation):
    model = convnet(activation, last=None)
    _, expected = taped(model, "scores", images, lambda y: y[:, 0])
    actual = attribute(model, "scores", images, Unit(0), "gradient")
    assert_close(actual, expected)


@pytest.mark.parametrize("method", METHODS)
def test_all_methods_take_the_same_arguments(model, images, method):
    before = [w.copy() for w in model.get_weights()]
    whole = attribute(model, "scores", images, Unit([0, 1, 2]), method, batch_size=2)
    assert whole.shape == (images.shape[:3] if method == "grad_cam" else images.shape)
    assert whole.dtype == "float32"
    assert np.isfinite(whole).all()
    alone = attribute(model, "scores", images[1:2], Unit(1), METHODS[method])
    np.testing.assert_allclose(alone, whole[1:2], rtol=1e-4, atol=1e-5 * np.abs(whole).max())
    for weight, same in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, same)


def test_grey_images():
    model = convnet(channels=1, last=None)
    images = random_images(channels=1)
    for method in ("gradient", "smoothgrad"):
        assert attribute(model, "scores", images, Unit(1), method).shape == images.shape


def no_convolution():
    inputs = [keras.Input((*SIZE, 3)), layers.Flatten(), layers.Dense(2, name="scores", **RANDOM)]
    return keras.Sequential(inputs, name="dense")


def two_branches():
    inputs = keras.Input((*SIZE, 3))
    left, right = (layers.Conv2D(2, 3, name=name, **RANDOM)(inputs) for name in ("left", "right"))
    return keras.Model(inputs, layers.Concatenate()([left, right]))


ERRORS = [
    (
        ("gradeint", convnet, "scores", 3, Unit(1)),
        {},
        "no method 'gradeint': did you mean gradient",
    ),
    (("saliency", convnet, "scores", 3, Unit(1)), {}, "give one of deconvnet, guided, gradient,"),
    (("gradient", convnet, "score", 3, Unit(1)), {}, "no layer 'score': did you mean scores or"),
    (("gradient", convnet, "scores", 3, Unit(4)), {}, "give 0 to 3. Received: feature=4"),
    (
        ("gradient", convnet, "scores", 0, Unit(1)),
        {},
        "Give at least one image. Received: images of shape (0, 15, 12, 3)",
    ),
    (("smoothgrad", convnet, "scores", 3, Unit(1)), {"num_samples": 0}, "Received: num_samples=0"),
    (("smoothgrad", convnet, "scores", 3, Unit(1)), {"noise_level": -1}, "noise_level=-1"),
    (
        ("grad_cam", convnet, "conv2", 3, Unit(1, 0, 0)),
        {"maps_layer": "norm2"},
        "The target in layer 'conv2' does not depend on 'norm2': give a layer between",
    ),
    (
        ("grad_cam", two_branches, "left", 3, Unit(1, 0, 0)),
        {"maps_layer": "right"},
        "The target in layer 'left' does not depend on 'right'",
    ),
    (
        ("grad_cam", convnet, "conv2", 3, Unit(1, 0, 0)),
        {"maps_layer": "conv2"},
        "'conv2': give a layer between the image and the target. Received: maps_layer='conv2'",
    ),
    (
        ("grad_cam", convnet, "scores", 3, Unit(1)),
        {"maps_layer": "pooled"},
        "'pooled' returns arrays of shape (3, 5), which are not feature maps: give a conv",
    ),
    (
        ("grad_cam", no_convolution, "scores", 3, Unit(1)),
        {},
        "There is no convolution below the target in layer 'scores' of 'dense': give a",
    ),
]


@pytest.mark.parametrize(("arguments", "options", "sentence"), ERRORS)
def test_mistakes(arguments, options, sentence):
    method, build, layer, num_images, target = arguments
    with pytest.raises(ValueError, match=re.escape(sentence)):
        attribute(build(), layer, random_images(num_images), target, method, **options)


@pytest.mark.parametrize("function", [lambda: 0, lambda model, layer, images: images, int])
def test_a_function_that_is_no_method(model, images, function):
    with pytest.raises(ValueError, match=r"a function \(model, layer, images, target\)\. Received"):
        attribute(model, "scores", images, Unit(3), function)
