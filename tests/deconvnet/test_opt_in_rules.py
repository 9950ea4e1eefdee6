"""Nets beyond the paper's rules, with the rules that their user opts into."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasvis as kv
from tests.marks import slow


def images(size=64):
    return np.random.default_rng(0).uniform(0, 255, (1, size, size, 3)).astype("float32")


def efficientnet():
    return keras.applications.EfficientNetB0(
        weights=None, include_top=False, input_shape=(64, 64, 3)
    )


def convnext():
    return keras.applications.ConvNeXtTiny(weights=None, include_top=False, input_shape=(64, 64, 3))


@pytest.mark.parametrize(
    ("net", "layer", "refused"),
    [
        slow(efficientnet, "block2b_add", "product of several signals"),
        slow(convnext, "convnext_tiny_stage_1_block_0_identity", "LayerNormalization"),
    ],
)
def test_a_net_is_refused_without_its_rules_and_projected_with_them(net, layer, refused):
    model = net()
    with pytest.raises(ValueError, match=refused):
        kv.DeconvModel(model, layer)
    deconv = kv.DeconvModel(model, layer, rules="relaxed")
    projection = deconv.project(images(), kv.targets.Strongest(3))
    assert projection.shape == (1, 64, 64, 3)
    assert np.isfinite(projection).all()
    assert projection.any()


def test_efficientnet_is_the_gradient_with_gates_held_and_smooth_activations_as_relus(monkeypatch):
    """The same net, with `silu` and the gates' products given these gradients by TensorFlow."""
    keras.utils.set_random_seed(0)
    model = efficientnet()
    layer = "block2b_add"
    deconv = kv.DeconvModel(model, layer, rules="relaxed")
    unit = kv.targets.Unit(3, 5, 9)
    actual = deconv.project(images(), unit)

    @tf.custom_gradient
    def silu(x):
        return tf.nn.silu(x), tf.nn.relu

    def product(_, inputs):
        gate, maps = sorted(inputs, key=lambda x: x.shape[1])
        return maps * tf.stop_gradient(gate)

    for inner in model.layers:
        if getattr(inner, "activation", None) is keras.activations.silu:
            monkeypatch.setattr(inner, "activation", silu)
    monkeypatch.setattr(keras.layers.Multiply, "call", product)
    maps = keras.Model(model.inputs, model.get_layer(layer).output)
    pixels = tf.constant(images())
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        activation = maps(pixels, training=False)[:, 5, 9, 3]
    expected = (tape.gradient(activation, pixels) * activation).numpy()
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
