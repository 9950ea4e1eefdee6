import re

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasvis as kv
from kerasvis.commands.command_line import run
from kerasvis.commands.info import layers_of
from kerasvis.commands.options import InputOptions

SIZE = (17, 20, 3)


def gated():
    """Branches, a gate, a smooth activation above it, and scores."""
    image = keras.Input(SIZE)
    x = layers.Conv2D(4, 3, activation="relu", padding="same", name="conv1")(image)
    gate = layers.Conv2D(4, 1, activation="sigmoid", name="gate")(layers.AveragePooling2D(2)(x))
    pooled = layers.MaxPooling2D(2, name="pool1")(x)
    x = layers.Multiply(name="gated")([pooled, gate])
    side = layers.Conv2D(4, 3, strides=2, activation="relu", name="side")(pooled)
    x = layers.Conv2D(4, 3, strides=2, activation="silu", name="conv2")(x)
    x = layers.Add(name="joined")([x, side])
    x = layers.LayerNormalization(name="norm")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(3, activation="softmax", name="scores")(x), name="gated")


def plain(last_activation="relu", units=2):
    return keras.Sequential(
        [
            keras.Input(SIZE),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 5, strides=2, activation="relu", name="conv1"),
            layers.MaxPooling2D(3, 2, name="pool1"),
            layers.Conv2D(4, 3, activation=last_activation, name="conv2"),
            layers.Flatten(),
            layers.Dense(units, name="scores"),
            layers.Activation("sigmoid" if units == 1 else "softmax", name="probabilities"),
        ],
        name="plain",
    )


def with_constant():
    image = keras.Input(SIZE)
    x = layers.Conv2D(4, 3, activation="relu", name="conv1")(image)
    return keras.Model(image, [x, layers.Conv2D(2, 1, name="conv2")(ops.tanh(x))], name="two")


MODELS = {
    "gated": (gated, None),
    "gated, relaxed": (gated, "relaxed"),
    "plain": (plain, None),
    "tanh": (lambda: plain("tanh"), None),
    "elu": (lambda: plain("elu"), "relaxed"),
    "operations": (with_constant, None),
}


@pytest.mark.parametrize("case", MODELS)
def test_layers_are_told_as_they_are(case):
    """What can be projected is what `DeconvModel` takes; receptive fields are the package's own."""
    build, rules = MODELS[case]
    model = build()
    opened = InputOptions(rules=rules).opened(model)
    found = layers_of(opened)
    assert [layer.name for layer in found] == [
        node.name for node in kv.graph.read_graph(model).nodes
    ]
    for layer in found:
        try:
            kv.DeconvModel(model, layer.name, rules=opened.rules)
            why_not = None
        except ValueError as error:
            why_not = str(error)
        assert (layer.why_not is None) == (why_not is None), layer
        if why_not is not None:
            assert layer.why_not.rpartition("Give ")[2] in why_not
        if len(layer.shape) == 3:
            field = kv.receptive_field(model, layer.name)
            size = "×".join(map(str, field.size))
            expected = "the image" if field.is_whole_image else size
            assert layer.receptive_field.partition(",")[0] == expected


@pytest.fixture
def told(tmp_path, capsys):
    """Runs the command on a model; returns what it prints."""

    def told(model, *arguments, name="model.keras"):
        model.save(tmp_path / name)
        run(["info", "--model", str(tmp_path / name), *arguments])
        printed, errors = capsys.readouterr()
        assert errors == ""
        return printed

    return told


def test_a_model_is_told_as_a_whole(told, tmp_path):
    printed = told(plain())
    lines = printed.splitlines()
    assert lines[0] == f"model    plain, {plain().count_params():,} parameters"
    assert lines[2].startswith("images   17×20 pixels, pixels in [0, 255] (assumed: ")
    assert lines[4] == "scores   2 classes: the model's own probabilities"
    assert re.search(r"conv1 +Conv2D +7×8×4 +5×5, every 2×2 +yes\n", printed)
    given = f"--model {tmp_path / 'model.keras'} --images"
    assert f"  kerasvis features {given} PHOTOGRAPHS --layers conv1 conv2\n" in printed
    assert f"  kerasvis occlusion {given} photograph.jpg\n" in printed
    assert "Cannot" not in printed


def test_commands_can_be_pasted_whatever_the_files_are_called(told, tmp_path):
    printed = told(plain(), name="my model.keras")
    assert f"  kerasvis occlusion --model '{tmp_path / 'my model.keras'}' --images" in printed


def test_what_is_stated_is_told(told):
    printed = told(plain(units=1), "--preprocessing", "unit")
    assert "pixels scaled to [0, 1] (as stated)" in printed
    assert "2 classes: the model's own probability of class 1, the rest is class 0" in printed
    assert "--preprocessing unit --images PHOTOGRAPHS" in printed


def test_what_cannot_be_projected_is_told_once_with_the_remedy(told):
    printed = told(gated())
    assert printed.count("a product of several signals") == 1
    assert "--rules relaxed" in printed.partition("To run next:")[2]
    assert "Cannot be projected" not in told(gated(), "--rules", "relaxed")


def test_several_outputs(told):
    printed = told(with_constant())
    assert "scores   none: The model 'two' has 2 outputs" in printed
    assert "kerasvis occlusion" not in printed


def test_a_known_model(capsys):
    run(["info", "--model", "MobileNet", "--weights", "random", "--image-size", "64", "64"])
    printed = capsys.readouterr().out
    assert "64×64 pixels, pixels scaled to [-1, 1] (known for this model)" in printed
    assert "conv_pw_13_relu" in printed


def test_a_model_of_any_size(told, sentence_of):
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(2, 3, name="conv")])
    assert "7×7×2" in told(model, "--image-size", "9", "9")
    assert "give --image-size HEIGHT WIDTH" in sentence_of(told)(model)


def test_several_inputs(told, sentence_of, tmp_path):
    image, age = keras.Input((8, 8, 3), name="image"), keras.Input((2,), name="age")
    x = layers.Flatten()(layers.Conv2D(2, 3, activation="relu", name="conv")(image))
    model = keras.Model([image, age], layers.Dense(2)(layers.Concatenate()([x, age])))
    assert "'age'" in sentence_of(told)(model)
    np.save(tmp_path / "ages.npy", np.array([3, 40.0]))
    for fixed in ("age=3,40", f"age={tmp_path / 'ages.npy'}", "age=5"):
        printed = told(model, "--fixed", fixed)
        assert "conv" in printed
        assert f"--fixed {fixed} --images PHOTOGRAPHS" in printed
    assert "Received: --fixed=age=x" in sentence_of(told)(model, "--fixed", "age=x")
    assert "--fixed takes name=value" in sentence_of(told)(model, "--fixed", "5")
