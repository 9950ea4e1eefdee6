import keras
import pytest
from keras import layers

from kerasvis.graph import read_graph
from kerasvis.graph.convolution_nodes import (
    convolution_nodes,
    first_and_second,
    rectified_node,
)

SIZE = (9, 11)


def model_of(*parts):
    return keras.Sequential([keras.Input((*SIZE, 3)), *parts])


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([layers.Conv2D(2, 3, activation="relu", name="a")], "a"),
        ([layers.Conv2D(2, 3, activation="relu6", name="a")], "a"),
        ([layers.Conv2D(2, 3, name="a"), layers.ReLU(name="r")], "r"),
        ([layers.Conv2D(2, 3, name="a"), layers.Activation("relu", name="r")], "r"),
        (
            [
                layers.Conv2D(2, 3, name="a"),
                layers.BatchNormalization(),
                layers.Dropout(0.1),
                layers.ReLU(6, name="r"),
            ],
            "r",
        ),
        ([layers.Conv2D(2, 3, name="a")], None),
        ([layers.Conv2D(2, 3, activation="tanh", name="a"), layers.ReLU(name="r")], None),
        ([layers.Conv2D(2, 3, name="a"), layers.Conv2D(4, 3, activation="relu")], None),
        ([layers.Conv2D(2, 3, name="a"), layers.Dense(4, activation="relu")], None),
        ([layers.Conv2D(2, 3, name="a"), layers.LeakyReLU()], None),
        ([layers.Conv2D(2, 3, name="a"), layers.ReLU(negative_slope=0.1)], None),
        ([layers.Conv2D(2, 3, name="a"), layers.MaxPooling2D(2), layers.ReLU()], None),
    ],
)
def test_where_the_rectified_maps_are(parts, expected):
    graph = read_graph(model_of(*parts))
    node = rectified_node(graph, graph.node("a"))
    assert (node and node.name) == expected


def test_maps_that_are_used_twice_before_rectification_are_not_rectified():
    inputs = keras.Input((*SIZE, 3))
    maps = layers.Conv2D(2, 3, name="a")(inputs)
    outputs = layers.Add()([layers.ReLU()(maps), maps])
    graph = read_graph(keras.Model(inputs, outputs))
    assert rectified_node(graph, graph.node("a")) is None


def test_all_kinds_of_convolutions_each_layer_once():
    shared = layers.Conv2D(3, 3, padding="same", name="shared")
    inputs = keras.Input((*SIZE, 3))
    x = shared(shared(inputs))
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.MaxPooling2D(2)(layers.SeparableConv2D(4, 3, name="separable")(x))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    names = [node.name for node in convolution_nodes(read_graph(model))]
    assert names == ["shared", "depthwise", "separable"]


def test_the_second_layer_lies_above_the_first():
    inputs = keras.Input((*SIZE, 3))
    left = layers.Conv2D(2, 3, name="left")(inputs)
    right = layers.Conv2D(2, 3, name="right")(inputs)
    above = layers.Conv2D(2, 3, name="above")(right)
    outputs = layers.Concatenate()([layers.Cropping2D(1)(left), above])
    model = keras.Model(inputs, outputs)
    graph = read_graph(model)
    nodes = convolution_nodes(graph)

    def chosen(first=None, second=None):
        return [node and node.name for node in first_and_second(model, graph, nodes, first, second)]

    assert chosen("right") == ["right", "above"]
    assert chosen("left") == ["left", None]
    assert chosen("right", "above") == ["right", "above"]
    with pytest.raises(ValueError, match="Layer 'above' does not lie above the first layer 'left'"):
        chosen("left", "above")
