"""Every linear mirror is the adjoint of its layer: ⟨A a, b⟩ = ⟨a, Aᵀ b⟩."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasvis as kv
from kerasvis.deconvnet.mirror import Call, Record
from kerasvis.deconvnet.rule_matching import mirrors_of
from kerasvis.deconvnet.rule_table import rule_table
from kerasvis.graph.nodes import Node, Tensor
from kerasvis.graph.replaying import call_layer

SIZES = [(7, 10), (8, 5)]
CHANNELS = 4

WINDOWED = [
    lambda strides, padding: layers.Conv2D(6, (3, 2), strides, padding),
    lambda strides, padding: layers.Conv2D(6, 4, strides, padding, groups=2),
    lambda strides, padding: layers.Conv2D(3, 1, strides, padding),
    lambda strides, padding: layers.Conv2DTranspose(3, (3, 4), strides, padding),
    lambda strides, padding: layers.AveragePooling2D((3, 2), strides, padding),
    lambda strides, padding: layers.AveragePooling2D((2, 5), strides, padding),
]
EQUAL_STRIDES = [
    lambda strides, padding: layers.DepthwiseConv2D((3, 2), strides, padding, depth_multiplier=2),
    lambda strides, padding: layers.SeparableConv2D(5, (2, 3), strides, padding),
]
PLAIN = [
    layers.Conv2D(6, (2, 3), dilation_rate=(2, 3)),
    layers.Conv2D(6, (2, 3), dilation_rate=(3, 1), padding="same"),
    layers.DepthwiseConv2D((2, 3), dilation_rate=(2, 2), padding="same"),
    layers.Conv2DTranspose(3, 3, 2, "same", output_padding=1),
    layers.Conv2DTranspose(3, 3, 2, "valid", output_padding=(1, 0)),
    layers.Dense(5),
    layers.BatchNormalization(),
    layers.BatchNormalization(axis=1, scale=False),
    layers.Rescaling(0.3),
    layers.Rescaling([0.1, 0.2, -0.3, 0.4]),
    layers.Normalization(mean=[0.0] * 4, variance=[1.0, 2.0, 3.0, 4.0]),
    layers.Normalization(mean=0.0, variance=2.0, invert=True),
    layers.GlobalAveragePooling2D(),
    layers.GlobalAveragePooling2D(keepdims=True),
    layers.ZeroPadding2D(((1, 2), (0, 3))),
    layers.Cropping2D(((1, 2), (0, 3))),
    layers.UpSampling2D((2, 3)),
    layers.UpSampling2D((3, 2), interpolation="bilinear"),
    layers.UpSampling2D(2, interpolation="bicubic"),
    layers.Flatten(),
    layers.Permute((3, 1, 2)),
    layers.Dropout(0.5),
    layers.RandomFlip(),
    layers.Identity(),
]


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def mirrors_for(layer, shapes, is_signal=(True,)):
    tensors = tuple(Tensor(number) for number in range(len(shapes)))
    arguments = tensors if len(tensors) == 1 else (list(tensors),)
    node = Node(layer.name, layer, (arguments, {}), tuple(range(len(shapes))), (len(shapes),))
    call = Call(node, tensors, is_signal, tuple(shapes), (node,), "float32")
    return mirrors_of(call, rule_table("deconvnet"))


def assert_is_adjoint(layer, size):
    inputs = normal((2, *size, CHANNELS))
    layer.build(inputs.shape)
    for weight in layer.weights:
        if weight.dtype == "float32":
            weight.assign(np.abs(normal(weight.shape, 1)) + 0.1)
    node = Node("", layer, (), (), ())
    at_zero = np.asarray(call_layer(node, [np.zeros_like(inputs)], {}))
    outputs = np.asarray(call_layer(node, [inputs], {})) - at_zero  # the linear part
    signal = normal(outputs.shape, 2)
    (mirror,) = mirrors_for(layer, [inputs.shape])
    record = Record((keras.ops.convert_to_tensor(inputs),), (keras.ops.convert_to_tensor(outputs),))
    (below,) = mirror(keras.ops.convert_to_tensor(signal), record)
    assert below.shape == inputs.shape
    up = np.sum(outputs.astype("float64") * signal)
    down = np.sum(inputs.astype("float64") * np.asarray(below))
    scale = np.linalg.norm(outputs) * np.linalg.norm(signal)
    assert abs(up - down) <= 1e-5 * scale, layer.get_config()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides", [1, 2, (1, 3), (3, 2)])
@pytest.mark.parametrize("make_layer", WINDOWED)
def test_layers_with_windows(make_layer, strides, padding, size):
    assert_is_adjoint(make_layer(strides, padding), size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("make_layer", EQUAL_STRIDES)
def test_layers_with_windows_of_equal_strides(make_layer, strides, padding, size):
    assert_is_adjoint(make_layer(strides, padding), size)


@pytest.mark.parametrize("number", range(len(PLAIN)), ids=lambda n: type(PLAIN[n]).__name__)
def test_other_layers(number):
    layer = PLAIN[number]
    assert_is_adjoint(type(layer).from_config(layer.get_config()), SIZES[0])


def test_reshape():
    assert_is_adjoint(layers.Reshape((14, 5, CHANNELS)), SIZES[0])


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [
        (layers.Add(), [(3, 4, 5), (3, 4, 5), (3, 4, 5)]),
        (layers.Add(), [(3, 4, 5), (1, 1, 5)]),
        (layers.Add(), [(3, 1, 5), (3, 4, 1)]),
        (layers.Subtract(), [(3, 4, 5), (3, 4, 5)]),
        (layers.Subtract(), [(1, 4, 5), (3, 4, 5)]),
        (layers.Average(), [(3, 4, 5), (3, 4, 5), (1, 1, 5)]),
        (layers.Concatenate(), [(3, 4, 5), (3, 4, 2), (3, 4, 1)]),
        (layers.Concatenate(axis=1), [(3, 4, 5), (2, 4, 5)]),
    ],
)
def test_layers_that_merge(layer, shapes):
    inputs = [normal((2, *shape), i) for i, shape in enumerate(shapes)]
    outputs = np.asarray(layer(inputs))
    signal = normal(outputs.shape, 9)
    (mirror,) = mirrors_for(layer, [x.shape for x in inputs], (True,) * len(inputs))
    tensors = tuple(keras.ops.convert_to_tensor(x) for x in inputs)
    below = mirror(keras.ops.convert_to_tensor(signal), Record(tensors, (outputs,)))
    assert [tuple(b.shape) for b in below] == [x.shape for x in inputs]
    up = np.sum(outputs.astype("float64") * signal)
    down = sum(
        np.sum(x.astype("float64") * np.asarray(b)) for x, b in zip(inputs, below, strict=True)
    )
    assert abs(up - down) <= 1e-5 * np.linalg.norm(outputs) * np.linalg.norm(signal)


def test_public_rules_are_those_of_the_table():
    assert kv.rules.mirrors_of is mirrors_of
