"""Options of the model, as they reach every command that takes them."""

import csv
import json

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import kerasvis as kv
from kerasvis.analyses import FeatureVisualization, OcclusionSensitivity
from kerasvis.analyses.method_comparison import MethodComparison
from kerasvis.commands.command_line import run
from tests.marks import few, slow

SIZE = (12, 14)


def images_and_features():
    image = keras.Input((*SIZE, 3), name="image")
    x = layers.Conv2D(4, 3, activation="relu", name="conv1")(image)
    return image, x, layers.GlobalMaxPooling2D()(x)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models that need an option, and photographs."""
    folder = tmp_path_factory.mktemp("options")
    keras.utils.set_random_seed(3)
    image, _, x = images_and_features()
    unit = keras.Model(image, layers.Dense(1, activation="sigmoid", name="dog")(x), name="unit")
    unit.save(folder / "unit.keras")
    image, _, x = images_and_features()
    heads = {name: layers.Dense(n, activation="softmax", name=name)(x) for name, n in HEADS.items()}
    keras.Model(image, heads, name="heads").save(folder / "heads.keras")
    image, _, x = images_and_features()
    age = keras.Input((1,), name="age")
    x = layers.Dense(3, activation="softmax")(layers.Concatenate()([x, age]))
    keras.Model([image, age], x, name="aged").save(folder / "aged.keras")
    image, x, _ = images_and_features()
    x = layers.Conv2D(4, 3, activation="silu", name="smooth")(x)
    x = layers.Dense(3, activation="softmax")(layers.GlobalMaxPooling2D()(x))
    keras.Model(image, x, name="smooth").save(folder / "smooth.keras")
    (folder / "classes.json").write_text('["cat", "dog"]')
    (folder / "photographs").mkdir()
    random = np.random.default_rng(0)
    for number in range(3):
        pixels = random.integers(0, 256, (*SIZE, 3)).astype("uint8")
        Image.fromarray(pixels).save(folder / "photographs" / f"{number}.png")
    (folder / "mine.py").write_text(
        "import keras, kerasvis\n"
        "def forward(pixels):\n    return pixels / 510\n"
        "def inverse(images):\n    return images * 510\n"
        "HALVES = forward, inverse\n"
        "RULES = [(keras.activations.silu, kerasvis.rules.Rectification)]\n"
        "NONE = 5\n"
    )
    return folder


HEADS = {"animals": 3, "colours": 5}
OCCLUSION = "--images photographs/0.png --patch-size 5 --strides 5".split()


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def pixels_of(folder, number=0):
    return np.asarray(Image.open(folder / "photographs" / f"{number}.png"), "float32")


def occluded(tmp_path, *arguments):
    run(["occlusion", *OCCLUSION, "--out", str(tmp_path / "out"), *arguments])
    return OcclusionSensitivity.load(tmp_path / "out" / "0.npz")


@pytest.mark.slow
def test_a_single_unit_is_two_classes(here, tmp_path, capsys):
    """P(dog) = p and P(cat) = 1 − p, in arrays, tables and the comparison of methods."""
    model = keras.saving.load_model(here / "unit.keras")
    dog = float(model.predict(pixels_of(here)[None], verbose=0)[0, 0])
    found = {}
    for name, index, expected in (("dog", 1, dog), ("cat", 0, 1 - dog)):
        result = occluded(tmp_path / name, "--model", "unit.keras", "--class", name)
        assert result.class_index == index
        assert result.base_probability == pytest.approx(expected, abs=1e-6)
        with open(tmp_path / name / "out" / "occlusion.csv", newline="") as file:
            (line,) = csv.DictReader(file)
        assert (line["class"], line["label"]) == (name, ["cat", "dog"][dog > 0.5])
        assert float(line["probability"]) == pytest.approx(expected, abs=1e-4)
        out = tmp_path / name / "methods"
        given = ["--model", "unit.keras", "--images", "photographs/0.png", "--class", name]
        run(["compare", *given, "--methods", "gradient", "--out", str(out)])
        found[name] = MethodComparison.load(out / "methods.npz")
        assert f"score of {name}" in capsys.readouterr().out
    assert found["dog"].activations == pytest.approx(-found["cat"].activations, abs=1e-5)
    np.testing.assert_allclose(
        found["dog"].maps["gradient"], -found["cat"].maps["gradient"], atol=1e-6
    )


def test_one_of_several_outputs(here, tmp_path, sentence_of):
    model = keras.saving.load_model(here / "heads.keras")
    expected = model.predict(pixels_of(here)[None], verbose=0)
    for name, number in HEADS.items():
        given = ("--model", "heads.keras", "--output", name, "--class-names", "none.json")
        (here / "none.json").write_text(json.dumps([f"{name} {n}" for n in range(number)]))
        result = occluded(tmp_path / name, *given)
        assert result.base_probability == pytest.approx(expected[name].max(), abs=1e-6)
    sentence = sentence_of(occluded)(tmp_path, "--model", "heads.keras")
    assert "'animals', 'colours'" in sentence
    run(["features", "--model", "heads.keras", "--images", "photographs", "--out", str(tmp_path)])
    assert (tmp_path / "conv1.npz").exists()  # which needs no output


@pytest.mark.slow
def test_other_inputs_held_fixed(here, tmp_path, sentence_of):
    model = keras.saving.load_model(here / "aged.keras")
    for age in (0.0, 40.0):
        expected = model.predict([pixels_of(here)[None], np.array([[age]])], verbose=0)
        given = ("--model", "aged.keras", "--fixed", f"age={age}", "--input", "image")
        result = occluded(tmp_path / str(age), *given)
        assert result.base_probability == pytest.approx(expected.max(), abs=1e-6)
    assert "'age'" in sentence_of(occluded)(tmp_path, "--model", "aged.keras")
    given = ("--model", "aged.keras", "--fixed", "weight=3")
    assert "'age'" in sentence_of(occluded)(tmp_path, *given)


@pytest.mark.slow
def test_a_preprocessing_of_the_users(here, tmp_path, sentence_of):
    """Patches are the photograph whatever the model takes."""
    unit = keras.saving.load_model(here / "unit.keras")
    for name, scale in (("unit", 255), ("mine:HALVES", 510)):
        out = tmp_path / name.partition(":")[0]
        given = ["--model", "unit.keras", "--preprocessing", name, "--layers", "conv1", "--k", "1"]
        run(["features", *given, "--images", "photographs", "--out", str(out)])
        found = FeatureVisualization.load(out / "conv1.npz")
        images = np.stack([pixels_of(here, number) for number in range(3)]) / scale
        strongest = keras.Model(unit.inputs, unit.get_layer("conv1").output)
        expected = strongest.predict(images, verbose=0).max(axis=(0, 1, 2))
        np.testing.assert_allclose(found.activations[:, 0], expected, rtol=1e-4, atol=1e-5)
        image, (row, column) = found.image_indices[0, 0], found.positions[0, 0]
        patch = pixels_of(here, image)[row : row + 3, column : column + 3]
        np.testing.assert_array_equal(found.patches[0, 0], patch)
    for name in ("mine:GONE", "gone:HALVES", "mine:NONE"):
        given = ("--model", "unit.keras", "--preprocessing", name)
        assert "Received: " in sentence_of(occluded)(tmp_path, *given)


COMMANDS_THAT_PROJECT = {
    "features": "--images photographs --layers smooth",
    "gallery": "--images photographs --layers smooth",
    "export": "--layer smooth",
    "compare": "--images photographs/0.png --layer smooth --feature 1 --methods deconvnet",
    "fidelity": "--images photographs --layer smooth --num-images 2 --checks selectivity",
    "evolution": "--checkpoints smooth.keras --epochs 1 --images photographs --layers smooth",
    "info": "",
}


@pytest.mark.parametrize("rules", [slow("relaxed"), "mine:RULES"])
@pytest.mark.parametrize("command", few(COMMANDS_THAT_PROJECT, 4))
def test_rules_reach_every_command_that_projects(
    command, rules, here, tmp_path, sentence_of, capsys
):
    given = COMMANDS_THAT_PROJECT[command].split()
    given += [] if command == "evolution" else ["--model", "smooth.keras"]
    given += [] if command == "info" else ["--out", str(tmp_path / "out")]
    if command != "info":
        assert "the activation 'silu' (smooth)" in sentence_of(run)([command, *given])
        assert not (tmp_path / "out").exists()
    run([command, *given, "--rules", rules])
    assert "Cannot be projected" not in capsys.readouterr().out


@pytest.mark.slow
def test_rules_reach_the_projection_of_an_occlusion(here, tmp_path):
    given = ("--model", "smooth.keras", "--layer", "smooth")
    assert occluded(tmp_path / "without", *given).projection is None
    result = occluded(tmp_path / "with", *given, "--rules", "relaxed")
    model = keras.saving.load_model(here / "smooth.keras")
    deconv = kv.DeconvModel(model, "smooth", rules="relaxed")
    target = kv.targets.WholeMap(result.feature_index)
    expected = deconv.project(pixels_of(here)[None], target)[0]
    np.testing.assert_allclose(result.projection, expected, rtol=1e-4, atol=1e-4)


def test_rules_that_are_none(here, tmp_path, sentence_of):
    given = ["features", "--model", "smooth.keras", "--images", "photographs"]
    assert "Received: --rules=mine:GONE" in sentence_of(run)([*given, "--rules", "mine:GONE"])
    assert "rules" in sentence_of(run)([*given, "--rules", "mine:NONE"])
    assert "--rules takes relaxed, or module:NAME" in sentence_of(run)(
        [*given, "--rules", "strict"]
    )
