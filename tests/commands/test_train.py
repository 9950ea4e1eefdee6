import contextlib
import csv
import importlib.util
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasvis as kv
from kerasvis.commands.command_line import application, run
from kerasvis.training import Recipe
from tests.commands.tiny_archive import save_tiny_archive

ROOT = Path(__file__).resolve().parents[2]
CROP_SIZE = 40
TINY = "--width 0.03 --dense-units 8 --crop-size 40 --epochs 2".split()


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return save_tiny_archive(tmp_path_factory.mktemp("data") / "tiny.npz", train=24, val=9)


@pytest.fixture
def train(archive, tmp_path):
    """Runs the command; returns its folder."""

    def train(*arguments, out="run", data=archive):
        options = ["--data", str(data), "--out", str(tmp_path / out), *TINY, *arguments]
        run(["train", *options])
        return tmp_path / out

    return train


@pytest.fixture(scope="module")
def finished(archive, tmp_path_factory):
    """`(folder of a finished run, folder of its events, what it printed)`, made once."""
    folder, events = (tmp_path_factory.mktemp("finished") / name for name in ("run", "events"))
    options = ["--data", str(archive), "--out", str(folder), *TINY]
    options += ["--export", "--evolution", "--evolution-images", "10", "--without-patches"]
    if importlib.util.find_spec("tensorboard") is not None:
        options += ["--tensorboard", str(events)]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        run(["train", *options])
    return folder, events, printed.getvalue()


@pytest.fixture
def finished_run(finished, tmp_path):
    """A copy of it, where `train` puts its runs."""
    return shutil.copytree(finished[0], tmp_path / "run")


@pytest.fixture
def mistake(train, sentence_of):
    return sentence_of(train)


def rows_of(folder):
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def parsed(command):
    """The groups of options, by the names of the command's arguments."""
    _, bound, _ = application.parse_args(["train", *shlex.split(command)])
    return bound.arguments


def convnet_of(groups):
    convnet = groups["convnet"].suited_to(groups["training"].recipe)
    return {**convnet.keywords, "dense_units": convnet.dense_units}


def test_a_run_and_what_it_leaves(finished):
    folder, _, printed = finished
    names = {path.name for path in folder.glob("[!.]*")}
    files = {"README.md", "classes.json", "history.csv", "model.keras", "recipe.json"}
    assert names == files | {"checkpoint", "evolution", "saved_model"}
    assert json.loads((folder / "classes.json").read_text()) == ["ant", "bee", "cat"]
    recipe = Recipe.load(folder / "recipe.json")
    assert recipe == Recipe.for_small_images(CROP_SIZE, epochs=2)
    assert [row["epoch"] for row in rows_of(folder)] == ["1", "2"]
    assert {path.name for path in (folder / "evolution").iterdir()} == {
        "epoch_0001.npz",
        "epoch_0002.npz",
    }
    assert kv.analyses.load_evolution(folder / "evolution")["conv1"].patches.size == 0
    assert re.search(r"Saved .*model\.keras: validation top-1 \d+\.\d% after 2 epochs\.\n", printed)
    check_card(folder, recipe)
    check_served_by_plain_tensorflow(folder)


def check_card(folder, recipe):
    """The command on the card trains this net."""
    card = (folder / "README.md").read_text()
    accuracy = float(rows_of(folder)[-1]["val_top_1"])
    assert f"| validation top-1 / top-5 | {accuracy:.1%} / 100.0% |" in card
    assert "24 training and 9 validation images of 3 classes" in card
    command = re.search(r"`kerasvis train (.*)`", card)[1]
    groups = parsed(f"{command} --out here")
    assert groups["training"].load() == recipe
    assert groups["records"].evolution
    assert groups["records"].without_patches
    expected = {"width": 0.03, "dense_units": 8, "strides": (1, 2), "normalization": "batch"}
    assert convnet_of(groups) == expected


