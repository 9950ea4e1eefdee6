import csv
import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image

from kerasvis.analyses.invariance.feature_invariance import FeatureInvariance
from kerasvis.commands.command_line import run
from kerasvis.commands.invariance import is_smallest_step

SIZE = (16, 20)
VALUES = ["--translation", -3, 3, 3, "--scale", 1, 1.5, 2, "--rotation", 0, 90, 4]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    keras.utils.set_random_seed(0)
    conv = {"filters": 4, "kernel_size": 3, "activation": "relu"}
    net = [
        keras.Input((*SIZE, 3)),
        keras.layers.Rescaling(1 / 255),
        *(keras.layers.Conv2D(name=f"conv{number}", **conv) for number in (1, 2)),
        keras.layers.GlobalAveragePooling2D(name="pooled"),
        keras.layers.Dense(3, "softmax", name="scores"),
    ]
    keras.Sequential(net).save(folder / "good.keras")
    keras.Sequential(net[:-2]).save(folder / "maps.keras")
    (folder / "classes.json").write_text(json.dumps(["ant", "bass", "crab"]))
    return folder


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 256, (30, 40, 3)).astype("uint8")).save(folder / name)
    return folder


@pytest.fixture
def show(models, photographs, tmp_path):
    """Runs the command; returns the output folder."""

    def show(*arguments, model="good.keras", images=(photographs,), out=tmp_path / "out"):
        given = ["--model", models / model, "--images", *images, "--out", out, *arguments]
        run(["invariance", *(str(argument) for argument in given)])
        return out

    return show


@pytest.fixture
def mistake(show, sentence_of):
    return sentence_of(show)


def test_writes_everything(show, capsys):
    out = show(*VALUES, "--class", "bass")
    names = ["invariance.csv", "invariance.npz", "invariance.png"]
    assert sorted(path.name for path in out.glob("[!.]*")) == [*names, "parts"]
    found = FeatureInvariance.load(out / "invariance.npz")
    assert found.layers == ("conv1", "pooled")
    assert found.class_indices.tolist() == [1, 1]
    values = [curves.values.tolist() for curves in found.curves]
    assert values == [[-3, 0, 3], [1, 1.5], [0, 30, 60, 90]]
    assert found.curves[0].examples.shape[2:4] == SIZE

    with open(out / "invariance.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (3 + 2 + 4)
    row = next(r for r in rows if (r["image"], r["value"]) == ("b.png", "60"))
    assert (row["class"], row["transformation"]) == ("bass", "rotation")
    rotation = found.curves[2]
    for layer, name in enumerate(found.layers):
        distance = float(row[f"distance at {name}"])
        np.testing.assert_allclose(distance, rotation.distances[layer, 1, 2], rtol=1e-5)
    np.testing.assert_allclose(float(row["probability"]), rotation.probabilities[1, 2], rtol=1e-5)
    with Image.open(out / "invariance.png") as figure:
        assert figure.width > 1000
    printed = capsys.readouterr().out
    assert "2 photographs, 9 transformations of each" in printed
    means = rotation.distances.mean(axis=1)
    highest, (first, second) = means.max(axis=1), means[:, 1] / means.max(axis=1)
    assert (
        f"rotation 0 to 90: mean distance up to {highest[0]:.4g} at conv1 ({first:.0%} of it at "
        f"30), {highest[1]:.4g} at pooled ({second:.0%} of it at 30); mean probability "
        f"{rotation.probabilities.mean(axis=0).min():.3f} to "
    ) in printed


@pytest.mark.parametrize(
    ("transformation", "values", "expected"),
    [
        ("translation", [-4, -2, 0, 2, 5], [0, 1, 0, 1, 0]),
        ("scale", [0.9, 1, 1.05, 2], [0, 0, 1, 0]),
        ("rotation", [0], [0]),
    ],
)
def test_the_smallest_step(transformation, values, expected):
    curves = SimpleNamespace(transformation=transformation, values=np.array(values))
    np.testing.assert_array_equal(is_smallest_step(curves), np.array(expected, bool))


@pytest.mark.slow
def test_a_margin_moves_in_from_the_sides(show, tmp_path):
    without = FeatureInvariance.load(show(*VALUES) / "invariance.npz")
    out = show(*VALUES, "--margin", 4, out=tmp_path / "margin")
    image = FeatureInvariance.load(out / "invariance.npz").curves[0].examples[0, 0]
    assert (image[-1] != image[-2]).any()
    repeated = without.curves[0].examples[0, 0]
    np.testing.assert_array_equal(repeated[-3:], np.stack([repeated[-4]] * 3))


def test_a_class_for_each_and_other_layers(show, photographs):
    files = [photographs / "b.png", photographs / "a.png"]
    out = show("--scale", 1, 1, 1, "--class", "crab", "0", "--layers", "conv2", images=files)
    found = FeatureInvariance.load(out / "invariance.npz")
    assert found.class_indices.tolist() == [2, 0]
    assert found.layers == ("conv2",)
    # What is not given is as in the paper.
    assert [len(curves.values) for curves in found.curves] == [9, 1, 36]


def test_mistakes(mistake, tmp_path):
    assert mistake("--layers", "conv3").startswith("The model has no layer 'conv3': did you mean")
    assert "--scale takes a finite number from 0.01" in mistake("--scale", 0, 1, 2)
    assert mistake("--rotation", 0, 1, 2.5).endswith("Received: --rotation=2.5")
    assert mistake("--class", "ant", "bass", "crab") == (
        "Give one class for all photographs, or one for each. Received: 3 classes for 2 photographs"
    )
    assert mistake("--class", "cod").endswith("Received: --class=cod")
    assert mistake("--margin", -1).endswith("Received: --margin=-1")
    assert "scores (images, classes) were expected" in mistake(model="maps.keras")
    assert mistake(images=[tmp_path / "no.png"]).startswith("There is no such photograph")
    for number in range(21):
        Image.new("RGB", (20, 20)).save(tmp_path / f"{number}.png")
    assert mistake(images=[tmp_path]) == (
        "The figure can distinguish at most 20 photographs: give fewer. Received: 21 photographs"
    )
