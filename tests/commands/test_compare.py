import json
import re

import keras
import numpy as np
import pytest
from PIL import Image

import kerasvis as kv
from kerasvis.analyses.maximization.activation_maximization import maximize_activation
from kerasvis.analyses.method_comparison import MethodComparison
from kerasvis.attributions import METHODS as KNOWN_METHODS
from kerasvis.attributions import attribute
from kerasvis.commands.command_line import run
from kerasvis.commands.method_names import METHODS
from kerasvis.data.photographs import read_photograph
from kerasvis.deconvnet.targets import Unit

SIZE = (20, 24)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models, class names, photographs."""
    folder = tmp_path_factory.mktemp("methods")
    keras.utils.set_random_seed(2)
    layers = keras.layers
    inputs = keras.Input((*SIZE, 3))
    x = layers.Rescaling(1 / 127.5, -1)(inputs)
    x = layers.Conv2D(5, 3, activation="relu", name="conv1")(x)
    maps = layers.Conv2D(6, 3, activation="relu", name="conv2")(layers.MaxPooling2D(2)(x))
    scores = layers.Dense(4, activation="softmax", name="classes")(layers.Flatten()(maps))
    keras.Model(inputs, scores).save(folder / "model.keras")
    keras.Model(inputs, maps, name="headless").save(folder / "headless.keras")
    tanh = layers.Dense(4)(
        layers.Flatten()(layers.Conv2D(5, 3, activation="tanh", name="c")(inputs))
    )
    keras.Model(inputs, tanh).save(folder / "tanh.keras")
    (folder / "classes.json").write_text(json.dumps(["tench", "shark", "hen", "cock"]))
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        pixels = rng.integers(0, 256, (30, 40, 3)).astype("uint8")
        Image.fromarray(pixels).save(folder / name)
    return folder


@pytest.fixture
def compare(folder, tmp_path):
    """Runs the command; returns the output folder."""

    def compare(*arguments, model="model.keras", images=("a.png",), out=tmp_path / "out"):
        given = ["--model", folder / model, "--images", *(folder / x for x in images)]
        given += ["--num-samples", "2", "--out", out, *arguments]
        run(["compare", *(str(argument) for argument in given)])
        return out

    return compare


@pytest.fixture
def mistake(compare, sentence_of):
    return sentence_of(compare)


def test_knows_the_methods_of_the_package():
    assert tuple(KNOWN_METHODS) == METHODS


def test_a_method_of_ones_own(compare, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_methods.py").write_text(
        "def darkness(model, layer, images, target):\n    return 255 - images\n"
    )
    out = compare("--methods", "my_methods:darkness", "deconvnet")
    found = MethodComparison.load(out / "methods.npz")
    assert list(found.maps) == ["darkness", "deconvnet"]
    np.testing.assert_array_equal(found.maps["darkness"], 255 - found.pixels.astype("float32"))


def test_the_class_that_the_model_gives_each_photograph(compare, folder, capsys):
    out = compare(images=("a.png", "b.png"))
    assert {path.name for path in out.glob("[!.]*")} == {"methods.png", "methods.npz"}
    found = MethodComparison.load(out / "methods.npz")
    assert tuple(found.maps) == METHODS[:-1]
    model = keras.models.load_model(folder / "model.keras")
    images = np.stack([read_photograph(folder / n, SIZE) for n in ("a.png", "b.png")])
    classes = model.predict(images.astype("float32"), verbose=0).argmax(1)
    assert found.feature_indices.tolist() == classes.tolist()
    expected = attribute(model, "classes", images, Unit(classes), "gradient")
    np.testing.assert_allclose(
        found.maps["gradient"], expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max()
    )
    printed = capsys.readouterr().out
    name = ["tench", "shark", "hen", "cock"][classes[0]]
    assert f"a: score of {name}, {found.activations[0]:.4g}" in printed
    with Image.open(out / "methods.png") as figure:
        assert min(figure.size) > 300


def test_a_class_by_name_and_options_of_methods(compare, folder):
    out = compare(
        *("--class", "hen", "--methods", "smoothgrad", "grad_cam", "--maps-layer", "conv1"),
        *("--noise-level", "0.4", "--seed", "3"),
    )
    found = MethodComparison.load(out / "methods.npz")
    assert found.feature_indices.tolist() == [2]
    model = keras.models.load_model(folder / "model.keras")
    image = read_photograph(folder / "a.png", SIZE)[None]
    options = {
        "smoothgrad": {"num_samples": 2, "noise_level": 0.4, "seed": 3},
        "grad_cam": {"maps_layer": "conv1"},
    }
    assert list(found.maps) == list(options)
    for method, own in options.items():
        expected = attribute(model, "classes", image, Unit(2), method, **own)
        np.testing.assert_allclose(
            found.maps[method], expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max()
        )


@pytest.mark.slow
def test_a_feature_map_and_the_image_that_its_unit_prefers(compare, folder, capsys):
    out = compare(
        *("--layer", "conv2", "--feature", "4", "--methods", "deconvnet"),
        *("--maximize", "--num-steps", "3", "--seed", "1"),
    )
    found = MethodComparison.load(out / "methods.npz")
    assert list(found.maps) == ["deconvnet", "activation_maximization"]
    model = keras.models.load_model(folder / "model.keras")
    image = read_photograph(folder / "a.png", SIZE)[None]
    _, positions = kv.DeconvModel(model, "conv2").locate(image, 4)
    np.testing.assert_array_equal(found.positions, positions)
    preferred = maximize_activation(model, "conv2", Unit([4], *positions.T), num_steps=3, seed=1)
    np.testing.assert_array_equal(found.maps["activation_maximization"], preferred.pixels)
    assert "a: activation of conv2, feature 4, " in capsys.readouterr().out


MISTAKES = [
    (
        ["--class", "hen", "--layer", "conv2", "--feature", "1"],
        {},
        "are two targets: give one of them. Received: --feature=1 --class=hen",
    ),
    (["--feature", "1"], {}, "--layer and --feature belong together: give both, or --class."),
    (["--layer", "conv2"], {}, "--layer and --feature belong together"),
    (["--layer", "conv3", "--feature", "1"], {}, "The model has no layer 'conv3': did you mean"),
    (["--layer", "conv2", "--feature", "6"], {}, "give 0 to 5. Received: feature=6"),
    (["--class", "dog"], {}, "Received: --class=dog"),
    (["--methods", "saliency"], {}, "Received: --methods=saliency"),
    (["--noise-level", "-1"], {}, "--noise-level takes a finite number from 0"),
    (["--maps-layer", "classes"], {}, "does not depend on 'classes'"),
    ([], {"images": ["none.png"]}, "There is no such photograph"),
    ([], {"model": "none.keras"}, "There is no such model file"),
    (
        [],
        {"model": "headless.keras"},
        "The model 'headless' does not return class scores: give",
    ),
    ([], {"model": "tanh.keras"}, "the activation 'tanh' (c)"),
]


@pytest.mark.parametrize(("arguments", "options", "sentence"), MISTAKES)
def test_mistakes(mistake, arguments, options, sentence):
    assert re.search(re.escape(sentence), mistake(*arguments, **options))
