"""All positions: batches, replicas, numbers that are not finite, and the model left as it is."""

import re

import keras
import numpy as np
import pytest
from keras import layers

from kerasvis.graph import Scores, feature_extractor
from kerasvis.occlusion import Occluders, OcclusionSweep
from kerasvis.occlusion.sweep import BYTES_IN_BATCH, MAX_BATCH_SIZE, default_batch_size
from tests.marks import few, slow
from tests.oracles.occluded_images import looked_at, occluded_images

SIZE = (25, 30)
OCCLUDERS = Occluders(SIZE, (5, 6), (4, 5))  # 6×6 positions
METHODS = ["incremental", "full"]


def convnet():
    random = {"kernel_initializer": "he_normal", "bias_initializer": "random_normal"}
    inputs = keras.Input((*SIZE, 3))
    x = layers.Conv2D(5, 3, strides=2, activation="relu", name="conv1", **random)(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.MaxPooling2D(3, 2, name="pool1")(x)
    x = layers.Conv2D(6, 2, activation="relu", name="conv2", **random)(x)
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(4, activation="softmax", name="scores", **random)(x))


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return convnet()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(2, *SIZE, 3)).astype("float32")


def run(sweep, images, feature_index=2, class_indices=(3, 0)):
    return sweep.run(*images, feature_index, class_indices, verbose=0)


@pytest.fixture(scope="module")
def in_one_batch(model, images):
    """`{method: results}`."""
    return {
        method: run(OcclusionSweep(model, OCCLUDERS, "conv2", method=method), images)
        for method in METHODS
    }


