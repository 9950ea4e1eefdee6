import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import kerasvis as kv
from kerasvis.analyses import Evolution
from kerasvis.commands.command_line import run

ROOT = Path(__file__).resolve().parents[2]
SIZE = (12, 14)


def pixels():
    return np.random.default_rng(0).integers(0, 256, (6, *SIZE, 3)).astype("uint8")


def convnet(seed):
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            layers.Conv2D(4, 3, activation="relu", name="conv1"),
            layers.MaxPooling2D(2),
            layers.Conv2D(5, 3, activation="relu", name="conv2"),
            layers.Flatten(),
        ],
        name="net",
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folder of photographs, of checkpoints, and of snapshots of the same weights."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "photographs").mkdir()
    for number, photograph in enumerate(pixels()):
        Image.fromarray(photograph).save(folder / "photographs" / f"{number}.png")
    for epoch in (2, 10):
        convnet(epoch).save(folder / f"net_{epoch}.keras")

    class Jump(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch + 1 in (2, 10):
                self.model.set_weights(convnet(epoch + 1).get_weights())

    model = convnet(0)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    callback = kv.callbacks.FeatureEvolution(
        ["conv1", "conv2"],
        pixels().astype("float32"),
        epochs=(2, 10),
        directory=folder / "snapshots",
        num_features=3,
    )
    images = pixels().astype("float32")
    outputs = np.zeros((6, *model.output_shape[1:]))
    model.fit(images, outputs, epochs=10, callbacks=[Jump(), callback], verbose=0)
    convnet_of_other_size = keras.Sequential([keras.Input((*SIZE, 3)), keras.layers.Conv2D(2, 3)])
    convnet_of_other_size.save(folder / "other_3.keras")
    convnet(0).save(folder / "nameless.keras")
    (folder / "empty").mkdir()
    return folder


@pytest.fixture
def plot(data, tmp_path, monkeypatch):
    """Runs the command among the data; returns the output folder."""

    def plot(arguments, out=tmp_path / "out"):
        monkeypatch.chdir(data)
        run(["evolution", *arguments.split(), "--out", str(out)])
        return out

    return plot


@pytest.fixture
def mistake(plot, sentence_of):
    return sentence_of(plot)


FROM_CHECKPOINTS = "--checkpoints net_10.keras net_2.keras --images photographs --num-features 3"


@pytest.mark.slow
def test_snapshots_and_checkpoints_of_the_same_weights_give_the_same(plot, tmp_path, capsys):
    one = plot("snapshots")
    other = plot(FROM_CHECKPOINTS, out=tmp_path / "other")
    for folder in (one, other):
        names = sorted(path.name for path in folder.glob("[!.]*"))
        assert names == ["convergence.png", "evolution.npz", "evolution.png"]
        for name in ("convergence.png", "evolution.png"):
            with Image.open(folder / name) as image:
                image.load()
    actual, expected = (Evolution.load(f / "evolution.npz") for f in (one, other))
    assert actual.epochs.tolist() == expected.epochs.tolist() == [2, 10]
    assert actual.layers == expected.layers == ("conv1", "conv2")
    for layer in actual:
        a, b = actual[layer], expected[layer]
        np.testing.assert_array_equal(a.image_indices, b.image_indices)
        np.testing.assert_array_equal(a.patches, b.patches)
        np.testing.assert_allclose(a.projections, b.projections, rtol=1e-4, atol=1e-3)
    printed, errors = capsys.readouterr()
    assert errors == ""
    assert f"Evolution: {one / 'evolution.png'}" in printed
    assert "Epoch 10: net_10.keras" in printed


def test_layers_features_and_epochs_are_those_asked_for(plot):
    arguments = FROM_CHECKPOINTS + " --layers conv2 --features 4 1 --epochs 7 3 --patches"
    evolution = Evolution.load(plot(arguments) / "evolution.npz")
    assert evolution.epochs.tolist() == [3, 7]
    assert evolution.layers == ("conv2",)
    assert evolution["conv2"].feature_indices.tolist() == [4, 1]


def test_one_epoch_has_no_convergence(plot, capsys):
    out = plot("--checkpoints net_2.keras --images photographs")
    assert not (out / "convergence.png").exists()
    assert (out / "evolution.png").exists()
    assert "No convergence.png: it needs snapshots of two epochs." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("", "Give either the folder of a FeatureEvolution (--snapshots), or --checkpoints with "),
        ("a --checkpoints b.keras", "Give either the folder of a FeatureEvolution (--snapsh"),
        ("--checkpoints net_2.keras", "The checkpoints need images: give --images, a folder of"),
        ("snapshots --epochs 3", "options: leave out --epochs, which is for --checkpo"),
        ("snapshots --seed 0", "leave out --seed, which is for --checkpoints. Received: --seed=0"),
        ("snapshots --rectification guided", "leave out --rectification, which is for --checkp"),
        ("--snapshots snapshots --image-size 3 3", "leave out --image-size, which is for --chec"),
        ("empty", "The folder contains no snapshots such as epoch_0001.npz: give the "),
        (
            "--snapshots snapshots --layers fc",
            "The snapshots contain conv1, conv2: choose --layers from these. Received: --layers=fc",
        ),
        (
            FROM_CHECKPOINTS + " --epochs 1",
            "Give one epoch for each checkpoint with --epochs. Received: 1 epoch for 2 checkpoints",
        ),
        (FROM_CHECKPOINTS + " --epochs 1 1", "More than one checkpoint has the same epoch: give"),
        (FROM_CHECKPOINTS + " --epochs 0 1", "--epochs takes a whole number from 1"),
        (FROM_CHECKPOINTS + " --layers fc", "The model has no layer 'fc'"),
        (FROM_CHECKPOINTS + " --features 9", "Feature 9 is not in the layer, which has 4 feature"),
        (
            "--checkpoints nameless.keras --images photographs",
            "The name of the file contains no epoch, a number from 1 on: give the ",
        ),
        ("--checkpoints gone_1.keras --images photographs", "--model=gone_1.keras"),
        ("--checkpoints net_2.keras --images gone", "There is no such photograph or folder: give"),
        (
            "--checkpoints net_2.keras other_3.keras --images photographs",
            "The model of epoch 3 differs in architecture from the first: give",
        ),
    ],
)
def test_an_argument_that_does_not_fit(mistake, arguments, sentence):
    assert sentence in mistake(arguments)


def test_an_output_folder_that_cannot_be_written_to(mistake, data):
    out = data / "net_2.keras" / "out"
    sentence = (
        f"The output folder cannot be written to ({data / 'net_2.keras'} is a file): give another "
        f"--out. Received: --out={out}"
    )
    assert mistake("--snapshots snapshots", out=out) == sentence


@pytest.mark.slow
def test_as_a_command_of_its_own(tmp_path):
    command = [sys.executable, ROOT / "scripts" / "plot_feature_evolution.py"]
    arguments = ["--snapshots", "missing"]
    ended = subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == (
        "The folder contains no snapshots such as epoch_0001.npz: give the directory of a "
        "FeatureEvolution. Received: directory='missing'\n"
    )
