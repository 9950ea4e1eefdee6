import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from kerasvis.analyses import FilterDiagnosis, diagnose_filters, filter_findings
from kerasvis.commands.command_line import run

ROOT = Path(__file__).resolve().parents[2]
SIZE = (30, 26)
NUM_PHOTOGRAPHS = 50


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    keras.utils.set_random_seed(0)
    relu = {"activation": "relu"}
    parts = {
        "good": [layers.Conv2D(5, 5, 2, name="conv1", **relu), layers.Conv2D(4, 3, name="conv2")],
        "other": [layers.Conv2D(3, 3, name="conv1", **relu)],
        "dense": [layers.Flatten(), layers.Dense(3)],
        "grey": [layers.Conv2D(3, 3, name="conv1")],
        "nan": [layers.Conv2D(3, 3, name="conv1")],
    }
    for name, stack in parts.items():
        shape = (*SIZE, 1 if name == "grey" else 3)
        model = keras.Sequential([keras.Input(shape), *stack], name=name)
        if name == "nan":
            model.set_weights([np.full(weight.shape, np.nan) for weight in model.get_weights()])
        model.save(folder / f"{name}.keras")
    return folder


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for number in range(NUM_PHOTOGRAPHS):
        pixels = rng.integers(0, 256, (*SIZE, 3)).astype("uint8")
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    return folder


@pytest.fixture
def diagnose(models, tmp_path):
    """Runs the command on models by name; returns the output folder."""

    def diagnose(*names, options=(), out=tmp_path / "out"):
        paths = [models / f"{name}.keras" for name in names]
        given = ["--model", *paths, "--out", out, *options]
        run(["diagnose", *(str(argument) for argument in given)])
        return out

    return diagnose


@pytest.fixture
def mistake(diagnose, sentence_of):
    return sentence_of(diagnose)


def test_writes_and_prints_what_is_found(diagnose, models, photographs, capsys):
    out = diagnose("good", "other", options=["--images", photographs])
    each = {f"{name}{suffix}" for name in ("good", "other") for suffix in (".npz", ".json", ".csv")}
    assert {path.name for path in out.glob("[!.]*")} == {*each, "filter_diagnosis.png"}
    with Image.open(out / "filter_diagnosis.png") as image:
        image.load()
    pixels = np.stack([np.asarray(Image.open(path)) for path in sorted(photographs.iterdir())])
    model = keras.saving.load_model(models / "good.keras")
    expected = diagnose_filters(model, pixels.astype("float32"), verbose=0)
    diagnosis = FilterDiagnosis.load(out / "good.npz")
    np.testing.assert_array_equal(diagnosis.kernels, expected.kernels)
    np.testing.assert_allclose(diagnosis.aliasing, expected.aliasing, rtol=1e-4)
    printed, errors = capsys.readouterr()
    assert errors == ""
    lines = printed.splitlines()
    findings = list(map(str, filter_findings(diagnosis)))
    assert lines[:9] == ["", "good", *findings]
    assert lines[-1] == f"Figure: {out / 'filter_diagnosis.png'}"

    numbers = json.loads((out / "good.json").read_text(encoding="utf-8"))
    assert numbers["strides"] == [2, 2]
    assert numbers["num_images"] == NUM_PHOTOGRAPHS
    assert numbers["dominance"] == pytest.approx(expected.dominance)
    assert list(numbers["dead"]) == ["conv1", "conv2"]
    assert [finding["name"] for finding in numbers["findings"]] == [
        finding.name for finding in filter_findings(expected)
    ]
    with open(out / "good.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["filter"] for row in rows] == list("01234")
    np.testing.assert_allclose([float(row["rms"]) for row in rows], expected.rms, rtol=1e-5)
    for band, shares in zip(("low", "middle", "high"), expected.band_shares.T, strict=True):
        np.testing.assert_allclose([float(row[band]) for row in rows], shares, rtol=1e-5)


def test_without_images_and_with_one_model_twice(diagnose):
    out = diagnose("good", "good")
    assert {path.name for path in out.glob("[!.]*.json")} == {"good-1.json", "good-2.json"}
    numbers = json.loads((out / "good-2.json").read_text(encoding="utf-8"))
    assert numbers["median_aliasing"] is None
    assert numbers["second_layer"] is None
    assert numbers["num_images"] == 0


def test_grey_filters_without_and_with_images(diagnose, photographs, tmp_path):
    out = diagnose("grey")
    assert FilterDiagnosis.load(out / "grey.npz").kernels.shape == (3, 3, 1, 3)
    out = diagnose("grey", options=["--images", photographs], out=tmp_path / "with")
    assert FilterDiagnosis.load(out / "grey.npz").num_images == NUM_PHOTOGRAPHS


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("missing", "", "There is no such model file: give a file that model.save"),
        ("dense", "", "The model 'dense' has no convolution layer whose filters could be "),
        ("nan", "", "The weights of layer 'conv1' contain NaN or infinity: load finite weights, o"),
        ("good", "--first-layer conv7", "The model has no layer 'conv7': did you mean conv"),
        ("good", "--second-layer conv1", "Layer 'conv1' does not lie above the first layer 'conv1"),
        ("good", "--image-size 9 9 --images demo", "The model 'good' takes images of 30×26 pixels"),
        ("good", "--images nowhere", "There is no such photograph or folder: give "),
    ],
)
def test_what_cannot_be_used(mistake, name, options, sentence):
    assert re.match(sentence, mistake(name, options=options.split()))


@pytest.mark.slow
def test_models_that_are_done_are_not_diagnosed_again(diagnose, photographs, written, capsys):
    options = ["--images", photographs]
    out = diagnose("good", options=options)
    first, printed = (out / "good.npz").read_bytes(), capsys.readouterr().out
    written.paths.clear()
    diagnose("good", "other", options=options)
    assert [path.name for path in written.new(".npz") if path.parent == out] == ["other.npz"]
    assert (out / "good.npz").read_bytes() == first
    assert capsys.readouterr().out.startswith(printed.partition("Figure")[0])
    (out / "good.npz").write_bytes(first[:-30])
    diagnose("good", "other", options=options)
    assert [path.name for path in written.new(".npz") if path.parent == out] == ["good.npz"]
    assert (out / "good.npz").read_bytes() == first


def test_another_diagnosis_in_the_same_folder_is_refused(
    diagnose, mistake, photographs, models, tmp_path
):
    out = diagnose("good", options=["--images", photographs])
    before = {path: path.read_bytes() for path in out.iterdir()}
    shutil.copytree(photographs, tmp_path / "others")
    pixels = np.zeros((*SIZE, 3), "uint8")
    Image.fromarray(pixels).save(tmp_path / "others" / "07.png")
    for options, words in {
        ("--images", photographs, "--second-layer", "conv2"): 'second layer (null there, "conv2"',
        ("--images", tmp_path / "others"): "another images",
        (): "another images",
    }.items():
        assert words in mistake("good", options=options)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_too_few_photographs(mistake, photographs, tmp_path):
    folder = tmp_path / "few"
    folder.mkdir()
    (folder / "0.png").write_bytes((photographs / "00.png").read_bytes())
    sentence = mistake("good", options=["--images", folder])
    assert sentence.startswith("There are too few images to tell which feature maps are never ac")
    assert sentence.endswith("Received: 1 image")


def test_as_a_command_of_its_own(tmp_path):
    command = [sys.executable, ROOT / "scripts" / "diagnose_filters.py", "--model", "missing.keras"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("There is no such model file: give a file that ")
    assert not list(tmp_path.iterdir())
