"""`--engine ray`: what the commands write, against the files that they write without it."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from kerasvis.commands.command_line import run
from tests.engines.light_work import files

SIZE = (16, 20)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """`--model FILE --images FOLDER`."""
    folder = tmp_path_factory.mktemp("given")
    keras.utils.set_random_seed(0)
    conv = {"kernel_size": 3, "activation": "relu"}
    layers = [
        keras.layers.Conv2D(3, name="first", **conv),
        keras.layers.Conv2D(4, name="last", **conv),
    ]
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4, "softmax")]
    keras.Sequential([keras.Input((*SIZE, 3)), *layers]).save(folder / "net.keras")
    (folder / "photographs").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (9, *SIZE, 3), "uint8")
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / "photographs" / f"{number}.png")
    return ["--model", str(folder / "net.keras"), "--images", str(folder / "photographs")]


def fifty_photographs(folder, directory):
    """Those of a folder again and again: as many as a diagnosis needs."""
    directory.mkdir()
    for number in range(50):
        shutil.copy(Path(folder) / f"{number % 9}.png", directory / f"{number}.png")
    return directory


OPTIONS = {
    "features": ["--layers", "first", "last", "--k", "2", "--batch-size", "2"],
    "gallery": ["--layers", "first", "--k", "2", "--batch-size", "2"],
    "occlusion": ["--patch-size", "7", "--strides", "9"],
    "explain": ["--patch-size", "7", "--strides", "9", "--layers", "last", "--num-features", "1"],
    "diagnose": ["--batch-size", "16"],
    "fidelity": ["--layer", "last", "--num-images", "3", "--methods", "deconvnet", "edges"],
}


@pytest.mark.slow
@pytest.mark.parametrize("command", OPTIONS)
def test_the_files_are_the_same(command, machines, given, tmp_path):
    *model, option, folder = given
    if command == "explain":
        option = "--image"
    if command == "diagnose":
        folder = fifty_photographs(folder, tmp_path / "photographs")
    arguments = [command, *model, option, str(folder), *OPTIONS[command]]
    run([*arguments, "--out", str(tmp_path / "here")])
    run([*arguments, "--out", str(tmp_path / "there"), "--engine", "ray"])
    assert files(tmp_path / "here") == files(tmp_path / "there")
    assert len(files(tmp_path / "there")) > 3


def test_another_engine_is_refused(given, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(["features", *given, "--out", str(tmp_path / "out"), "--engine", "spark"])
    assert "ray:ADDRESS" in capsys.readouterr().err
