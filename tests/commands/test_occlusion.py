import csv
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import kerasvis as kv
from kerasvis.analyses import OcclusionSensitivity
from kerasvis.commands.command_line import run
from tests.marks import slow

ROOT = Path(__file__).resolve().parents[2]
SIZE = (20, 24)
CLASS_NAMES = ["tench, Tinca tinca", "great_white_shark", "<script>", "hen"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, its class names, photographs."""
    folder = tmp_path_factory.mktemp("occlusion")
    keras.utils.set_random_seed(2)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            layers.Rescaling(1 / 127.5, -1),
            layers.Conv2D(5, 3, activation="relu", name="conv1"),
            layers.MaxPooling2D(2),
            layers.Conv2D(6, 3, activation="relu", name="conv2"),
            layers.GlobalMaxPooling2D(),
            layers.Dense(4, activation="softmax", name="scores"),
        ]
    )
    model.save(folder / "model.keras")
    (folder / "classes.json").write_text(json.dumps(CLASS_NAMES))
    rng = np.random.default_rng(0)
    for name, mode in (("a.png", "RGB"), ("b.png", "L"), ("c.png", "RGBA")):
        shape = (30, 40) if mode == "L" else (30, 40, len(mode))
        pixels = rng.integers(0, 256, shape).astype("uint8")
        Image.fromarray(pixels).save(folder / name)
    (folder / "corrupt.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photograph")
    (folder / "none").mkdir()
    (folder / "bad.json").write_text("{not json")
    return folder


@pytest.fixture
def cover(folder, tmp_path):
    """Runs the command; returns the output folder."""

    def cover(
        *arguments, images=("a.png",), out=tmp_path / "out", sizes="--patch-size 6 --strides 4"
    ):
        given = ["--model", folder / "model.keras", "--images", *(folder / x for x in images)]
        given += [*sizes.split(), "--out", out, *arguments]
        run(["occlusion", *(str(argument) for argument in given)])
        return out

    return cover


def test_writes_figures_arrays_and_table(cover, folder, capsys):
    out = cover("--class", "hen", images=("a.png", "b.png", "c.png"))
    names = {path.name for path in out.glob("[!.]*")}
    assert names == {"occlusion.png", "occlusion.csv"} | {
        f"{stem}.{ending}" for stem in "abc" for ending in ("png", "npz")
    }
    with Image.open(out / "occlusion.png") as figure:
        assert min(figure.size) > 300
    model = keras.models.load_model(folder / "model.keras")
    pixels = kv.data.photographs.read_photograph(folder / "b.png", SIZE)
    expected = kv.occlusion_sensitivity(model, pixels, 3, patch_size=6, strides=4, verbose=0)
    result = OcclusionSensitivity.load(out / "b.npz")
    np.testing.assert_allclose(result.probability, expected.probability, rtol=1e-5)
    assert result.layer == "conv2"

    with open(out / "occlusion.csv", encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["image"] for line in lines] == ["a.png", "b.png", "c.png"]
    assert lines[1]["class"] == "hen"
    assert float(lines[1]["lowest"]) == pytest.approx(expected.probability.min(), abs=1e-4)
    assert "3 photographs, 5×6 positions" in capsys.readouterr().out


@pytest.mark.parametrize("asked", [slow("1"), "great_white_shark", slow("Great White Shark")])
def test_class_by_number_or_name(cover, asked):
    assert OcclusionSensitivity.load(cover("--class", asked) / "a.npz").class_index == 1


def test_the_names_of_other_classes_are_refused(cover, folder, tmp_path, sentence_of):
    (tmp_path / "classes.json").write_text(json.dumps([*CLASS_NAMES, "tulips"]))
    sentence = sentence_of(cover)("--class-names", tmp_path / "classes.json")
    assert "4 classes" in sentence
    assert "'tulips' for class 4" in sentence
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_first_word_of_a_name_is_enough(cover):
    assert OcclusionSensitivity.load(cover("--class", "tench") / "a.npz").class_index == 0


def test_options_reach_the_analysis(cover, folder):
    out = cover(
        *"--layer conv1 --feature 4 --baseline 1 2 3 --box 2 3 17 22 --method full".split(),
        sizes="--patch-size 5 4 --strides 3 2",
    )
    result = OcclusionSensitivity.load(out / "a.npz")
    assert (result.layer, result.feature_index, result.method) == ("conv1", 4, "full")
    assert (result.patch_size, result.strides) == ((5, 4), (3, 2))
    assert result.occluders.box == (2, 3, 17, 22)
    model = keras.models.load_model(folder / "model.keras")
    pixels = kv.data.photographs.read_photograph(folder / "a.png", SIZE)
    settings = {"patch_size": (5, 4), "strides": (3, 2), "box": (2, 3, 17, 22), "verbose": 0}
    expected = kv.occlusion_sensitivity(model, pixels, baseline=[1, 2, 3], **settings)
    np.testing.assert_allclose(result.probability, expected.probability, rtol=1e-5)


@pytest.mark.slow
def test_a_model_without_a_convolution(folder, tmp_path):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            layers.Rescaling(1 / 127.5, -1),
            layers.Flatten(),
            layers.Dense(4, activation="softmax", name="scores"),
        ]
    )
    model.save(tmp_path / "dense.keras")
    out = tmp_path / "out"
    given = ["--model", tmp_path / "dense.keras", "--images", folder / "a.png", "--out", out]
    run(["occlusion", *map(str, given), *"--patch-size 6 --strides 4".split()])
    with open(out / "occlusion.csv", encoding="utf-8", newline="") as file:
        (line,) = csv.DictReader(file)
    assert line["lowest"]
    assert line["feature_map"] == line["activity"] == line["lowest_activity"] == ""
    assert (out / "occlusion.png").exists()


@pytest.mark.slow
def test_projections_from_other_images(cover, folder, tmp_path):
    photographs = kv.data.ImageFolder(folder, SIZE, "raw")
    model = keras.models.load_model(folder / "model.keras")
    scan = tmp_path / "top.npz"
    kv.find_top_activations(model, ["conv2"], photographs, 2, verbose=0).save(scan)
    out = cover("--scan", scan, "--scan-images", folder)
    assert (out / "occlusion.png").exists()


@pytest.mark.usefixtures("eager_functions")
def test_a_second_run_analyzes_nothing_again(cover, convolutions, written):
    out = cover()
    first = (out / "a.npz").read_bytes()
    num_calls = convolutions.num_new()
    written.paths.clear()
    assert (cover() / "a.npz").read_bytes() == first
    assert written.new(".npz") == []
    assert convolutions.num_new() < num_calls / 4  # which layers hold feature maps, and their size


MISTAKES = {
    "no photograph": (["--images", "nowhere.png"], "There is no such photograph or folder: give"),
    "corrupt": (["--images", "{folder}/corrupt.jpg"], "The photograph cannot be read: "),
    "no photographs": (["--images", "{folder}/none"], "none"),
    "demo": (
        ["--images", "demo:cofee"],
        "There is no such bundled photograph: give one of astronaut",
    ),
    "class": (
        ["--class", "hem"],
        "There is no class of that name: did you mean hen? Received: --class=hem",
    ),
    "class number": (
        ["--class", "4"],
        "The model has 4 classes: give 0 to 3. Received: --class=4",
    ),
    "layer": (["--layer", "conv3"], "no layer 'conv3': did you mean conv2 or conv1?"),
    "feature": (["--feature", "6"], "has 6 feature maps: give 0 to 5. Received: feature=6"),
    "dense layer": (["--layer", "scores"], "has no rows and columns: give a layer of feature maps"),
    "large": (
        ["--patch-size", "21", "--strides", "4"],
        "The occluder of 21×21 pixels is larger than the image of",
    ),
    "stride": (["--strides", "0"], "--strides takes a whole number from 1 to 16,384."),
    "twice": (["--box", *"0 0 9 9".split(), "--patch-size", "3", "--patch-size", "4"], "twice: "),
    "fill": (["--baseline", "green"], "a colour or an image. Received: baseline='green'"),
    "mean": (["--baseline", "mean"], "Neither the model nor its preprocessing contains the mean"),
    "scan alone": (["--scan", "top.npz"], "--scan refers to images by number: also give"),
    "images alone": (["--scan-images", "demo"], "also give --scan, top_activations.npz"),
    "names": (["--class-names", "{folder}/bad.json"], "The file does not hold class names: give"),
    "devices": (["--devices", "GPU:7"], "GPU:7"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_sentence(cover, folder, capsys, mistake):
    arguments, sentence = MISTAKES[mistake]
    with pytest.raises(SystemExit) as stopped:
        cover(*(argument.format(folder=folder) for argument in arguments), sizes="")
    errors = capsys.readouterr().err.strip().splitlines()
    assert stopped.value.code == 2
    assert sentence in errors[-1]
    assert not re.search("Traceback|Error:", "\n".join(errors))


@pytest.mark.slow
def test_command_line_with_two_devices(folder, tmp_path):
    outputs = []
    for devices in ([], ["--devices", "CPU:0,CPU:1"]):
        out = tmp_path / f"out{len(devices)}"
        command = [sys.executable, ROOT / "scripts/occlusion_sensitivity.py", "--out", out]
        command += ["--model", folder / "model.keras", "--images", folder / "a.png"]
        command += ["--patch-size", "6", "--strides", "4", "--batch-size", "7", *devices]
        subprocess.run(command, check=True, capture_output=True)
        outputs.append(OcclusionSensitivity.load(out / "a.npz"))
    np.testing.assert_array_equal(outputs[0].probabilities, outputs[1].probabilities)
    np.testing.assert_array_equal(outputs[0].activity, outputs[1].activity)


@pytest.mark.slow
def test_killed_and_started_again(folder, tmp_path):
    command = [sys.executable, ROOT / "scripts/occlusion_sensitivity.py"]
    command += ["--model", folder / "model.keras", "--patch-size", "6", "--strides", "1"]
    command += ["--images", *(folder / name for name in ("a.png", "b.png", "c.png"))]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, "--out", whole], check=True, capture_output=True)

    running = subprocess.Popen([*command, "--out", killed], stdout=subprocess.DEVNULL)
    while not (killed / "a.npz").exists():
        assert running.poll() is None
        time.sleep(0.01)
    running.kill()
    running.wait()
    finished = (killed / "a.npz").stat().st_mtime_ns
    assert not (killed / "occlusion.png").exists()
    subprocess.run([*command, "--out", killed], check=True, capture_output=True)
    assert (killed / "a.npz").stat().st_mtime_ns == finished
    for name in ("a.npz", "b.npz", "c.npz", "occlusion.csv"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize("out", [".", "..", "../photos"])
def test_photographs_are_never_replaced(folder, tmp_path, sentence_of, out):
    photographs = tmp_path / "photos"
    photographs.mkdir()
    content = (folder / "a.png").read_bytes()
    (photographs / "cat.png").write_bytes(content)
    given = ["--model", folder / "model.keras", "--images", photographs, "--patch-size", 6]
    given += ["--out", photographs / out]
    sentence = sentence_of(run)(["occlusion", *map(str, given)])
    assert "--out" in sentence
    assert str(photographs) in sentence
    assert (photographs / "cat.png").read_bytes() == content
    assert [path.name for path in photographs.iterdir()] == ["cat.png"]
