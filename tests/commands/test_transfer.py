import csv
import json

import keras
import numpy as np
import pytest
from PIL import Image

from kerasvis.analyses import FeatureTransfer
from kerasvis.commands.command_line import run
from kerasvis.commands.transfer import table
from tests.mocked_data_sets import mocked_data_sets

SIZE = (16, 20)
NAMES = ("ant", "bass", "crab")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    keras.utils.set_random_seed(0)
    for name, size in (("good", SIZE), ("square", (16, 16)), ("any_size", (None, None))):
        conv = {"filters": 4, "kernel_size": 3, "activation": "relu"}
        layers = [keras.layers.Conv2D(name=f"conv{number}", **conv) for number in (1, 2)]
        rescaling = keras.layers.Rescaling(1 / 255)
        net = keras.Sequential([keras.Input((*size, 3)), rescaling, *layers], name=name)
        net.save(folder / f"{name}.keras")
    return folder


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Ten photographs of each class, one of which can't be decoded."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for label, name in enumerate(NAMES):
        (folder / name).mkdir()
        for number in range(10):
            pixels = rng.integers(0, 120, (*SIZE, 3))
            pixels[..., label] += 120
            Image.fromarray(pixels.astype("uint8")).save(folder / name / f"{number}.png")
    (folder / "ant" / "broken.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture
def transfer(models, photographs, tmp_path):
    """Runs the command; returns the output folder."""

    def transfer(*arguments, model="good.keras", data=photographs, out=tmp_path / "out"):
        given = ["--model", models / model, "--data", data, "--out", out, "--per-class", 2, 4]
        given += ["--folds", 2, *arguments]
        run(["transfer", *(str(argument) for argument in given)])
        return out

    return transfer


@pytest.fixture
def mistake(transfer, sentence_of):
    return sentence_of(transfer)


def test_writes_everything(transfer, capsys):
    out = transfer("--layers", "conv2", "conv1", "--head", "svm")
    printed = capsys.readouterr().out
    names = ["accuracies.csv", "accuracies.json", "transfer.npz", "transfer.png"]
    assert sorted(path.name for path in out.glob("[!.]*")) == names
    found = FeatureTransfer.load(out / "transfer.npz")
    assert (found.layers, found.heads, found.num_images) == (("conv2", "conv1"), ("svm",), 30)
    assert "Skipped" in printed
    assert "broken.jpg: not an image" in printed

    with open(out / "accuracies.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["layer"], row["head"], row["per_class"]) for row in rows] == [
        (layer, "svm", size) for layer in ("conv2", "conv1") for size in ("2", "4")
    ]
    means = found.accuracies.mean(axis=-1).ravel()
    np.testing.assert_allclose([float(row["accuracy"]) for row in rows], means, atol=6e-5)
    spread = found.accuracies.std(axis=-1, ddof=1).ravel()
    np.testing.assert_allclose([float(row["deviation"]) for row in rows], spread, atol=6e-5)

    measured = json.loads((out / "accuracies.json").read_text())
    assert measured["model"] == "good.keras"
    assert (measured["num_classes"], measured["num_near_duplicates_left_out"]) == (3, 0)
    np.testing.assert_allclose(measured["accuracies"][1]["folds"], found.accuracies[0, 0, 1], 1e-3)
    with Image.open(out / "transfer.png") as figure:
        assert figure.width > 1000

    line = next(line for line in printed.splitlines() if line.startswith("conv1"))
    assert line.split() == [
        "conv1",
        str(6 * 6 * 4),
        *f"{100 * means[2]:.1f} ± {100 * spread[2]:.1f}".split(),
        *f"{100 * means[3]:.1f} ± {100 * spread[3]:.1f}".split(),
    ]
    assert "an ImageNet-trained ZFNet in the paper" in printed


@pytest.mark.usefixtures("eager_functions")
def test_the_cache_serves_the_next_run(transfer, tmp_path, convolutions):
    given = ("--layers", "conv1", "--head", "svm", "--cache", tmp_path / "cache")
    first = FeatureTransfer.load(transfer(*given) / "transfer.npz")
    assert convolutions.num_new() > 0
    again = FeatureTransfer.load(transfer(*given, out=tmp_path / "again") / "transfer.npz")
    assert convolutions.num_new() == 0
    np.testing.assert_array_equal(first.accuracies, again.accuracies)


def test_near_duplicates_of_the_training_images(transfer, photographs, tmp_path, capsys):
    references = tmp_path / "references"
    references.mkdir()
    for name in ("bass", "crab"):
        planted = (photographs / name / "3.png").read_bytes()
        (references / f"{name}.png").write_bytes(planted)
    out = transfer("--layers", "conv1", "--head", "svm", "--trained-on", references)
    assert json.loads((out / "accuracies.json").read_text())["num_near_duplicates_left_out"] == 2
    assert "2 near-duplicates left out" in capsys.readouterr().out


def test_near_duplicates_of_an_archive(transfer, photographs, tmp_path):
    """Its two training images are found, its two validation images are not looked for."""
    arrays = {"wnids": np.array(["n1", "n2"]), "words": np.array(["red", "green"])}
    for split, names in (("train", ["ant/3", "bass/3"]), ("val", ["crab/3", "crab/4"])):
        encoded = [(photographs / f"{name}.png").read_bytes() for name in names]
        arrays[f"{split}_bytes"] = np.frombuffer(b"".join(encoded), "uint8")
        arrays[f"{split}_offsets"] = np.cumsum([0, *map(len, encoded)])
        arrays[f"{split}_labels"] = np.arange(2)
    np.savez(tmp_path / "archive.npz", **arrays)
    given = ("--layers", "conv1", "--head", "svm", "--trained-on", tmp_path / "archive.npz")
    found = FeatureTransfer.load(transfer(*given) / "transfer.npz")
    assert len(found.duplicate_indices) == 2


@pytest.mark.slow
def test_from_scratch(transfer, capsys):
    given = ("--layers", "conv1", "--scratch-epochs", 1, "--head", "softmax", "--folds", 1)
    out = transfer(*given, model="square.keras")
    assert FeatureTransfer.load(out / "transfer.npz").scratch_accuracies.shape == (2, 1)
    assert "\nfrom scratch" in capsys.readouterr().out


def test_columns_of_the_table_stand_below_one_another():
    names = ("a", "a_long_name")
    numbers = {"num_features": 9, "head": "svm", "per_class": 5, "accuracy": 0.5}
    rows = [{"layer": layer, "deviation": 0.125, **numbers} for layer in names]
    shown = FeatureTransfer(
        layers=names,
        heads=("svm",),
        per_class=np.array([5]),
        accuracies=np.full((2, 1, 1, 2), 0.5),
        scratch_accuracies=np.zeros((1, 0)),
        num_features=np.array([9, 9]),
        num_test_images=np.array([3]),
        class_names=("x",),
        num_images=7,
        duplicate_indices=np.array([4]),
    )
    assert table(rows, shown).splitlines()[1:] == [
        "layer        features  svm, 5 a class",
        "a                   9     50.0 ± 12.5",
        "a_long_name         9     50.0 ± 12.5",
    ]


def test_near_name_of_a_layer(mistake):
    assert "conv1" in mistake("--layers", "conv_1")


def test_mistakes(mistake, photographs, tmp_path):
    assert mistake(model="none.keras").startswith("There is no such model file")
    assert mistake(model="any_size.keras") == (
        "The model 'any_size' takes images of any size: give --image-size HEIGHT WIDTH."
    )
    assert mistake("--per-class", "10", "--layers", "conv1").startswith(
        "The class 'ant' has too few images"
    )
    assert mistake("--trained-on", tmp_path / "none").startswith(
        "There is no such folder or archive"
    )
    assert mistake("--trained-on", tmp_path / "none.npz").startswith("There is no such file")
    assert mistake("--head", "forest").startswith("--head takes one of svm, softmax")
    assert mistake("--scratch-epochs", 1).startswith("The model takes images of 16×20 pixels, but")
    (tmp_path / "file").touch()
    assert mistake(out=tmp_path / "file").startswith("The output folder")
    assert "give another --cache" in mistake("--layers", "conv1", "--cache", tmp_path / "file")


def test_data_that_are_none(mistake, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "has no class folders" in mistake(data=tmp_path / "empty")


@pytest.mark.slow
def test_a_data_set_of_tensorflow_datasets(models, tmp_path, capsys):
    """caltech101 by its name, with random images: accuracies are those of chance."""
    out = tmp_path / "out"
    given = ["--model", models / "square.keras", "--layers", "conv2", "--data", "caltech101"]
    given += ["--per-class", 2, "--folds", 1, "--head", "svm", "--out", out]
    splits = {"caltech101": ("train", "test")}
    with mocked_data_sets(tmp_path / "metadata", splits, num_examples=1500):
        run(["transfer", *(str(argument) for argument in given)])
    assert "3,000 images of 102 classes" in capsys.readouterr().out
    (accuracy,) = FeatureTransfer.load(out / "transfer.npz").accuracies.ravel()
    assert 0 <= accuracy < 0.1
