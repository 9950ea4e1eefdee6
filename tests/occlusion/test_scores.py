"""From what a model returns to probabilities."""

import re

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerasvis.convnets import SqueezeNet
from kerasvis.graph import read_graph
from kerasvis.occlusion.scores import probability_function


def softmax(scores):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def sigmoid(scores):
    return 1 / (1 + np.exp(-scores))


def linear(scores):
    return scores


def model_that_ends_with(*last):
    """Scores of four classes, and these calls on them."""
    inputs = keras.Input((8, 7, 3))
    x = layers.GlobalAveragePooling2D(keepdims=True)(layers.Conv2D(4, 3)(inputs))
    for call in last:
        x = call(x)
    return keras.Model(inputs, x)


ENDS = {
    "logits": ([layers.Flatten], softmax),
    "logits of 1×1": ([], softmax),
    "linear Dense": ([layers.Flatten, lambda: layers.Dense(4)], softmax),
    "relu": ([layers.Flatten, lambda: layers.Dense(4, activation="relu")], softmax),
    "softmax Dense": ([layers.Flatten, lambda: layers.Dense(4, activation="softmax")], linear),
    "sigmoid Dense": ([layers.Flatten, lambda: layers.Dense(4, activation="sigmoid")], linear),
    "softmax Activation": ([layers.Flatten, lambda: layers.Activation("softmax")], linear),
    "sigmoid Activation": ([layers.Flatten, lambda: layers.Activation("sigmoid")], linear),
    "float32 Activation": (
        [layers.Flatten, lambda: layers.Activation("softmax", dtype="float32")],
        linear,
    ),
    "Softmax": ([layers.Flatten, layers.Softmax], linear),
    "softmax convolution": ([lambda: layers.Conv2D(4, 1, activation="softmax")], linear),
    "Flatten after": ([layers.Softmax, layers.Flatten], linear),
    "Reshape after": ([layers.Softmax, lambda: layers.Reshape((4,))], linear),
    "Dropout after": ([layers.Flatten, layers.Softmax, lambda: layers.Dropout(0.5)], linear),
    "keras.ops.softmax": ([layers.Flatten, lambda: ops.softmax], linear),
    "keras.ops.sigmoid": ([layers.Flatten, lambda: ops.sigmoid], linear),
    "cast after": ([layers.Softmax, lambda: lambda x: ops.cast(x, "float16")], linear),
    "softmax before Dense": ([layers.Flatten, layers.Softmax, lambda: layers.Dense(4)], softmax),
}


def function_of(model, activation="auto"):
    graph = read_graph(model)
    return probability_function(graph, graph.outputs[0], activation)


@pytest.mark.parametrize(("makers", "expected"), ENDS.values(), ids=ENDS)
def test_found_from_the_last_layer(makers, expected):
    model = model_that_ends_with(*(make() for make in makers))
    assert_is(function_of(model), expected)


def assert_is(to_probabilities, expected):
    scores = np.random.default_rng(0).normal(0, 3, (5, 4)).astype("float32")
    for given in (scores, scores[:, None, None]):
        probabilities = ops.convert_to_numpy(to_probabilities(ops.convert_to_tensor(given)))
        assert probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities, expected(scores), rtol=1e-5)


@pytest.mark.parametrize(
    ("activation", "expected"), [("softmax", softmax), ("sigmoid", sigmoid), ("linear", linear)]
)
def test_as_asked_for_whatever_the_model_ends_with(activation, expected):
    for last in (layers.Softmax(), layers.Dense(4)):
        model = model_that_ends_with(layers.Flatten(), last)
        assert_is(function_of(model, activation), expected)


def test_end_of_squeezenet():
    """A convolution, a mean, and softmax in a layer of its own."""
    model = SqueezeNet((64, 64, 3), classes=4)
    assert_is(function_of(model), linear)
    assert_is(function_of(SqueezeNet((64, 64, 3), classes=4, classifier_activation=None)), softmax)


def test_half_precision_becomes_float32():
    scores = ops.convert_to_tensor(np.array([[0, 1, 2, 3]]), "float16")
    probabilities = function_of(model_that_ends_with(layers.Flatten()))(scores)
    assert keras.backend.standardize_dtype(probabilities.dtype) == "float32"
    np.testing.assert_allclose(probabilities, softmax(np.arange(4.0)[None]), rtol=1e-6)


def test_unknown_activation():
    sentence = "activation is 'relu': give 'auto', 'softmax', 'sigmoid', 'linear'."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        function_of(model_that_ends_with(), "relu")


def test_single_score_is_a_logit_of_a_sigmoid():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    graph = read_graph(model)
    function = probability_function(graph, graph.outputs[0])
    np.testing.assert_allclose(function(np.array([[0.0], [2.0]])), [[0.5], [0.8807971]], rtol=1e-6)
