"""The oracles against one another: loops written from the paper, and the modified gradient."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.oracles import filtering, modified_gradient, pooling

CONVOLUTIONS = [
    {"kernel_size": (3, 2), "padding": "valid"},
    {"kernel_size": (3, 3), "strides": (2, 2), "padding": "same"},
    {"kernel_size": (2, 4), "strides": (3, 3), "padding": "valid", "groups": 2},
    {"kernel_size": (3, 2), "dilation_rate": (2, 3), "padding": "same"},
]


def random_images(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def loop_arguments(layer):
    return {
        "strides": layer.strides,
        "dilation": layer.dilation_rate,
        "groups": layer.groups,
        "padding": layer.padding,
    }


@pytest.mark.parametrize("arguments", CONVOLUTIONS, ids=str)
def test_filtering_is_convolution_and_its_transpose(arguments):
    layer = layers.Conv2D(4, use_bias=False, **arguments)
    images = random_images((2, 9, 7, 2))
    expected = np.asarray(layer(images))
    kernel = np.asarray(layer.kernel)
    maps = filtering.filter_up(images, kernel, **loop_arguments(layer))
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5)

    signal = random_images(maps.shape, seed=1)
    down = filtering.filter_down(signal, kernel, (9, 7), **loop_arguments(layer))
    np.testing.assert_allclose((maps * signal).sum(), (images * down).sum(), rtol=1e-5)


def test_depthwise_filtering_is_grouped_filtering():
    layer = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", use_bias=False)
    images = random_images((1, 5, 6, 3))
    expected = np.asarray(layer(images))
    kernel = filtering.depthwise_as_grouped(np.asarray(layer.kernel))
    maps = filtering.filter_up(images, kernel, groups=3, padding="same")
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5)


def chain():
    """Two convolutions, each with bias and ReLU, with overlapping pooling between them."""
    model = keras.Sequential(
        [
            keras.Input((13, 10, 2)),
            layers.Conv2D(4, (3, 2), strides=2, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(3, 2, "same", name="pool1"),
            layers.Conv2D(5, 2, groups=1, name="conv2"),
            layers.ReLU(name="relu2"),
        ]
    )
    rng = np.random.default_rng(3)
    kernel1, _, kernel2, _ = (rng.normal(size=x.shape) for x in model.get_weights())
    few_active, all_active = np.full(4, -3.0), np.full(5, 60.0)
    model.set_weights([kernel1, few_active, kernel2, all_active])
    return model


def projected_by_loops(model, images, feature, row, column, rectification):
    """Up and down the chain, step by step, as the paper tells it."""
    conv1, pool1, conv2, _ = model.layers
    kernel1, bias1, kernel2, bias2 = (np.asarray(x, "float64") for x in model.get_weights())
    window = (pool1.pool_size, pool1.strides, pool1.padding)
    scores1 = filtering.filter_up(images, kernel1, **loop_arguments(conv1)) + bias1
    maps1 = np.maximum(scores1, 0)
    pooled, switches = pooling.max_pool(maps1, *window)
    scores2 = filtering.filter_up(pooled, kernel2, **loop_arguments(conv2)) + bias2

    def rectify(signal, scores):
        if rectification != "gradient":
            signal = np.maximum(signal, 0)
        return signal if rectification == "deconvnet" else np.where(scores > 0, signal, 0)

    signal = np.zeros(scores2.shape)
    signal[:, row, column, feature] = np.maximum(scores2, 0)[:, row, column, feature]
    signal = rectify(signal, scores2)
    signal = filtering.filter_down(signal, kernel2, pooled.shape[1:3], **loop_arguments(conv2))
    signal = pooling.max_unpool(signal, switches, maps1.shape[1:3], *window)
    signal = rectify(signal, scores1)
    return filtering.filter_down(signal, kernel1, images.shape[1:3], **loop_arguments(conv1))


@pytest.mark.parametrize("rectification", ["deconvnet", "guided", "gradient"])
def test_the_modified_gradient_is_the_deconvnet_of_the_paper(rectification):
    model, images = chain(), random_images((3, 13, 10, 2))
    unit = (2, 1, 0)
    expected = projected_by_loops(model, images, *unit, rectification)
    actual = modified_gradient.project(model, "relu2", images, *unit, rectification)
    assert (np.abs(expected).max((1, 2, 3)) > 0).all()
    assert modified_gradient.relative_difference(actual, expected) < 1e-6


def test_the_three_rectifications_differ():
    model, images = chain(), random_images((3, 13, 10, 2))
    results = [
        modified_gradient.project(model, "relu2", images, 2, 1, 0, rectification)
        for rectification in ("deconvnet", "guided", "gradient")
    ]
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        assert modified_gradient.relative_difference(results[i], results[j]) > 1e-2


def test_the_gradient_is_that_of_tensorflow():
    """Images without ties, so that TensorFlow's choice of maximum is the same."""
    import tensorflow as tf

    model, images = chain(), random_images((3, 13, 10, 2))
    with tf.GradientTape() as tape:
        pixels = tf.constant(images)
        tape.watch(pixels)
        score = model(pixels)[:, 1, 0, 2]
    expected = tape.gradient(score, pixels, score)
    actual = modified_gradient.project(model, "relu2", images, 2, 1, 0, "gradient")
    assert modified_gradient.relative_difference(actual, expected) < 1e-5


def test_strongest_and_whole_map():
    model, images = chain(), random_images((2, 13, 10, 2))
    maps = np.asarray(model(images))
    features = np.array([2, 0])
    flat = [maps[i, ..., feature].argmax() for i, feature in enumerate(features)]
    row, column = np.unravel_index(flat, maps.shape[1:3])
    strongest = modified_gradient.project(model, "relu2", images, features)
    unit = modified_gradient.project(model, "relu2", images, features, row, column)
    np.testing.assert_array_equal(strongest, unit)

    gradients = [
        modified_gradient.project(model, "relu2", images, 2, *position, "gradient")
        for position in np.ndindex(*maps.shape[1:3])
    ]
    whole = modified_gradient.project(
        model, "relu2", images, 2, rectification="gradient", whole_map=True
    )
    np.testing.assert_allclose(whole, sum(gradients), rtol=1e-9, atol=1e-9)


def test_the_model_is_left_as_it_is():
    model, images = chain(), random_images((2, 13, 10, 2))
    weights, before = model.get_weights(), np.asarray(model(images))
    modified_gradient.project(model, "conv2", images, 0)
    np.testing.assert_array_equal(np.asarray(model(images)), before)
    for now, then in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, then)
    assert model.get_layer("conv1").activation is keras.activations.relu


def test_relative_difference():
    expected = np.array([[4.0, 0.0], [0.0, 0.0]])
    first_differs, second_differs = expected.copy(), expected.copy()
    first_differs[0, 1], second_differs[1, 1] = 0.25, 1.0
    assert modified_gradient.relative_difference(first_differs, expected) == 0.0625
    assert modified_gradient.relative_difference(second_differs, expected) == np.inf
    assert modified_gradient.relative_difference(expected, expected) == 0
