"""What is called gradient is the gradient; guided backpropagation, where the signal is positive."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import kerasvis as kv
from tests.marks import few

SHAPE = (10, 9, 3)
UNIT = kv.targets.Unit(1, 2, 3)


def images():
    return np.random.default_rng(0).normal(size=(2, *SHAPE)).astype("float32")


def smooth(activation="silu"):
    """A smooth activation, a gate and a normalization."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(4, 3, activation=activation, name="fused")(inputs)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(4, 1, activation="sigmoid", name="gate")(gate)
    x = layers.Multiply(name="gated")([gate, x])
    x = layers.LayerNormalization(name="norm")(x)
    x = layers.Activation(activation, name="alone")(x)
    return keras.Model(inputs, layers.Conv2D(2, 2, name="top")(x))


def taped(model, *, guided=False):
    """Gradient times activation of the unit; of a copy whose activations are guided."""
    if guided:
        model = keras.models.clone_model(model, clone_function=_guided)
    pixels = tf.constant(images())
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        activation = model(pixels)[:, 2, 3, 1]
    gradient = tape.gradient(activation, pixels)
    return (gradient * activation[:, None, None, None]).numpy()


def _guided(layer):
    copy = type(layer).from_config(layer.get_config())
    function = getattr(copy, "activation", keras.activations.linear)
    if function is not keras.activations.linear:

        @tf.custom_gradient
        def derived(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                values = function(x)
            slope = tape.gradient(values, x)
            return values, lambda signal: tf.nn.relu(signal) * slope

        copy.activation = derived
    return copy


RULES = [(), "relaxed", [(keras.activations.silu, kv.rules.Rectification)]]


@pytest.mark.parametrize("rules", RULES, ids=lambda rules: str(rules)[:12].strip("[(<"))
def test_gradient_is_the_true_derivative(rules):
    model = smooth()
    expected = taped(model)
    actual = kv.DeconvModel(model, "top", "gradient", rules).project(images(), UNIT)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    "activation", few(["silu", "gelu", "elu", "tanh", "leaky_relu", "relu"], 3)
)
def test_guided_is_the_true_derivative_where_the_signal_is_positive(activation):
    model = smooth(activation)
    copy = keras.models.clone_model(model, clone_function=_guided)
    copy.set_weights(model.get_weights())
    pixels = tf.constant(images())
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        value = copy(pixels)[:, 2, 3, 1]
    expected = (tape.gradient(value, pixels, value)).numpy()
    actual = kv.DeconvModel(model, "top", "guided", "relaxed").project(images(), UNIT)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_the_three_rectifications_differ():
    model = smooth()
    found = [
        kv.DeconvModel(model, "top", name, "relaxed").project(images(), UNIT).ravel()
        for name in ("deconvnet", "guided", "gradient")
    ]
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        cosine = found[i] @ found[j] / np.linalg.norm(found[i]) / np.linalg.norm(found[j])
        assert cosine < 0.99


def gated(gate_first, size, gate_of_maps=True, activation="sigmoid"):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((*size, 3))
    maps = layers.Conv2D(4, 1, name="maps")(inputs)
    source = maps if gate_of_maps else inputs
    gate = layers.GlobalAveragePooling2D(keepdims=True)(source)
    gate = layers.Conv2D(4, 1, activation=activation, name="gate")(gate)
    pair = [gate, maps] if gate_first else [maps, gate]
    return keras.Model(inputs, layers.Multiply(name="product")(pair))


@pytest.mark.parametrize("gate_of_maps", [True, False])
@pytest.mark.parametrize("size", few([(1, 1), (1, 5), (4, 1), (6, 5)], 2))
def test_a_gate_is_held_constant_in_every_order_and_shape(size, gate_of_maps):
    pixels = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
    found = []
    for gate_first in (True, False):
        model = gated(gate_first, size, gate_of_maps)
        deconv = kv.DeconvModel(model, "product", rules="relaxed")
        assert "gate (Conv2D)" not in str(deconv.plan)
        found.append(deconv.project(pixels, kv.targets.Unit(1, 0, 0)))
        extracted = kv.feature_extractor(model, ["maps", "product"])(pixels)
        maps, product = (np.asarray(x)[:, 0, 0, 1] for x in extracted)
        kernel = np.asarray(model.get_layer("maps").kernel)[0, 0, :, 1]
        expected = (product**2 / maps)[:, None] * kernel
        np.testing.assert_allclose(found[-1][:, 0, 0], expected, rtol=1e-4)
    np.testing.assert_array_equal(*found)


def test_a_product_without_a_gate_passes_both_shares():
    keras.utils.set_random_seed(1)
    inputs = keras.Input(SHAPE)
    pair = [layers.Conv2D(4, 1, name=name)(inputs) for name in ("left", "right")]
    model = keras.Model(inputs, layers.Multiply(name="product")(pair))
    unit = kv.targets.Unit(1, 2, 3)
    relaxed = kv.DeconvModel(model, "product", rules="relaxed").project(images(), unit)
    gradient = kv.DeconvModel(model, "product", "gradient").project(images(), unit)
    np.testing.assert_allclose(relaxed, gradient, rtol=1e-5, atol=1e-7)


def test_attention_is_held_constant():
    keras.utils.set_random_seed(1)
    inputs = keras.Input(SHAPE)
    x = layers.Reshape((90, 3))(inputs)
    attention = layers.MultiHeadAttention(2, 4, name="attention")
    x = layers.Reshape((10, 9, 3))(attention(x, x))
    model = keras.Model(inputs, layers.Conv2D(2, 1, name="top")(x))
    with pytest.raises(ValueError, match=r"MultiHeadAttention \(attention\)"):
        kv.DeconvModel(model, "top")
    pixels = tf.constant(images())
    tokens = tf.reshape(pixels, (2, 90, 3))
    with tf.GradientTape() as tape:
        tape.watch(tokens)
        held = tf.stop_gradient(tokens)
        maps = tf.reshape(attention(held, tokens, held), (2, 10, 9, 3))
        value = model.get_layer("top")(maps)[:, 2, 3, 1]
    expected = tape.gradient(value, tokens, value).numpy().reshape(2, *SHAPE)
    actual = kv.DeconvModel(model, "top", rules="relaxed").project(images(), UNIT)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
