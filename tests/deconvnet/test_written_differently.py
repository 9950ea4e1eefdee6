"""The same model, written differently, has the same projections."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import kerasvis as kv
from tests.marks import few, slow
from tests.oracles import modified_gradient

SHAPE = (11, 8, 3)
RECTIFICATIONS = ["deconvnet", "guided", "gradient"]
TOLERANCE = 1e-5


def images(seed=0):
    return np.random.default_rng(seed).normal(size=(2, *SHAPE)).astype("float32")


def net(between, first=layers.Identity, seed=3):
    """Two convolutions, something between them, and something before the first."""
    inputs = keras.Input(SHAPE)
    x = first()(inputs) if isinstance(first, type) else first(inputs)
    x = layers.Conv2D(4, 3, bias_initializer="normal", name="below")(x)
    x = between(x)
    x = layers.Conv2D(5, 2, bias_initializer="normal", name="top")(x)
    model = keras.Model(inputs, x)
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def projected(model, rectification="deconvnet", rules=()):
    deconv = kv.DeconvModel(model, "top", rectification, rules)
    return deconv.project(images(), kv.targets.Unit(2, 3, 1))


def assert_same(model, equivalent, rectification):
    expected = modified_gradient.project(
        equivalent, "top", images(), 2, 3, 1, rectification=rectification
    )
    assert np.abs(expected).max() > 0
    actual = projected(model, rectification)
    assert modified_gradient.relative_difference(actual, expected) <= TOLERANCE


RELUS = {
    "tf.nn.relu": lambda: layers.Activation(tf.nn.relu),
    "keras.ops.relu": lambda: ops.relu,
    "a layer as activation": lambda: layers.Activation(layers.ReLU()),
    "called in the graph": lambda: keras.activations.relu,
    "maximum with 0": lambda: lambda x: ops.maximum(x, 0),
    "maximum with 0, turned round": lambda: lambda x: ops.maximum(0.0, x),
    "Lambda": lambda: layers.Lambda(ops.relu),
    "a partial": lambda: layers.Activation(functools.partial(keras.activations.relu)),
}
LIMITED_RELUS = {
    "relu6": lambda: layers.Activation("relu6"),
    "tf.nn.relu6": lambda: layers.Activation(tf.nn.relu6),
    "keras.ops.relu6": lambda: ops.relu6,
    "clip": lambda: lambda x: ops.clip(x, 0, 6),
    "max_value": lambda: lambda x: keras.activations.relu(x, max_value=6),
    "minimum of maximum": lambda: layers.Activation(lambda x: ops.minimum(ops.maximum(x, 0), 6)),
}


@pytest.mark.parametrize("rectification", few(RECTIFICATIONS, 1))
@pytest.mark.parametrize("name", RELUS)
def test_a_relu_is_a_relu(name, rectification):
    assert_same(net(RELUS[name]()), net(layers.ReLU()), rectification)


@pytest.mark.parametrize("rectification", few(RECTIFICATIONS, 1))
@pytest.mark.parametrize("name", LIMITED_RELUS)
def test_a_limited_relu_is_one(name, rectification):
    assert_same(net(LIMITED_RELUS[name]()), net(layers.ReLU(6.0)), rectification)


@pytest.mark.parametrize("activation", [tf.nn.relu, ops.relu, layers.ReLU()])
def test_a_relu_fused_into_a_layer(activation):
    fused = layers.Conv2D(4, 1, activation=activation, kernel_initializer="normal")
    plain = layers.Conv2D(4, 1, activation="relu", kernel_initializer="normal")
    assert_same(net(fused), net(plain), "deconvnet")


CONSTANTS = {
    "x / 255": (lambda x: x / 255, layers.Rescaling(1 / 255)),
    "x * 2 - 1": (lambda x: x * 2 - 1, layers.Rescaling(2.0, -1.0)),
    "1 - x": (lambda x: 1 - x, layers.Rescaling(-1.0, 1.0)),
    "mean and deviation": (
        lambda x: (x - np.array([0.1, 0.2, 0.3])) / np.array([0.5, 0.25, 2.0]),
        layers.Rescaling([2.0, 4.0, 0.5], [-0.2, -0.8, -0.15]),
    ),
    "cast": (lambda x: ops.cast(x, "float32"), layers.Identity()),
    "cast and back": (
        lambda x: ops.cast(ops.cast(x, "float64"), "float32") * 3,
        layers.Rescaling(3.0),
    ),
    "transpose and back": (
        lambda x: ops.transpose(ops.transpose(x, (0, 2, 1, 3)), (0, 2, 1, 3)),
        layers.Identity(),
    ),
    "slice": (lambda x: x[:, 1:-2, 1:], layers.Cropping2D(((1, 2), (1, 0)))),
    "pad": (
        lambda x: ops.pad(x, [(0, 0), (1, 2), (0, 1), (0, 0)]),
        layers.ZeroPadding2D(((1, 2), (0, 1))),
    ),
    "repeat": (
        lambda x: ops.repeat(ops.repeat(x, 2, axis=1), 2, axis=2),
        layers.UpSampling2D(2),
    ),
    "resize": (
        lambda x: ops.image.resize(x, (22, 16), interpolation="bilinear"),
        layers.UpSampling2D(2, interpolation="bilinear"),
    ),
    "Resizing": (
        layers.Resizing(22, 16, interpolation="bilinear"),
        layers.UpSampling2D(2, interpolation="bilinear"),
    ),
    "CenterCrop": (layers.CenterCrop(9, 6), layers.Cropping2D(1)),
    "concatenate with itself": (
        lambda x: ops.concatenate([x, x], axis=1),
        lambda x: layers.Concatenate(axis=1)([x, x]),
    ),
    "channels turned round": (lambda x: x[..., ::-1], lambda x: x[..., ::-1]),
    "split and joined": (
        lambda x: ops.concatenate(ops.split(x, 3, axis=-1)[::-1], axis=-1),
        lambda x: x[..., ::-1],
    ),
    "split in two": (
        lambda x: ops.concatenate(ops.split(x, [1], axis=-1), axis=-1) * 2,
        layers.Rescaling(2.0),
    ),
    "the last of a split": (
        lambda x: ops.split(x, [1, 9], axis=1)[1],
        layers.Cropping2D(((1, 2), (0, 0))),
    ),
    "unstacked": (
        lambda x: ops.stack(ops.unstack(x, 3, axis=-1), axis=-1) * 2,
        layers.Rescaling(2.0),
    ),
    "Lambda": (layers.Lambda(lambda x: x / 4 + 1), layers.Rescaling(0.25, 1.0)),
    "a product with a constant": (
        lambda x: x * np.full((1, 1, 1, 3), 2.0, "float32"),
        layers.Rescaling(2.0),
    ),
}

FACTORS = ["x * 2 - 1", "cast and back"]
OTHERS = [name for name in CONSTANTS if name not in FACTORS]


@pytest.mark.parametrize("name", few(CONSTANTS, len(CONSTANTS) // 2))
def test_arithmetic_with_constants(name):
    written, layer = CONSTANTS[name]
    model, equivalent = net(layers.ReLU(), written), net(layers.ReLU(), layer)
    assert_same(model, equivalent, "deconvnet")


@pytest.mark.parametrize("name", [*FACTORS, *map(slow, OTHERS)])
def test_relaxed_rules_change_nothing_where_the_papers_suffice(name):
    """Least of all a product with a number, which is no gate."""
    model = net(layers.ReLU(), CONSTANTS[name][0])
    difference = modified_gradient.relative_difference(
        projected(model, rules="relaxed"), projected(model)
    )
    assert difference <= TOLERANCE


@pytest.mark.parametrize("largest", ["Maximum", "Minimum"])
@pytest.mark.parametrize("as_layer", [True, False])
@pytest.mark.parametrize("rectification", few(RECTIFICATIONS, 1))
def test_the_larger_of_two_tensors_takes_the_signal(largest, as_layer, rectification):
    def between(x):
        left, right = layers.Conv2D(3, 2, name="left")(x), layers.Conv2D(3, 2, name="right")(x)
        if as_layer:
            return getattr(layers, largest)()([left, right])
        return getattr(ops, largest.lower())(left, right)

    assert_same(net(between), net(between), rectification)  # the oracle's is TensorFlow's gradient


def test_dense_and_convolution_over_time():
    def frames(layer):
        def between(x):
            x = ops.reshape(x, (-1, 3, 3, 6, 4))
            x = layers.TimeDistributed(layer)(x)
            return ops.reshape(x, (-1, 9, 6, 2))

        return between

    shared = {"activation": "relu", "kernel_initializer": "normal", "bias_initializer": "normal"}
    over_time = net(frames(layers.Dense(2, **shared)))
    assert_same(over_time, net(layers.Dense(2, **shared)), "deconvnet")
    convolution = net(frames(layers.Conv2D(2, 1, **shared)))
    assert_same(convolution, net(layers.Conv2D(2, 1, **shared)), "guided")


def test_preprocessing_in_the_graph():
    for family in ("mobilenet_v2", "vgg16", "densenet", "efficientnet", "convnext", "nasnet"):
        written = getattr(keras.applications, family).preprocess_input
        model = net(layers.ReLU(), written)
        values = [np.asarray(written(np.full((1, 1, 1, 3), value, "float32"))) for value in (0, 1)]
        scale, offset = (values[1] - values[0]).ravel(), values[0].ravel()
        turned = lambda x: x[..., ::-1] if family == "vgg16" else x  # noqa: B023, E731
        equivalent = net(
            layers.ReLU(),
            lambda x: layers.Rescaling(scale.tolist(), offset.tolist())(turned(x)),  # noqa: B023
        )
        assert_same(model, equivalent, "deconvnet")


def test_receptive_fields_pass_what_is_pointwise_however_it_is_written():
    for between in (*RELUS.values(), *LIMITED_RELUS.values()):
        assert kv.receptive_field(net(between()), "top").size == (4, 4)
    mixing = layers.Activation(lambda x: keras.activations.softmax(x, axis=(1, 2)))
    assert kv.receptive_field(net(mixing), "top").is_whole_image
    fused = layers.Conv2D(4, 1, activation=lambda x: x / (1 + ops.mean(x, axis=1, keepdims=True)))
    assert kv.receptive_field(net(fused), "top").is_whole_image


SLICES_THAT_LEAVE_SMALL_MAPS_ALONE = {
    "columns": (lambda x: x[:, :, :12], layers.Cropping2D(((0, 0), (0, 4)))),
    "rows": (layers.Lambda(lambda x: x[:, :8]), layers.Cropping2D(((0, 12), (0, 0)))),
    "a limit": (lambda x: ops.image.resize(x, (7, 11)), layers.Resizing(7, 11)),
}


@pytest.mark.parametrize("name", SLICES_THAT_LEAVE_SMALL_MAPS_ALONE)
def test_what_leaves_maps_of_some_size_alone_is_no_activation(name):
    def convnet(between):
        inputs = keras.Input((20, 16, 3))
        x = between(layers.Conv2D(3, 1, name="below")(inputs))
        model = keras.Model(inputs, layers.Conv2D(5, 2, name="top")(x))
        rng = np.random.default_rng(3)
        model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
        return model

    written, layer = SLICES_THAT_LEAVE_SMALL_MAPS_ALONE[name]
    maps = np.random.default_rng(0).normal(size=(2, 20, 16, 3)).astype("float32")
    deconv = kv.DeconvModel(convnet(written), "top")
    actual = deconv.project(maps, kv.targets.Unit(2, 3, 1))
    expected = modified_gradient.project(convnet(layer), "top", maps, 2, 3, 1)
    assert modified_gradient.relative_difference(actual, expected) <= TOLERANCE
