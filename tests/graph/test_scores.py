"""From a model's output to one value for each class, whatever its head looks like."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from kerasvis.convnets import SqueezeNet
from kerasvis.graph import Scores
from kerasvis.graph.score_activation import activation_of_values, far_images, probe_images

SIZE = (8, 7)


def softmax(scores):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def sigmoid(scores):
    return 1 / (1 + np.exp(-scores))


def linear(scores):
    return scores


def model_that_ends_with(*last):
    """A small convnet of four scores of 1×1, with some layers or functions on top."""
    inputs = keras.Input((*SIZE, 3))
    x = layers.GlobalAveragePooling2D(keepdims=True)(layers.Conv2D(4, 3)(inputs))
    for call in last:
        x = call(x)
    return keras.Model(inputs, x)


def dense(activation, units=4):
    return lambda: layers.Dense(units, activation=activation)


# What is known from the last layer.
ENDS = {
    "softmax Dense": ([layers.Flatten, dense("softmax")], linear),
    "sigmoid Dense": ([layers.Flatten, dense("sigmoid")], linear),
    "hard sigmoid Dense": ([layers.Flatten, dense("hard_sigmoid")], linear),
    "sparsemax Dense": ([layers.Flatten, dense("sparsemax")], linear),
    "log softmax Dense": ([layers.Flatten, dense("log_softmax")], softmax),
    "log sigmoid Dense": ([layers.Flatten, dense("log_sigmoid")], np.exp),
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
    "keras.ops.log_softmax": ([layers.Flatten, lambda: ops.log_softmax], softmax),
    "cast after": ([layers.Softmax, lambda: lambda x: ops.cast(x, "float16")], linear),
    "nested": (
        [
            layers.Flatten,
            lambda: keras.Sequential([keras.Input((4,)), layers.Dense(4, activation="softmax")]),
        ],
        linear,
    ),
}


def assert_is(scores, expected):
    values = np.random.default_rng(0).normal(0, 3, (5, 4)).astype("float32")
    for given in (values, values[:, None, None]):
        probabilities = ops.convert_to_numpy(scores(ops.convert_to_tensor(given)))
        assert probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities, expected(values), rtol=1e-5)


@pytest.mark.parametrize(("makers", "expected"), ENDS.values(), ids=ENDS)
def test_known_from_the_last_layer(makers, expected):
    scores = Scores(model_that_ends_with(*(make() for make in makers)))
    assert scores.activation is not None, "nothing was run"
    assert_is(scores, expected)


def test_a_function_of_that_name_is_not_trusted():
    def softmax(x):  # which does something else
        return 5 * x

    model = model_that_ends_with(layers.Flatten(), layers.Dense(4, activation=softmax))
    assert Scores(model).activation is None
    assert Scores(model).decide().activation == "softmax"


class Scaled(layers.Dense):
    """A subclass of a known layer that does more than its activation."""

    def call(self, inputs):
        return 30 * super().call(inputs) - 3


def test_a_subclass_is_not_trusted():
    model = model_that_ends_with(layers.Flatten(), Scaled(4, activation="softmax"))
    assert Scores(model).decide().activation == "softmax"


# What only the values tell.
HEADS = {
    "tf.nn.softmax": ([layers.Flatten, lambda: layers.Dense(4, activation=tf.nn.softmax)], linear),
    "tf.nn.sigmoid": ([layers.Flatten, lambda: layers.Dense(4, activation=tf.nn.sigmoid)], linear),
    "Lambda": ([layers.Flatten, lambda: layers.Lambda(lambda x: tf.nn.softmax(x / 2))], linear),
    "stretched tanh": ([layers.Flatten, lambda: lambda x: (ops.tanh(x) + 1) / 2], linear),
    "masked": (
        [layers.Flatten, layers.Softmax, lambda: lambda x: x * np.array([1, 0, 1, 1], "float32")],
        linear,
    ),
    "clipped": ([layers.Flatten, lambda: lambda x: ops.clip(x, 0, 1)], linear),
    "mean of a map of softmaxes": (
        [lambda: layers.Conv2D(4, 1, activation="softmax"), layers.GlobalAveragePooling2D],
        linear,
    ),
    "clipped above 1": ([layers.Flatten, lambda: lambda x: ops.clip(x, 0, 1.5)], softmax),
    "logits": ([layers.Flatten], softmax),
    "logits of 1×1": ([], softmax),
    "linear Dense": ([layers.Flatten, dense(None)], softmax),
    "relu Dense": ([layers.Flatten, dense("relu")], softmax),
    "logits of float16": ([layers.Flatten, lambda: lambda x: ops.cast(x, "float16")], softmax),
    "softmax before Dense": ([layers.Flatten, layers.Softmax, dense(None)], softmax),
    "logarithms": ([layers.Softmax, layers.Flatten, lambda: ops.log], softmax),
}


@pytest.mark.parametrize(("makers", "expected"), HEADS.values(), ids=HEADS)
def test_decided_from_the_values(makers, expected):
    scores = Scores(model_that_ends_with(*(make() for make in makers)))
    assert scores.activation is None
    assert scores.decide() is scores
    assert_is(scores, expected)


def test_a_mixture_of_probabilities_is_one():
    """A dense layer without activation, whose rows sum to 1: the values tell all the same."""
    mixing = layers.Dense(4, use_bias=False)
    model = model_that_ends_with(layers.Flatten(), layers.Softmax(), mixing)
    kernel = np.random.default_rng(0).uniform(size=(4, 4))
    mixing.set_weights([kernel / kernel.sum(axis=1, keepdims=True)])
    assert_is(Scores(model).decide(), linear)


def test_a_weighted_sum_in_0_to_1_by_chance_is_a_logit():
    head = layers.Dense(1)
    model = model_that_ends_with(layers.Flatten(), head)
    head.set_weights([np.full((4, 1), 1e-9), np.array([0.4])])
    assert Scores(model).decide().activation == "sigmoid"


def test_small_logits_are_told_by_images_far_outside():
    """No layer says that these are logits, and in the usual range they lie in [0, 1]."""
    model = model_that_ends_with(layers.ReLU(), layers.Flatten(), lambda x: x * 1e-3)
    images = np.random.default_rng(0).uniform(0, 255, (20, *SIZE, 3))
    assert 0 <= np.min(model.predict(images, verbose=0)) < np.max(model(images)) < 1
    assert Scores(model).decide(images[:1]).activation == "softmax"


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_sums_to_1_less_exactly(dtype):
    keras.config.set_dtype_policy(dtype)
    try:
        head = layers.Dense(300, activation=tf.nn.softmax)
        model = model_that_ends_with(layers.Flatten(), head)
    finally:
        keras.config.set_dtype_policy("float32")
    assert Scores(model).decide().activation == "linear"


@pytest.mark.parametrize(
    ("activation", "expected"),
    [("softmax", softmax), ("sigmoid", sigmoid), ("linear", linear), ("exponential", np.exp)],
)
def test_as_asked_for_whatever_the_model_ends_with(activation, expected):
    for last in (layers.Softmax(), layers.Dense(4)):
        model = model_that_ends_with(layers.Flatten(), last)
        assert_is(Scores(model, activation=activation).decide(), expected)


def test_end_of_squeezenet():
    """A convolution, a mean, and softmax in a layer of its own."""
    assert_is(Scores(SqueezeNet((64, 64, 3), classes=4)), linear)
    logits = SqueezeNet((64, 64, 3), classes=4, classifier_activation=None)
    assert_is(Scores(logits).decide(), softmax)


@pytest.mark.parametrize("activation", [None, "sigmoid", tf.nn.sigmoid, "hard_sigmoid"])
def test_one_unit_is_two_classes(activation):
    model = model_that_ends_with(layers.Flatten(), layers.Dense(1, activation=activation))
    scores = Scores(model).decide()
    assert scores.num_classes == 2
    images = np.random.default_rng(0).uniform(-1, 1, (6, *SIZE, 3))
    outputs = model.predict(images, verbose=0)
    p = (sigmoid(outputs) if activation is None else outputs)[:, 0]
    assert np.ptp(p) > 1e-3
    found = ops.convert_to_numpy(scores(ops.convert_to_tensor(outputs)))
    np.testing.assert_allclose(found, np.stack([1 - p, p], axis=1), atol=1e-6)
    assert "of class 1, the rest is class 0" in scores.interpretation


def test_both_classes_of_a_large_logit_are_exact():
    scores = Scores(model_that_ends_with(layers.Flatten(), layers.Dense(1))).decide()
    found = ops.convert_to_numpy(scores(np.array([[40.0]], "float32")))
    np.testing.assert_allclose(found, [[np.exp(-40), 1]], rtol=1e-5)


def test_one_number_without_an_axis():
    model = model_that_ends_with(layers.Flatten(), dense("sigmoid", 1)(), lambda x: x[:, 0])
    assert model.output_shape == (None,)
    found = ops.convert_to_numpy(Scores(model).decide()(np.array([0.3], "float32")))
    np.testing.assert_allclose(found, [[0.7, 0.3]], rtol=1e-6)


def test_what_contradicts_is_refused_and_what_was_stated_is_not():
    model = model_that_ends_with(layers.Flatten(), lambda x: ops.clip(x, 0, 1))
    scores = Scores(model).decide()
    scores.check(np.array([0, 0.2, 1.00001, np.nan]))
    with pytest.raises(ValueError, match=r"from -1 to 2: state activation=.*activation='auto'$"):
        scores.check(np.array([-1.0, 2.0]))
    Scores(model, activation="linear").decide().check(np.array([-1.0, 2.0]))


PHRASES = {
    "softmax": "the model's own probabilities",
    None: "softmax of the model's logits",
    "log_sigmoid": "exponential of the model's log probabilities",
}


@pytest.mark.parametrize(("activation", "phrase"), PHRASES.items())
def test_what_was_taken(activation, phrase):
    model = model_that_ends_with(layers.Flatten(), layers.Dense(4, activation=activation))
    assert Scores(model).interpretation == ("" if activation is None else phrase)
    assert Scores(model).decide().interpretation == phrase


def named_outputs(form):
    inputs = keras.Input((*SIZE, 3))
    x = layers.GlobalAveragePooling2D(name="pooled")(layers.Conv2D(4, 3, name="conv")(inputs))
    first = layers.Dense(3, activation="softmax", name="first")(x)
    second = layers.Dense(1, activation="sigmoid", name="second")(x)
    if form == "nested":
        nested = keras.Model(inputs, [first, second], name="nested")
        return keras.Model(inputs, nested(inputs), name="net")
    keys = {"z": first, "a": second}
    outputs = keys if form == "dict" else [first, second]
    return keras.Model(inputs, outputs, name="net")


@pytest.mark.parametrize(
    ("form", "first", "second"),
    [
        ("list", "first", "second"),
        ("list", 0, 1),
        ("dict", "z", "a"),
        ("dict", 1, 0),  # Keras sorts the keys
        ("dict", "first", "second"),
        ("nested", "nested:1", "nested:2"),
        ("nested", "nested/first", "nested/second"),
        ("nested", 0, 1),
    ],
)
def test_one_of_several_outputs(form, first, second):
    model = named_outputs(form)
    assert Scores(model, output=first).num_units == 3
    assert Scores(model, output=second).num_units == 1


@pytest.mark.parametrize(
    ("form", "output", "sentence"),
    [
        ("list", None, "has 2 outputs, 'first', 'second': choose one, output='name'."),
        ("dict", None, "has 2 outputs, 'a', 'z': choose one"),
        ("list", "frist", "did you mean 'first'"),
        ("list", 2, "it has 'first', 'second'. Received: output=2"),
        ("list", -1, "Received: output=-1"),
        ("list", True, "Received: output=True"),
        ("list", "xyz", "it has 'first', 'second'. Received: output='xyz'"),
    ],
)
def test_outputs_that_are_not_there(form, output, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Scores(named_outputs(form), output=output)


def segmenter(classes=3, activation="softmax", strides=1):
    return keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            layers.Conv2D(4, 3, strides, padding="same", activation="relu"),
            layers.Conv2D(classes, 1, activation=activation, name="classes"),
        ],
        name="segmenter",
    )


@pytest.mark.parametrize("activation", [None, "softmax", tf.nn.softmax])
@pytest.mark.parametrize("region", [None, (2, 1, 5, 7), (0, 0, 1, 1)])
def test_maps_of_classes_are_summed(activation, region):
    model = segmenter(activation=activation)
    images = np.random.default_rng(0).uniform(0, 255, (2, *SIZE, 3))
    scores = Scores(model, region=region).decide(images[:1])
    outputs = model.predict(images, verbose=0)
    maps = softmax(outputs) if activation is None else outputs
    top, left, bottom, right = region or (0, 0, *SIZE)
    expected = maps[:, top:bottom, left:right].sum(axis=(1, 2))
    found = ops.convert_to_numpy(scores(ops.convert_to_tensor(outputs)))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert (scores.measure, scores.num_classes) == ("summed probability", 3)
    assert ("summed over the map" in scores.interpretation) == (region is None)


@pytest.mark.parametrize("is_squeezed", [False, True])
def test_map_of_one_unit_is_two_classes(is_squeezed):
    model = segmenter(1, "sigmoid")
    if is_squeezed:
        model = keras.Model(model.inputs, ops.squeeze(model.outputs[0], -1))
    p = np.random.default_rng(0).uniform(size=(2, *SIZE)).astype("float32")
    found = Scores(model).decide()(ops.convert_to_tensor(p if is_squeezed else p[..., None]))
    expected = np.stack([(1 - p).sum(axis=(1, 2)), p.sum(axis=(1, 2))], axis=1)
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-5)


def test_smaller_maps_are_classes_if_a_region_says_so():
    """A net without its classifier returns such maps, too."""
    model = segmenter(strides=2)
    with pytest.raises(
        ValueError, match=r"with its classifier; .* region=\(0, 0, 4, 4\); or score"
    ):
        Scores(model)
    assert Scores(model, region=(0, 0, 4, 4)).map_size == (4, 4)


def test_any_size_is_known_once_images_are():
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(2, 1)], name="net")
    assert Scores(model, image_size=(5, 6)).map_size == (5, 6)
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(2, activation=tf.nn.softmax))
    with pytest.raises(ValueError, match="any size: give image_size"):
        Scores(model).decide()
    assert Scores(model).decide(np.zeros((1, 4, 5, 3))).activation == "linear"


@pytest.mark.parametrize("region", [(0, 0, 9, 7), (0, 0, 0, 7), (-1, 0, 3, 3), (3, 3, 2, 5)])
def test_regions_outside(region):
    with pytest.raises(ValueError, match=r"inside the maps of 8×7. Received: region="):
        Scores(segmenter(), region=region)


def test_a_free_score():
    def entropy(p):
        return -ops.sum(p * ops.log(p), axis=-1)

    model = model_that_ends_with(layers.Flatten(), dense("softmax")())
    scores = Scores(model, score=entropy)
    p = softmax(np.random.default_rng(0).normal(size=(5, 4))).astype("float32")
    expected = -(p * np.log(p)).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ops.convert_to_numpy(scores(p)), expected, rtol=1e-5)
    assert (scores.measure, scores.interpretation, scores.num_classes) == (
        "entropy",
        "the model's output",
        1,
    )
    assert Scores(model, score=lambda p: p[:, 0]).measure == "score"


def test_a_free_score_of_feature_maps_and_of_stated_probabilities():
    model = named_outputs("list")
    scores = Scores(model, output="conv", score=lambda x: ops.max(x, axis=(1, 2, 3)))
    maps = np.random.default_rng(0).normal(size=(3, 6, 5, 4)).astype("float32")
    np.testing.assert_allclose(ops.convert_to_numpy(scores(maps))[:, 0], maps.max(axis=(1, 2, 3)))
    scores = Scores(model, output="pooled", activation="softmax", score=lambda x: x[:, 1])
    logits = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    np.testing.assert_allclose(
        ops.convert_to_numpy(scores(logits))[:, 0], softmax(logits)[:, 1], rtol=1e-5
    )
    assert scores.interpretation == "softmax of the model's output"


@pytest.mark.parametrize(
    "score", [lambda x: x, lambda x: ops.sum(x), lambda x: ops.sum(x)[None], lambda x: 3]
)
def test_a_score_that_is_not_one_number_for_each_image(score):
    model = model_that_ends_with(layers.Flatten())
    with pytest.raises(ValueError, match=r"one number for each image, .* Received: score="):
        Scores(model, score=score).decide()


def tokens():
    return keras.Sequential([keras.Input((*SIZE, 3)), layers.Reshape((56, 3))], name="net")


def classes_of_pixels():
    model = segmenter()
    return keras.Model(model.inputs, ops.argmax(model.outputs[0], axis=-1), name="net")


ERRORS = {
    "tokens": (tokens, {}, "returns (None, 56, 3), but scores (images, classes) were"),
    "whole numbers": (classes_of_pixels, {}, "returns integers (int"),
    "region": (model_that_ends_with, {"region": (0, 0, 1, 1)}, "region belongs to models that"),
    "softmax of one": (
        lambda: model_that_ends_with(layers.Flatten(), layers.Dense(1)),
        {"activation": "softmax"},
        "whose softmax is 1 whatever it is: give 'sigmoid' or 'linear'.",
    ),
    "activation": (
        model_that_ends_with,
        {"activation": "relu"},
        "give 'auto', 'linear', 'softmax', 'sigmoid', 'exponential'. Received: activation='relu'",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error(case):
    build, settings, sentence = ERRORS[case]
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Scores(build(), **settings)


def test_images_of_whole_numbers():
    inputs = keras.Input((*SIZE, 3), dtype="uint8")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3)(layers.Rescaling(1 / 255)(inputs)))
    model = keras.Model(inputs, layers.Dense(3, activation=tf.nn.softmax)(x))
    assert Scores(model).decide(np.zeros((1, *SIZE, 3), "uint8")).activation == "linear"


def test_probes_are_the_same_every_time():
    images = np.random.default_rng(3).uniform(-1, 1, (2, *SIZE, 3))
    for make, number in [(probe_images, 5), (far_images, 4)]:
        probes = make(images)
        assert probes.shape == (number, *SIZE, 3)
        np.testing.assert_array_equal(probes, make(images))
    np.testing.assert_allclose(probe_images(images)[:2], images, rtol=1e-6)
    assert np.abs(probe_images(images)).max() <= 1
    assert np.abs(far_images(images)).max(axis=(1, 2, 3)).min() > 20
    assert probe_images(images[:0]).max() > 200, "pixels"


def test_images_that_give_nan_tell_nothing():
    values = np.array([[0.2, 0.8], [np.nan, np.nan]])
    assert activation_of_values(values, 1e-4) == "linear"
    assert activation_of_values(values[1:], 1e-4) == "softmax"


def test_the_model_is_left_as_it_is():
    model = model_that_ends_with(layers.Flatten(), layers.Dense(4))
    weights, config = model.get_weights(), model.get_config()
    calls = [len(layer._inbound_nodes) for layer in model.layers]
    Scores(model).decide()
    assert model.get_config() == config
    assert [len(layer._inbound_nodes) for layer in model.layers] == calls
    for weight, before in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, before)
