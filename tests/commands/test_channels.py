"""Models of one channel and of four: all commands serve them, or refuse them in a sentence."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

import kerasvis as kv
from kerasvis.analyses import FeatureVisualization, OcclusionSensitivity
from kerasvis.commands.command_line import run
from tests.marks import grid

SIZE = (16, 20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of each number of channels, and photographs."""
    folder = tmp_path_factory.mktemp("channels")
    keras.utils.set_random_seed(0)
    layers = keras.layers
    for channels in (1, 4):
        model = keras.Sequential(
            [
                keras.Input((*SIZE, channels)),
                layers.Rescaling(1 / 127.5, -1),
                layers.Conv2D(4, 3, activation="relu", name="conv1"),
                layers.MaxPooling2D(2),
                layers.Conv2D(5, 3, activation="relu", name="conv2"),
                layers.GlobalMaxPooling2D(),
                layers.Dense(3, activation="softmax", name="scores"),
            ],
            name=f"of_{channels}",
        )
        model.save(folder / f"{channels}.keras")
    random = np.random.default_rng(0)
    (folder / "photographs").mkdir()
    for number in range(4):
        pixels = random.integers(0, 256, (*SIZE, 3)).astype("uint8")
        Image.fromarray(pixels).save(folder / "photographs" / f"{number}.png")
    (folder / "parts.json").write_text(
        json.dumps({f"{number}.png": {"nose": [3, 3, 9, 9]} for number in range(3)})
    )
    return folder


COMMANDS = {
    "features": "--images photographs",
    "gallery": "--images photographs --layers conv2",
    "occlusion": "--images photographs/0.png photographs/1.png --patch-size 6 --strides 6",
    "explain": (
        "--image photographs/0.png --patch-size 6 --strides 6 --layers conv2 "
        "--strongest-in photographs"
    ),
    "diagnose": "",
    "export": "--layer conv2",
    "compare": "--images photographs/0.png --num-samples 2",
    "invariance": "--images photographs/0.png --translation 0 2 2 --scale 1 1 1 --rotation 0 0 1",
    "fidelity": "--images photographs --layer conv2 --num-images 2 --checks selectivity",
    "correspondence": "--parts parts.json --images photographs --layers conv2 --draws 2",
    "unit-invariance": "--images photographs --layer conv2 --feature 1 --angles 0 30",
}


@pytest.mark.parametrize(("command", "channels"), grid(COMMANDS, [1, 4], quick=[("occlusion", 1)]))
def test_models_of_other_channels(command, channels, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    given = ["--model", f"{channels}.keras", *COMMANDS[command].split(), "--out", str(tmp_path)]
    run([command, *given])
    for path in tmp_path.glob("*.png"):
        with Image.open(path) as image:
            image.load()
    grey = np.asarray(Image.open("photographs/0.png").convert("L"))
    if command == "features" and channels == 1:
        found = FeatureVisualization.load(tmp_path / "conv1.npz")
        first = tuple(np.argwhere(found.image_indices == 0)[0])
        row, column = found.positions[first]  # of a unit that sees 3×3 pixels from there on
        expected = grey[row : row + 3, column : column + 3]
        np.testing.assert_array_equal(found.patches[first][..., 0], expected)
    if command == "occlusion":
        assert OcclusionSensitivity.load(tmp_path / "0.npz").projection.shape == (*SIZE, channels)


@pytest.mark.parametrize("channels", [1, 4])
def test_what_is_known_of_a_model(channels, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    run(["info", "--model", f"{channels}.keras"])
    assert f"{SIZE[0]}×{SIZE[1]}×{channels}" in capsys.readouterr().out


@pytest.mark.slow
def test_an_evolution_of_four_channels(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    model = keras.models.load_model("4.keras")
    model.compile("sgd", "sparse_categorical_crossentropy")
    images = np.random.default_rng(1).integers(0, 256, (6, *SIZE, 4)).astype("float32")
    watch = kv.callbacks.FeatureEvolution(["conv2"], images, directory=tmp_path / "snapshots")
    model.fit(images, np.arange(6) % 3, epochs=2, verbose=0, callbacks=[watch])
    model.save(tmp_path / "trained.keras")
    run(["evolution", "--snapshots", str(tmp_path / "snapshots"), "--out", str(tmp_path / "evo")])
    given = ["--model", str(tmp_path / "trained.keras"), "--images", "photographs"]
    evolution = ["--evolution", str(tmp_path / "snapshots")]
    run(["gallery", *given, *evolution, "--layers", "conv2", "--out", str(tmp_path / "gallery")])
    with Image.open(tmp_path / "gallery/layers/conv2/0.webp") as image:
        width = image.width
    with Image.open(tmp_path / "gallery/layers/conv2/evolution-0.webp") as image:
        assert image.width == width // 3 * 2  # two epochs side by side, in each of 8 panels


@pytest.mark.parametrize("channels", [1, 4])
def test_labelled_photographs_are_rgb(channels, folder, tmp_path, sentence_of, monkeypatch):
    monkeypatch.chdir(folder)
    given = ["--model", f"{channels}.keras", "--data", "photographs", "--out"]
    sentence = sentence_of(run)(["transfer", *given, str(tmp_path / "out")])
    assert f"takes images of {channels} channels, but" in sentence
    assert not (tmp_path / "out").exists()
