"""Planning: what is printed, and what is refused before anything runs."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasvis as kv


def chain(*stack, shape=(12, 10, 3)):
    return keras.Sequential([keras.Input(shape), *stack])


def test_plan_reads_like_figure_1():
    model = chain(
        layers.Conv2D(4, 3, activation="relu", name="conv1"),
        layers.MaxPooling2D(name="pool1"),
        layers.BatchNormalization(name="norm1"),
        layers.Conv2D(5, (1, 2), name="conv2"),
        layers.ReLU(name="relu2"),
    )
    assert str(kv.DeconvModel(model, "relu2").plan) == "\n".join(
        [
            "deconvnet of layer 'relu2' (5×3×5), rectification 'deconvnet'",
            "  relu2 (ReLU): rectify → 5×3×5",
            "  conv2 (Conv2D): filter 1×2 → 5×4×4",
            "  norm1 (BatchNormalization): scale → 5×4×4",
            "  pool1 (MaxPooling2D): unpool 2×2 → 10×8×4",
            "  conv1 (Conv2D): rectify · filter 3×3 → 12×10×3",
        ]
    )


def test_branches_in_the_plan():
    inputs = keras.Input((6, 6, 3))
    left = layers.Conv2D(4, 1, name="left")(inputs)
    joined = layers.Concatenate(name="join")([left, inputs])
    plan = kv.DeconvModel(keras.Model(inputs, joined), "join").plan
    assert str(plan).splitlines()[1:] == [
        "  join (Concatenate): split → 6×6×4, 6×6×3",
        "  left (Conv2D): filter 1×1 → 6×6×3",
    ]


def test_tensors_added_by_an_operator():
    inputs = keras.Input((6, 6, 3))
    convolution = layers.Conv2D(3, 1, name="conv")
    model = keras.Model(inputs, inputs + convolution(inputs) + 1.0)
    top = kv.graph.read_graph(model).nodes[-1].name
    steps = str(kv.DeconvModel(model, top).plan).splitlines()[1:]
    assert [step.partition("(")[2] for step in steps] == [
        "Add): split → 6×6×3",
        "Add): split → 6×6×3, 6×6×3",
        "Conv2D): filter 1×1 → 6×6×3",
    ]


@pytest.mark.parametrize("rectification", ["guided", "gradient"])
def test_other_rectifications_in_the_plan(rectification):
    model = chain(layers.Conv2D(4, 3, activation="relu", name="conv1"))
    verb = {"guided": "guide", "gradient": "gate"}[rectification]
    plan = kv.DeconvModel(model, "conv1", rectification=rectification).plan
    assert f"conv1 (Conv2D): {verb} · filter 3×3" in str(plan)


def test_softmax_at_the_target_is_left_out():
    top = (layers.Flatten(), layers.Dense(3, activation="softmax", name="classes"))
    plan = kv.DeconvModel(chain(*top), "classes").plan
    assert str(plan).startswith("deconvnet of layer 'classes' before its activation (3), ")
    of_its_own = (layers.Flatten(), layers.Dense(3, name="scores"), layers.Softmax(name="classes"))
    plan = kv.DeconvModel(chain(*of_its_own), "classes").plan
    assert "classes" not in str(plan).partition("\n")[2]


def refusal(model, layer, **options):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        kv.DeconvModel(model, layer, **options)
    return str(error.value)


def test_layer_without_a_rule():
    model = chain(layers.LayerNormalization(name="norm"), layers.Conv2D(2, 1, name="conv"))
    assert refusal(model, "conv") == (
        "Layer 'norm' (LayerNormalization) cannot be projected through, as there is no rule for "
        "it: pass rules=[('LayerNormalization', rule)], where rule(layer, signal, record) returns "
        "the projected signal, or kerasvis.rules.PassUnchanged to pass the signal unchanged."
    )
    remedy = [("LayerNormalization", kv.rules.PassUnchanged)]
    assert "norm (LayerNormalization): pass" in str(
        kv.DeconvModel(model, "conv", rules=remedy).plan
    )


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (layers.Conv2D(2, 1, activation="tanh", name="bent"), "the activation 'tanh'"),
        (layers.Activation("gelu", name="bent"), "the activation 'gelu'"),
        (layers.Activation("sigmoid", name="bent"), "the activation 'sigmoid'"),
        (layers.ReLU(negative_slope=0.1, name="bent"), "a ReLU with a slope or threshold"),
        (layers.ReLU(threshold=1.0, name="bent"), "a ReLU with a slope or threshold"),
    ],
)
def test_activation_below_the_target_that_is_no_relu(layer, named):
    layer = type(layer).from_config(layer.get_config())
    sentence = refusal(chain(layer, layers.Conv2D(2, 1, name="conv")), "conv")
    assert sentence.startswith(
        f"Layer 'bent' has {named}, which is not a ReLU, so the deconvnet has"
    )
    assert "kerasvis.rules.Rectification" in sentence


def test_leaky_relu_is_refused_and_can_be_treated_as_a_relu():
    model = chain(layers.LeakyReLU(name="leaky"), layers.Conv2D(2, 1, name="conv"))
    assert "Layer 'leaky' (LeakyReLU) cannot be projected through" in refusal(model, "conv")
    rules = [(layers.LeakyReLU, kv.rules.Rectification)]
    assert "leaky (LeakyReLU): rectify" in str(kv.DeconvModel(model, "conv", rules=rules).plan)


def gated():
    inputs = keras.Input((6, 5, 3))
    maps = layers.Conv2D(4, 3, name="conv")(inputs)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(maps)
    gate = layers.Conv2D(4, 1, activation="sigmoid", name="gate")(gate)
    return keras.Model(inputs, layers.Multiply(name="product")([maps, gate]))


def test_product_of_two_signals():
    assert refusal(gated(), "product") == (
        "Layer 'product' multiplies 2 tensors that depend on the image, so the signal cannot be "
        "divided among them: pass rules=[(keras.layers.Multiply, kerasvis.rules.GateAsConstant)] "
        "to hold the smaller one (a gate) constant, or a rule of your own."
    )


def test_gate_as_constant():
    model = gated()
    deconv = kv.DeconvModel(model, "product", rules=[(layers.Multiply, kv.rules.GateAsConstant)])
    assert "gate (Conv2D)" not in str(deconv.plan)
    images = np.random.default_rng(0).normal(size=(2, 6, 5, 3)).astype("float32")
    maps = np.asarray(kv.feature_extractor(model, ["conv"])(images)[0])
    product = np.asarray(model(images))
    whole = kv.DeconvModel(model, "conv").project(images, kv.targets.Unit(1, 2, 1))
    gate = (product / maps)[:, 2, 1, 1]
    expected = whole * gate[:, None, None, None] ** 2  # once in the activation, once on the way
    actual = deconv.project(images, kv.targets.Unit(1, 2, 1))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)


def test_unknown_rectification():
    model = chain(layers.Conv2D(2, 1, name="conv"))
    sentence = refusal(model, "conv", rectification="relu")
    assert sentence.startswith("Give one of 'deconvnet', 'guided', 'gradient'.")
    assert sentence.endswith("Received: rectification='relu'")


def test_rule_that_is_none():
    model = chain(layers.Conv2D(2, 1, name="conv"))
    sentence = refusal(model, "conv", rules=[layers.Conv2D])
    assert "as pairs (key, rule)" in sentence
    assert "Received: rules=" in sentence


def test_unknown_layer():
    model = chain(layers.Conv2D(2, 1, name="conv_up"))
    assert "has no layer 'conv_pu': did you mean conv_up?" in refusal(model, "conv_pu")


def test_layer_of_three_axes():
    model = chain(layers.Reshape((-1, 3), name="cells"))
    assert refusal(model, "cells").startswith("Layer 'cells' returns tensors of shape (None, 120")


def test_channels_first():
    inputs = keras.Input((3, 8, 8))
    outputs = layers.Conv2D(2, 1, data_format="channels_first", name="conv")(inputs)
    assert "is channels-first" in refusal(keras.Model(inputs, outputs), "conv")


def test_user_rule_for_a_layer_of_his_own():
    class Doubled(layers.Layer):
        def call(self, inputs):
            return 2.0 * inputs

    def twice(layer, signal, record):
        assert isinstance(layer, Doubled)
        assert record.inputs[0].shape == signal.shape
        return 2.0 * signal

    model = chain(Doubled(name="doubled"), layers.Conv2D(2, 3, name="conv"))
    assert "(Doubled) cannot be projected through" in refusal(model, "conv")
    deconv = kv.DeconvModel(model, "conv", rules=[(Doubled, twice)])
    assert "doubled (Doubled): twice" in str(deconv.plan)
    images = np.random.default_rng(0).normal(size=(1, 12, 10, 3)).astype("float32")
    unit = kv.targets.Unit(1, 4, 5)
    without = chain(model.get_layer("conv"))  # shares the weights
    expected = kv.DeconvModel(without, "conv").project(2 * images, unit)
    np.testing.assert_allclose(deconv.project(images, unit), 2 * expected, rtol=1e-6)