def check_served_by_plain_tensorflow(folder):
    pixels = np.random.default_rng(0).integers(0, 256, (5, CROP_SIZE, CROP_SIZE, 3)).astype("uint8")
    np.save(folder / "pixels.npy", pixels)
    program = (
        "import sys, numpy as np, tensorflow as tf\n"
        "pixels = np.load(sys.argv[1] + '/pixels.npy')\n"
        "convnet = tf.saved_model.load(sys.argv[1] + '/saved_model')\n"
        "served = convnet.serve(pixels)\n"
        "assert not any(name.startswith('kerasvis') for name in sys.modules)\n"
        "np.save(sys.argv[1] + '/served.npy', served)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True, capture_output=True)
    model = keras.saving.load_model(folder / "model.keras", safe_mode=True)
    expected = model.predict(pixels.astype("float32"), verbose=0)
    np.testing.assert_allclose(np.load(folder / "served.npy"), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(expected.sum(axis=1), 1, rtol=1e-5)


def test_curves_and_features_for_tensorboard(finished):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed.")
    folder, log_dir, _ = finished
    shown = events_of(log_dir)
    images = {f"features/conv{number}": {1, 2} for number in range(1, 6)}
    assert {name: set(steps) for name, steps in shown["."].items()} == images
    for split, prefix in (("train", ""), ("validation", "val_")):
        losses = [float(row[f"{prefix}loss"]) for row in rows_of(folder)]
        written = [float(tf.make_ndarray(x)) for x in shown[split]["epoch_loss"].values()]
        np.testing.assert_allclose(written, losses, rtol=1e-5)


def events_of(log_dir):
    """`{run: {name: {step: tensor}}}` of all event files in a folder."""
    runs = {}
    for path in sorted(log_dir.rglob("*.tfevents.*")):
        tags = runs.setdefault(str(path.parent.relative_to(log_dir)), {})
        for record in tf.data.TFRecordDataset([str(path)]):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                tags.setdefault(value.tag, {})[event.step] = value.tensor
    return runs


def test_tensorboard_that_is_not_installed(mistake, monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert mistake("--tensorboard", str(tmp_path / "events")) == (
        "--tensorboard needs the package tensorboard: pip install 'keras-deconvnet[tensorboard]'."
    )


def test_tensorflow_datasets_that_is_not_installed(sentence_of, monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    sentence = sentence_of(run)(["train", "--data", "mnist", "--out", str(tmp_path / "run")])
    assert "pip install 'keras-deconvnet[tfds]'" in sentence
    assert "mnist" in sentence


def test_tensorboard_folder_that_cannot_be_written(mistake, tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed.")
    (tmp_path / "file").touch()
    sentence = mistake("--tensorboard", str(tmp_path / "file"))
    assert re.search(
        r"The output folder cannot be written to .*: give another --tensorboard", sentence
    )
    assert not (tmp_path / "run" / "history.csv").exists()


@pytest.mark.slow
def test_the_papers_recipe(train):
    folder = train("--recipe", "paper", "--net", "alexnet", "--strides", "2", "1")
    recipe = Recipe.load(folder / "recipe.json")
    assert recipe == Recipe.scaled(CROP_SIZE, epochs=2)
    model = keras.saving.load_model(folder / "model.keras", safe_mode=True)
    assert model.get_layer("norm1").__class__.__name__ == "LocalResponseNormalization"
    assert model.get_layer("conv1").kernel_constraint is None  # a limit is for training
    assert "the same, mean of ten sub-crops" in (folder / "README.md").read_text()


@pytest.mark.slow
def test_interrupted_it_resumes(train, finished, written):
    whole, *_ = finished
    written.interrupt_after(1, ".csv")  # the history is written after each epoch
    with pytest.raises(SystemExit) as ended:
        train()
    assert ended.value.code == 130
    folder = train()
    for row, expected in zip(rows_of(folder), rows_of(whole), strict=True):
        for name in ("epoch", "loss", "top_1", "val_loss", "learning_rate"):
            assert row[name] == expected[name]
    for name in ("recipe.json", "classes.json"):
        assert (folder / name).read_text() == (whole / name).read_text()


def test_a_finished_run(train, finished_run, mistake, capsys):
    folder = finished_run
    saved = (folder / "model.keras").read_bytes()
    shutil.rmtree(folder / "saved_model")
    shutil.rmtree(folder / "evolution")
    train("--export")
    printed = capsys.readouterr().out
    assert f"{folder} is finished: validation top-1 " in printed
    assert (folder / "saved_model" / "saved_model.pb").exists()
    assert (folder / "model.keras").read_bytes() == saved
    sentence = mistake("--seed", "3")
    assert "other recipe, seed (0 there, 3 here)" in sentence
    assert str(folder) in sentence
    assert "other model, layer " in mistake("--width", "0.05")
    assert "its evolution was not recorded" in mistake("--evolution")


@pytest.mark.slow
def test_a_finished_run_whose_files_are_damaged(train, finished_run, capsys):
    folder = finished_run
    saved = keras.saving.load_model(folder / "model.keras").get_weights()
    graph = (folder / "saved_model" / "saved_model.pb").read_bytes()
    (folder / "saved_model" / "saved_model.pb").write_bytes(graph[:-7])
    (folder / "classes.json").write_text("[")
    train("--export")
    tf.saved_model.load(folder / "saved_model")  # whole again
    assert json.loads((folder / "classes.json").read_text())
    content = (folder / "model.keras").read_bytes()
    (folder / "model.keras").write_bytes(content[: len(content) // 2])
    capsys.readouterr()
    train()
    assert f"{folder / 'model.keras'} is damaged: it is trained again." in capsys.readouterr().out
    again = keras.saving.load_model(folder / "model.keras").get_weights()
    for array, expected in zip(again, saved, strict=True):
        np.testing.assert_array_equal(array, expected)


def test_mistakes(mistake, tmp_path):
    assert "gone.npz" in mistake(data="gone.npz")
    recipe = str(tmp_path / "recipe.json")
    assert "states its crop_size: leave out --crop-size." in mistake("--recipe", recipe)
    assert "--epochs takes a whole number from 1" in mistake("--epochs", "0")
    assert "--net takes one of zfnet, alexnet" in mistake("--net", "vgg")
    assert "--strides takes 2 values, not 1" in mistake("--strides", "1")
    told = mistake("--without-patches")
    assert "--without-patches" in told
    assert "--evolution" in told
    assert "--width takes a finite number above 0" in mistake("--width", "0")
    assert "The strategy 'none' takes no devices" in mistake("--devices", "2")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "model.keras").touch()
    assert "contains a model, but no record of its training: give another --out." in mistake(
        out="foreign"
    )
    (tmp_path / "file").touch()
    assert "The output folder" in mistake(out="file")


def test_recipes(tmp_path):
    Recipe(epochs=9, seed=4).save(tmp_path / "mine.json")
    given = f"--data d --out o --recipe {tmp_path / 'mine.json'}"
    assert parsed(given)["training"].load() == Recipe(epochs=9, seed=4)
    assert parsed(f"{given} --epochs 3")["training"].load() == Recipe(epochs=3, seed=4)
    assert parsed("--data d --out o --recipe paper")["training"].load() == Recipe()
    with pytest.raises(ValueError, match=r"no such recipe.* Received: --recipe=gone\.json$"):
        parsed("--data d --out o --recipe gone.json")["training"].load()


def test_the_net_that_the_project_ships():
    """Its card's command gives its numbers."""
    groups = parsed("--data d --out o --epochs 45 --width 0.5 --dense-units 512 --seed 0")
    assert groups["training"].load() == Recipe.for_small_images(64)
    expected = {"width": 0.5, "dense_units": 512, "strides": (1, 2), "normalization": "batch"}
    assert convnet_of(groups) == expected


def test_runs_as_a_file(tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "train_convnet.py")]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == 2
    assert ended.stderr == "--data is required; --help lists the options.\n"


@pytest.mark.slow
def test_command_line_with_two_devices(archive, tmp_path):
    """Without what depends on the replica, dropout and batch statistics, the losses are equal."""
    recipe = Recipe.for_small_images(
        CROP_SIZE, epochs=2, dropout=0.0, batch_size=8, learning_rate=1e-5
    )
    recipe.save(tmp_path / "recipe.json")
    losses = []
    for name, strategy in (
        ("one", []),
        ("two", "--strategy mirrored --devices CPU:0,CPU:1".split()),
    ):
        command = [sys.executable, ROOT / "scripts/train_convnet.py", "--data", archive]
        command += ["--recipe", tmp_path / "recipe.json", "--normalization", "none"]
        command += ["--width", "0.03", "--dense-units", "8", "--strides", "1", "2", *strategy]
        command += ["--out", tmp_path / name]
        subprocess.run(command, check=True, capture_output=True)
        losses.append([float(row["loss"]) for row in rows_of(tmp_path / name)])
    assert len(losses[0]) == 2
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
