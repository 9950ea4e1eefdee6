"""What a refusal tells its reader to do is done, as it stands in the message, and works."""

import re

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasvis
from kerasvis.commands.command_line import run
from kerasvis.deconvnet.targets import Strongest, Unit
from tests.marks import few

SHAPE = (14, 12, 3)


def gated():
    """A gate, a smooth activation and a normalization, none of which the paper has."""
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(4, 3, activation="silu", name="conv")(inputs)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(4, 1, activation="sigmoid", name="gate")(gate)
    x = layers.LayerNormalization()(layers.Multiply(name="gated")([x, gate]))
    x = layers.Conv2D(4, 1, activation="tanh", name="top")(x)
    return keras.Model(inputs, layers.Dense(3, name="scores")(layers.Flatten()(x)))


def plain():
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(4, 3, activation="relu", name="conv1")(inputs)
    x = layers.Conv2D(5, 3, activation="relu", name="conv2")(layers.MaxPooling2D()(x))
    return keras.Model(inputs, layers.Dense(3, name="scores")(layers.Flatten()(x)))


def open_sizes():
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="conv")(inputs)
    return keras.Model(inputs, layers.Dense(3, name="scores")(layers.GlobalMaxPooling2D()(x)))


def image_and_numbers():
    images, numbers = keras.Input(SHAPE, name="images"), keras.Input((2,), name="numbers")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="conv")(images))
    return keras.Model(
        [images, numbers], layers.Dense(3, name="scores")(layers.Concatenate()([x, numbers]))
    )


def two_images():
    """A siamese net: the second image is compared with."""
    pair = [keras.Input(SHAPE, name=name) for name in ("left", "right")]
    tower = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(4, 3, name="conv")], name="tower")
    x = layers.Subtract(name="difference")([tower(image) for image in pair])
    return keras.Model(pair, layers.Dense(2, name="scores")(layers.Flatten()(x)))


def two_outputs():
    inputs = keras.Input(SHAPE)
    x = layers.Flatten()(layers.Conv2D(4, 3, name="conv")(inputs))
    return keras.Model(inputs, {name: layers.Dense(2, name=name)(x) for name in ("kind", "colour")})


def integers():
    """Whose last layer counts, and has no derivative."""
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    return keras.Model(inputs, layers.Lambda(ops.round, name="rounded")(x))


class Halves(layers.Layer):
    """A layer of two outputs."""

    def call(self, x):
        return tuple(ops.split(x, 2, axis=-1))


def splitting():
    """Both halves are used."""
    inputs = keras.Input(SHAPE)
    left, right = Halves(name="halves")(layers.Conv2D(4, 3, name="conv")(inputs))
    return keras.Model(inputs, layers.Conv2D(2, 1, name="top")(right - left))


def first_alone(layer, signal, record):
    """A rule that knows one output."""
    return ops.concatenate([signal, signal], axis=-1)


def unbuilt():
    return keras.Sequential([layers.Conv2D(4, 3, name="conv"), layers.Flatten(), layers.Dense(2)])


def nested():
    inner = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(4, 3, name="conv")], name="inner")
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, layers.Conv2D(2, 1, name="top")(inner(inputs)))


def images(number=2):
    return np.random.default_rng(0).normal(size=(number, *SHAPE)).astype("float32")


NAMES = {
    "kerasvis": kerasvis,
    "Strongest": Strongest,
    "Unit": Unit,
    "SHAPE": SHAPE,
    **{
        build.__name__: build
        for build in (
            *(gated, plain, open_sizes, image_and_numbers, two_images, two_outputs, integers),
            *(splitting, unbuilt, nested, Halves, first_alone),
        )
    },
}
PROJECT = "kerasvis.DeconvModel({model}, {layer!r}{code}).project(images, Unit(1, 2, 3))"


def projecting(model, layer, pattern, working=None):
    """`(what is refused, what the message says, what is done then)`."""
    plain = PROJECT.format(model=model, layer=layer, code="")
    return plain, pattern, working or PROJECT.format(model=model, layer=layer, code=", {0}")