@pytest.mark.parametrize("method", METHODS)
def test_is_occluding_and_running(model, images, in_one_batch, method):
    occluded = occluded_images(*images, OCCLUDERS.patch_size, OCCLUDERS.strides)
    scores, activities = looked_at(model, "conv2", occluded)
    probabilities, label, activity = in_one_batch[method]
    assert (probabilities.dtype, label.dtype, activity.dtype) == ("float32", "int64", "float32")
    np.testing.assert_allclose(probabilities, scores[..., [3, 0]], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(label, scores.argmax(axis=-1))
    np.testing.assert_allclose(activity, activities[..., 2], rtol=1e-5, atol=1e-5)
    assert len(np.unique(activity)) > 10, "positions differ"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batch_size", [slow(1), 7, slow(36), slow(1000)])
def test_batches_of_any_size(model, images, in_one_batch, method, batch_size):
    sweep = OcclusionSweep(model, OCCLUDERS, "conv2", method=method, batch_size=batch_size)
    assert sweep.batch_size == batch_size
    for array, expected in zip(run(sweep, images), in_one_batch[method], strict=True):
        assert array.shape == expected.shape
        np.testing.assert_allclose(array, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_size", [5, slow(8), slow(36)])
def test_two_replicas_are_one(model, images, two_devices, batch_size):
    """36 positions in eight batches, in five and in one; the last is shorter, or has no partner."""
    alone = OcclusionSweep(model, OCCLUDERS, "conv2", batch_size=batch_size)
    with two_devices.scope():
        copied = convnet()
        copied.set_weights(model.get_weights())
        sweep = OcclusionSweep(copied, OCCLUDERS, "conv2", batch_size=batch_size)
    for array, expected in zip(run(sweep, images), run(alone, images), strict=True):
        np.testing.assert_array_equal(array, expected)


def test_base(model, images):
    base = OcclusionSweep(model, OCCLUDERS, "conv2").base(images[0])
    scores, sums = looked_at(model, "conv2", images[:1][None])
    np.testing.assert_allclose(base.probabilities, scores[0, 0], rtol=1e-5)
    np.testing.assert_allclose(base.activities, sums[0, 0], rtol=1e-5)
    assert base.activities.shape == (6,)
    (maps,) = feature_extractor(model, ["conv2"])(images[:1])
    assert base.strongest_feature == np.max(maps, axis=(0, 1, 2)).argmax()


@pytest.mark.parametrize("method", few(METHODS, 1))
def test_another_image_map_and_classes_with_the_same_sweep(model, images, method):
    sweep = OcclusionSweep(model, OCCLUDERS, "conv2", method=method)
    run(sweep, images)
    turned = images[::-1]
    probabilities, _, activity = run(sweep, turned, 4, (1,))
    occluded = occluded_images(*turned, OCCLUDERS.patch_size, OCCLUDERS.strides)
    scores, activities = looked_at(model, "conv2", occluded)
    np.testing.assert_allclose(probabilities, scores[..., [1]], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(activity, activities[..., 4], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("watched", few(["conv1", "norm", "pool1"], 1))
def test_any_layer_of_maps(model, images, method, watched):
    sweep = OcclusionSweep(model, OCCLUDERS, watched, method=method)
    _, _, activity = run(sweep, images)
    occluded = occluded_images(*images, OCCLUDERS.patch_size, OCCLUDERS.strides)
    _, activities = looked_at(model, watched, occluded)
    np.testing.assert_allclose(activity, activities[..., 2], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_named_by_its_position(images, method, value):
    image, fill = images.copy()
    fill[13, 22] = value
    # The first position that occludes it begins at row 12 and column 20.
    sentence = (
        "With the occluder at (top, left, bottom, right) = (12, 20, 17, 26) the model returns NaN "
        "or infinity: check the range of the image, the baseline and the weights."
    )
    model = small_net()
    scores = Scores(model, activation="softmax")
    sweep = OcclusionSweep(model, OCCLUDERS, "conv", scores, method=method, batch_size=7)
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        run(sweep, (image, fill), 0, (0,))


def test_map_that_is_not_finite(images):
    """Though the probabilities, which do not see it, are."""
    inputs = keras.Input((*SIZE, 3))
    x = layers.Conv2D(2, 3, name="conv", kernel_initializer="ones")(inputs)
    x = layers.GlobalAveragePooling2D()(layers.Activation("tanh")(x))
    image, fill = images.copy()
    fill[0, 0] = np.inf
    sweep = OcclusionSweep(keras.Model(inputs, x), OCCLUDERS, "conv")
    with pytest.raises(ValueError, match=r"^With the occluder at .* = \(0, 0, 5, 6\) the model"):
        run(sweep, (image, fill), 0, (0,))


@pytest.mark.parametrize("method", METHODS)
def test_model_is_left_as_it_is(model, images, method):
    weights, config = model.get_weights(), model.get_config()
    calls = [len(layer._inbound_nodes) for layer in model.layers]
    flags = [layer.trainable for layer in model.layers]
    run(OcclusionSweep(model, OCCLUDERS, "conv2", method=method), images)
    for weight, before in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, before)
    assert model.get_config() == config
    assert [len(layer._inbound_nodes) for layer in model.layers] == calls
    assert [layer.trainable for layer in model.layers] == flags
    assert not model.compiled


def net_of_width(num_channels, size):
    inputs = keras.Input((*size, 3))
    x = layers.Conv2D(num_channels, 3, padding="same", name="conv")(inputs)
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x))


@pytest.mark.parametrize(
    ("num_channels", "size"), [(1, (8, 9)), (500, (100, 80)), (4000, (210, 200))]
)
def test_default_batch_size_fills_the_memory_set_aside(num_channels, size):
    model = net_of_width(num_channels, size)
    sweep = OcclusionSweep(model, Occluders(size, 4, 50), "conv", method="full")
    assert sweep.batch_size == default_batch_size(sweep.plan)
    bytes_of_one = 4 * size[0] * size[1] * (3 + num_channels)
    expected = min(max(BYTES_IN_BATCH // bytes_of_one, 1), MAX_BATCH_SIZE)
    assert sweep.batch_size == expected


def test_default_batch_sizes_of_windows_are_larger():
    size = (200, 200)
    inputs = keras.Input((*size, 3))
    x = layers.Conv2D(200, 3, padding="same", name="conv")(inputs)
    model = keras.Model(inputs, layers.Conv2D(2, size, 9, name="scores")(layers.ReLU()(x)))
    sizes = [
        OcclusionSweep(model, Occluders(size, 4, 50), "conv", method=method).batch_size
        for method in ("full", "incremental")
    ]
    assert sizes[0] < sizes[1]


def two_outputs():
    inputs = keras.Input((*SIZE, 3))
    maps = layers.Conv2D(2, 3, name="conv")(inputs)
    x = layers.GlobalAveragePooling2D(name="means")(maps)
    return keras.Model(inputs, [x, maps], name="net")


def without_classifier():
    inputs = keras.Input((*SIZE, 3))
    return keras.Model(inputs, layers.Conv2D(2, 3, name="conv")(inputs), name="net")


def small_net():
    inputs = keras.Input((*SIZE, 3))
    x = layers.GlobalAveragePooling2D(name="means")(layers.Conv2D(2, 3, name="conv")(inputs))
    return keras.Model(inputs, x, name="net")


def two_inputs():
    inputs = [keras.Input((*SIZE, 3), name=name) for name in ("left", "right")]
    x = layers.Conv2D(2, 3, name="conv")(layers.Add()(inputs))
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x), name="net")


ERRORS = [
    (
        two_outputs,
        {},
        "The model 'net' has 2 outputs, 'means', 'conv': choose one, "
        "output='name'. Received: output=None",
    ),
    (
        two_inputs,
        {},
        "The model 'net' has 2 inputs, 'left' (25, 30, 3), 'right' (25, 30, 3), but one input of "
        "images was expected: hold the others fixed, model = kerasvis.image_model(model, "
        "fixed={name: value}).",
    ),
    (
        without_classifier,
        {},
        "The model 'net' returns (None, 23, 28, 2), but scores (images, classes) were expected: "
        "give the model with its classifier; if these are maps of classes, region=(0, 0, 23, 28); "
        "or score=, a function of that output.",
    ),
    (
        small_net,
        {"layer": "means"},
        "Layer 'means' returns (None, 2), which has no rows and columns: give a layer of feature "
        "maps, such as a convolution. Received: layer='means'",
    ),
    (
        small_net,
        {"layer": "konv"},
        "The model has no layer 'konv': did you mean conv? Received: layer='konv'",
    ),
    (small_net, {"batch_size": 0}, "Give 1 or more, or None. Received: batch_size=0"),
    (small_net, {"batch_size": -2}, "Give 1 or more, or None. Received: batch_size=-2"),
]


@pytest.mark.parametrize(("build", "settings", "sentence"), ERRORS)
def test_error(build, settings, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        OcclusionSweep(build(), OCCLUDERS, **{"layer": "conv", **settings})
