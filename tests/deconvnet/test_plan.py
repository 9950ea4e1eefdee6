"""Planning: what is printed, and what is refused before anything runs."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasvis as kv
from tests.marks import slow


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
    assert "LayerNormalization (norm)" in refusal(model, "conv")
    for remedy in ([("LayerNormalization", kv.rules.PassUnchanged)], "relaxed"):
        plan = str(kv.DeconvModel(model, "conv", rules=remedy).plan)
        assert "norm (LayerNormalization): pass" in plan


def test_a_refusal_lists_all_layers_by_kind():
    model = chain(
        layers.Conv2D(4, 1, activation="silu", name="a"),
        layers.Activation("silu", name="b"),
        layers.LayerNormalization(name="c"),
        layers.Conv2D(4, 1, activation="gelu", name="d"),
        layers.Conv2D(2, 1, name="top"),
    )
    sentence = refusal(model, "top")
    for fact in ("'top'", "'silu' (b, a)", "'gelu' (d)", "LayerNormalization (c)"):
        assert fact in sentence
    assert "rules='relaxed'" in sentence
    assert "--rules relaxed" in sentence
    assert sentence.endswith("Received: rules=()")


def test_the_plan_states_the_departures_of_relaxed_rules():
    model = chain(
        layers.Conv2D(4, 1, activation="silu", name="a"),
        layers.LayerNormalization(name="c"),
        layers.Conv2D(4, 1, activation="relu", name="d"),
        layers.Dense(2, activation="tanh", name="e"),
        layers.Conv2D(2, 1, name="top"),
    )
    lines = str(kv.DeconvModel(model, "top", rules="relaxed").plan).splitlines()
    departures = lines[lines.index("departures from the paper:") + 1 :]
    assert [line.rpartition(": ")[2] for line in departures] == ["e", "c", "a"]
    derived = kv.DeconvModel(model, "top", "gradient", "relaxed").plan
    assert "departures" not in str(derived)


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (layers.Conv2D(2, 1, activation="tanh", name="bent"), "the activation 'tanh'"),
        (layers.Activation("gelu", name="bent"), "the activation 'gelu'"),
        (layers.Activation("sigmoid", name="bent"), "the activation 'sigmoid'"),
        (layers.ReLU(negative_slope=0.1, name="bent"), "the activation 'leaky_relu'"),
        (layers.ReLU(threshold=1.0, name="bent"), "the activation 'ReLU'"),
        (layers.LeakyReLU(name="bent"), "the activation 'leaky_relu'"),
        (layers.PReLU(name="bent"), "the activation 'PReLU'"),
    ],
)
def test_activation_below_the_target_that_is_no_relu(layer, named):
    layer = type(layer).from_config(layer.get_config())
    sentence = refusal(chain(layer, layers.Conv2D(2, 1, name="conv")), "conv")
    assert f"{named} (bent)" in sentence


def test_leaky_relu_is_refused_and_can_be_treated_as_a_relu():
    model = chain(layers.LeakyReLU(name="leaky"), layers.Conv2D(2, 1, name="conv"))
    assert "'leaky_relu' (leaky)" in refusal(model, "conv")
    rules = [(layers.LeakyReLU, kv.rules.Rectification)]
    assert "leaky (LeakyReLU): rectify" in str(kv.DeconvModel(model, "conv", rules=rules).plan)


def gated():
    inputs = keras.Input((6, 5, 3))
    maps = layers.Conv2D(4, 3, name="conv")(inputs)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(maps)
    gate = layers.Conv2D(4, 1, activation="sigmoid", name="gate")(gate)
    return keras.Model(inputs, layers.Multiply(name="product")([maps, gate]))


def test_product_of_two_signals():
    sentence = refusal(gated(), "product")
    assert "a product of several signals (product)" in sentence
    assert "'sigmoid' (gate)" in sentence


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


@pytest.mark.parametrize("options", [{"rules": "relaxed"}, {"rectification": "gradient"}])
def test_a_layer_without_a_derivative(options):
    model = chain(layers.Conv2D(2, 1, name="conv"), layers.Lambda(keras.ops.round, name="count"))
    sentence = refusal(model, "count", **options)
    assert sentence.startswith("Layer 'count' (Lambda) has no derivative")
    assert "Exception encountered" not in sentence


def test_channels_first():
    inputs = keras.Input((3, 8, 8))
    outputs = layers.Conv2D(2, 1, data_format="channels_first", name="conv")(inputs)
    assert "is channels-first" in refusal(keras.Model(inputs, outputs), "conv")


def test_user_rule_for_a_layer_of_his_own():
    class Cubed(layers.Layer):
        def call(self, inputs):
            return keras.ops.roll(inputs**3, 1, axis=1)

    def twice(layer, signal, record):
        assert isinstance(layer, Cubed)
        assert record.inputs[0].shape == signal.shape
        return 2.0 * signal

    model = chain(Cubed(name="cubed"), layers.Conv2D(2, 3, name="conv"))
    assert "a layer Cubed (cubed)" in refusal(model, "conv")
    deconv = kv.DeconvModel(model, "conv", rules=[(Cubed, twice)])
    assert "cubed (Cubed): twice" in str(deconv.plan)
    images = np.random.default_rng(0).normal(size=(1, 12, 10, 3)).astype("float32")
    unit = kv.targets.Unit(1, 4, 5)
    without = chain(model.get_layer("conv"))  # shares the weights
    expected = kv.DeconvModel(without, "conv").project(np.roll(images**3, 1, 1), unit)
    np.testing.assert_allclose(deconv.project(images, unit), 2 * expected, rtol=1e-5)


@pytest.mark.parametrize(
    "rule",
    [
        lambda layer, signal, record: signal[:, 1:],
        lambda layer, signal, record: [signal, signal],
        slow(lambda layer, signal, record: []),
    ],
)
def test_a_rule_that_returns_something_else_than_signals_for_the_inputs(rule):
    model = chain(layers.LayerNormalization(name="norm"), layers.Conv2D(2, 1, name="conv"))
    images = np.ones((1, 12, 10, 3), "float32")
    deconv = kv.DeconvModel(model, "conv", rules=[(layers.LayerNormalization, rule)])
    with pytest.raises(ValueError, match=r"The rule '<lambda>' for layer 'norm'"):
        deconv.project(images, kv.targets.Unit(1, 2, 3))