# By name: code that is refused; a pattern that finds the remedy in the message; and the code that
# follows it, in which `{0}`, `{1}` are what the pattern found.
REMEDIES = {
    "gates, smooth activations": projecting("gated()", "top", r"Give (rules='\w+')"),
    "scores above a gate": projecting(
        "gated()",
        "scores",
        r"Give (rules='\w+')",
        "kerasvis.DeconvModel(gated(), 'scores', {0}).project(images, Unit(1))",
    ),
    "by attribute": (
        "kerasvis.attribute(gated(), 'top', images, Unit(1, 2, 3), 'deconvnet')",
        r"Give (rules='\w+')",
        "kerasvis.attribute(gated(), 'top', images, Unit(1, 2, 3), 'deconvnet', {0})",
    ),
    "rules of another name": (
        "kerasvis.DeconvModel(gated(), 'top', rules='loose')",
        r"give ('\w+')",
        "kerasvis.DeconvModel(gated(), 'top', rules={0})",
    ),
    "another rectification": (
        "kerasvis.DeconvModel(plain(), 'conv2', 'rectified')",
        r"Give one of ('\w+'), ('\w+'), ('\w+')",
        "[kerasvis.DeconvModel(plain(), 'conv2', name) for name in ({0}, {1}, {2})]",
    ),
    "another start": (
        "kerasvis.DeconvModel(plain(), 'conv2', starts_at=1)",
        r"Give ('\w+') or ('\w+')",
        "[kerasvis.DeconvModel(plain(), 'conv2', starts_at=x) for x in ({0}, {1})]",
    ),
    "a layer of a similar name": (
        "kerasvis.DeconvModel(plain(), 'conv_2')",
        r"did you mean (\w+)",
        "kerasvis.DeconvModel(plain(), '{0}')",
    ),
    "a layer inside a nested model": (
        "kerasvis.DeconvModel(nested(), 'conv')",
        r"did you mean ([\w/]+)",
        "kerasvis.DeconvModel(nested(), '{0}')",
    ),
    "two inputs": (
        "kerasvis.DeconvModel(image_and_numbers(), 'scores')",
        r"(model = kerasvis\.image_model\(.*?\))\.",
        "model, name, value = image_and_numbers(), 'numbers', [0.5, 1]; {0};"
        " kerasvis.DeconvModel(model, 'scores').project(images, Unit(1))",
    ),
    "two inputs of images": (
        "kerasvis.DeconvModel(two_images(), 'scores')",
        r"(model = kerasvis\.image_model\(.*?\))\.",
        "model, name, value = two_images(), 'right', images[0]; {0};"
        " kerasvis.DeconvModel(model, 'scores').project(images, Unit(1))",
    ),
    "a value for an input": (
        "kerasvis.image_model(image_and_numbers())",
        r"give a value to hold, (fixed=\{.*?\})",
        "kerasvis.image_model(image_and_numbers(), {0})",
    ),
    "which of two images": (
        "kerasvis.image_model(two_images())",
        r"(input='name')",
        "kerasvis.image_model(two_images(), {0}, fixed={{'right': images[0]}})",
    ),
    "which of two outputs": (
        "kerasvis.occlusion_sensitivity(two_outputs(), pixels, class_index=0, patch_size=7)",
        r"(output='name')",
        "model = kerasvis.image_model(two_outputs(), {0});"
        " kerasvis.occlusion_sensitivity(model, pixels, class_index=0, patch_size=7)",
    ),
    "what counts has no derivative": (
        "kerasvis.DeconvModel(integers(), 'rounded', rules='relaxed').project("
        "images, Unit(1, 2, 3))",
        r"give a target (below it)",
        "kerasvis.DeconvModel(integers(), 'conv').project(images, Unit(1, 2, 3))  # {0}",
    ),
    "a rule for one of several outputs": (
        "kerasvis.DeconvModel(splitting(), 'top', rules=[(Halves, first_alone)])",
        r"(kerasvis\.rules\.Derivative) as its rule",
        "kerasvis.DeconvModel(splitting(), 'top', rules=[(Halves, {0})]).project("
        "images, Unit(1, 2, 3))",
    ),
    "a size for open sizes": (
        "kerasvis.receptive_field(open_sizes(), 'conv')",
        r"give (image_size=\(height, width\))",
        "height, width = 20, 30; kerasvis.receptive_field(open_sizes(), 'conv', {0})",
    ),
    "a model that is not built": (
        "kerasvis.DeconvModel(unbuilt(), 'conv')",
        r"(model\.build\(.*?\)\))",
        "model, (height, width, channels) = unbuilt(), SHAPE; {0};"
        " kerasvis.DeconvModel(model, 'conv')",
    ),
    "a unit without a position": (
        "kerasvis.DeconvModel(plain(), 'conv2').project(images, Unit(1))",
        r"give (Unit\(feature, row, column\)), or (Strongest\(feature\))",
        "feature, row, column = 1, 2, 2; deconv = kerasvis.DeconvModel(plain(), 'conv2');"
        " deconv.project(images, {0}); deconv.project(images, {1})",
    ),
    "a position of a dense unit": (
        "kerasvis.DeconvModel(plain(), 'scores').project(images, Unit(1, 2, 3))",
        r"give (Unit\(feature\))",
        "feature = 1; kerasvis.DeconvModel(plain(), 'scores').project(images, {0})",
    ),
    "no target": (
        "kerasvis.DeconvModel(plain(), 'conv2').project(images, 4)",
        r"Give (kerasvis\.targets\.Unit\(feature, row, column\))",
        "feature, row, column = 1, 2, 2;"
        " kerasvis.DeconvModel(plain(), 'conv2').project(images, {0})",
    ),
    "a feature that does not exist": (
        "kerasvis.DeconvModel(plain(), 'conv2').project(images, Strongest(5))",
        r"give 0 to (\d+)\.",
        "kerasvis.DeconvModel(plain(), 'conv2').project(images, Strongest({0}))",
    ),
    "a single image": (
        "image = images[0]; kerasvis.DeconvModel(plain(), 'conv2').project(image, Strongest(1))",
        r"a batch of one, (image\[None\])",
        "image = images[0]; kerasvis.DeconvModel(plain(), 'conv2').project({0}, Strongest(1))",
    ),
    "a first layer that is not the first": (
        "kerasvis.diagnose_filters(plain(), many, first_layer='conv2', preprocessing='raw')",
        r"give ('\w+') as the first layer",
        "kerasvis.diagnose_filters(plain(), many, first_layer={0}, preprocessing='raw', verbose=0)",
    ),
}


