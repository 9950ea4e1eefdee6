import csv
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from kerasvis.analyses.fidelity import fidelity_report
from kerasvis.analyses.fidelity.fidelity_result import FidelityReport
from kerasvis.analyses.fidelity.fidelity_table import fidelity_rows
from kerasvis.commands.command_line import run
from kerasvis.commands.fidelity import CHECKS
from kerasvis.commands.fidelity import DEFAULT_METHODS as METHODS

ROOT = Path(__file__).resolve().parents[2]
SIZE = (19, 16)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    keras.utils.set_random_seed(0)
    stack = [
        keras.Input((*SIZE, 3)),
        layers.Rescaling(1 / 127.5, -1),
        layers.Conv2D(5, 3, activation="relu", name="conv1"),
        layers.Conv2D(4, 3, 2, activation="relu", name="conv2"),
    ]
    path = tmp_path_factory.mktemp("model") / "small.keras"
    keras.Sequential(stack).save(path)
    return path


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for number in range(5):
        pixels = rng.integers(0, 256, (*SIZE, 3)).astype("uint8")
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def check(model_file, photographs, tmp_path):
    """Runs the command; returns the output folder."""

    def check(*options, layer="conv2", images=photographs):
        out = tmp_path / "out"
        given = ["--model", model_file, "--images", images, "--layer", layer, "--out", out]
        run(["fidelity", *(str(argument) for argument in (*given, *options))])
        return out

    return check


def test_writes_and_prints_the_report(check, model_file, photographs, capsys):
    out = check("--num-images", 2)
    written = {f"fidelity.{suffix}" for suffix in ("png", "csv", "npz")}
    assert {path.name for path in out.glob("[!.]*")} == {*written, "parts"}
    with Image.open(out / "fidelity.png") as image:
        image.load()
    pixels = [np.asarray(Image.open(photographs / f"{n}.png")) for n in (0, 2)]
    model = keras.saving.load_model(model_file)
    expected = fidelity_report.fidelity_report(
        model, "conv2", np.stack(pixels).astype("float32"), METHODS, verbose=0
    )
    report = FidelityReport.load(out / "fidelity.npz")
    np.testing.assert_array_equal(report.positions, expected.positions)
    rows = fidelity_rows(expected)
    with open(out / "fidelity.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    numbers = {(x["check"], x["measure"], x["method"]): float(x["value"]) for x in lines}
    for row in rows:
        for method, number in [*row.values.items(), *([row.reference] if row.reference else [])]:
            found = numbers.pop((row.check, row.measure, method))
            assert found == pytest.approx(number, abs=2e-4, nan_ok=True)
    assert not numbers
    printed, errors = capsys.readouterr()
    assert errors == ""
    lines = printed.splitlines()
    assert lines[0] == "2 of 5 images, layer conv2"
    assert lines[2].split() == ["check", "measure", *METHODS, "random"]
    assert len(lines) == 3 + len(rows) + 2
    assert lines[-2].startswith("Unaffected by random weights down to conv1")
    assert "edges" in lines[-2]
    assert lines[-1] == f"Figure: {out / 'fidelity.png'}"


def test_some_checks_of_some_methods(check, capsys):
    options = ("--methods", "gradient", "--checks", "patch_sufficiency", "--patch-size", 3, 2)
    check(*options, "--num-images", 3, "--baseline", "noise", "--feature", 1)
    printed = capsys.readouterr().out
    assert "activation, 3×2 occluded" in printed
    assert "deletion" not in printed
    assert "Random weights were not tried." in printed


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--num-images", 9), "There are only 5 images: give a smaller --num-images."),
        (("--num-images", 2, "--stages", "pool"), "Stage 'pool' is not a layer with weights"),
        (("--num-images", 2, "--patch-size", 99), "Received: patch_size=(99, 99)"),
        (("--num-images", 2, "--methods", "lrp"), "Received: --methods=lrp"),
        (("--num-images", 0), "Received: --num-images=0"),
    ],
)
def test_mistakes(check, capsys, options, sentence):
    with pytest.raises(SystemExit) as ended:
        check(*options)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_a_wrong_layer(check, capsys):
    with pytest.raises(SystemExit):
        check("--num-images", 2, layer="conv7")
    assert "The model has no layer 'conv7': did you mean" in capsys.readouterr().err


def test_names_are_those_of_the_library():
    assert tuple(fidelity_report.CHECKS) == CHECKS


def test_a_second_run_measures_nothing_again(check, written):
    options = ("--num-images", 2, "--checks", "selectivity", "patch_sufficiency")
    out = check(*options)
    first = (out / "fidelity.npz").read_bytes()
    assert len([path for path in written.new(".npz") if path.parent.name == "parts"]) > 2
    check(*options)
    assert (out / "fidelity.npz").read_bytes() == first
    assert [path for path in written.new(".npz") if path.parent.name == "parts"] == []


def test_parts_that_cannot_be_written(check, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "parts").write_text("here")
    with pytest.raises(SystemExit) as ended:
        check("--num-images", 2)
    assert ended.value.code == 2
    assert "parts" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_and_started_again(model_file, photographs, tmp_path):
    command = [sys.executable, ROOT / "scripts/check_fidelity.py", "--layer", "conv2"]
    command += ["--model", model_file, "--images", photographs, "--num-images", "3"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, "--out", whole], check=True, capture_output=True)

    def kept():
        paths = (killed / "parts").glob("[!.]*.npz")
        return {path.name: path.stat().st_mtime_ns for path in paths}

    for num_parts in (1, 6):
        running = subprocess.Popen([*command, "--out", killed], stdout=subprocess.DEVNULL)
        while len(kept()) < num_parts:
            assert running.poll() is None
            time.sleep(0.01)
        running.kill()
        running.wait()
    finished = kept()
    assert not (killed / "fidelity.npz").exists()
    subprocess.run([*command, "--out", killed], check=True, capture_output=True)
    assert finished.items() <= kept().items()
    for name in ("fidelity.npz", "fidelity.csv", "fidelity.png"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