@pytest.mark.parametrize("name", few(REMEDIES, 8))
def test_remedy(name):
    refused, pattern, working = REMEDIES[name]
    pixels = np.random.default_rng(0).uniform(0, 255, (50, *SHAPE)).astype("float32")
    names = {**NAMES, "images": images(), "pixels": pixels[0], "many": pixels}
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the pattern is the test
        exec(refused, names)
    found = re.search(pattern, str(refusal.value))
    assert found, str(refusal.value)
    exec(with_names_of_the_models(working.format(*found.groups())), names)


def with_names_of_the_models(code):
    """The code with the models' own names and a value, where the message leaves them open."""
    code = code.replace("input='name'", "input='left'").replace("output='name'", "output='kind'")
    return code.replace("...", "[0.5, 1]")


def test_the_remedy_for_the_command(tmp_path, capsys):
    keras.utils.set_random_seed(0)
    gated().save(tmp_path / "gated.keras")
    command = ["export", "--model", str(tmp_path / "gated.keras"), "--layer", "top"]
    command += ["--out", str(tmp_path / "served")]
    with pytest.raises(SystemExit) as refusal:
        run(command)
    sentence = str(refusal.value) + "".join(capsys.readouterr())
    options = re.search(r"in a command (--rules \w+)", sentence)
    assert options, sentence
    run([*command, *options[1].split()])
    assert (tmp_path / "served").is_dir()
