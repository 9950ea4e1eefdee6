"""The README, word for word, from a wheel installed into an environment of its own."""

import os
import re
import shlex
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# Alone in its folder: neither the clone nor its environment may be found from there.
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "agg", "KERAS_BACKEND": "tensorflow"}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def steps():
    """`(language, text)` of every block that runs, in order."""
    return re.findall(r"```(python|sh)\n(.*?)```", README, re.DOTALL)


def test_what_it_shows_is_there():
    """Every picture and page that it leads to."""
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Python with a wheel of this project; the other packages are those of this environment."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT]
    subprocess.run(wheel, check=True, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "environment", symlinks=True)
    python = folder / "environment" / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "environment" / "lib" / version / "site-packages"
    (packages / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    subprocess.run(
        [*pip, "--python", python, "install", "--ignore-installed", "--no-deps", wheel],
        check=True,
    )
    return python


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A model from transfer learning, and photographs in class folders."""
    folder = tmp_path_factory.mktemp("workplace")
    keras.utils.set_random_seed(0)
    backbone = keras.applications.MobileNet(
        (128, 128, 3), alpha=0.5, include_top=False, weights=None, name="mobilenet"
    )
    inputs = keras.Input((128, 128, 3))
    x = keras.layers.RandomFlip("horizontal")(inputs)
    x = keras.layers.Rescaling(1 / 127.5, -1)(x)
    x = keras.layers.GlobalAveragePooling2D()(backbone(x))
    keras.Model(inputs, keras.layers.Dense(2, "softmax")(x)).save(folder / "model.keras")
    rng = np.random.default_rng(0)
    for number in range(6):
        place = folder / "photographs" / ("cat", "dog")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), "uint8"))
        coarse.resize((180, 140), Image.Resampling.BICUBIC).save(place / f"{number // 2}.png")
    return folder


@pytest.mark.slow
def test_every_step_runs(environment, workplace):
    """The Python blocks in one session, the commands between them."""
    program = ["import subprocess"]
    for language, text in steps():
        if language == "python":
            program.append(text)
            continue
        for line in text.replace("\\\n", " ").splitlines():
            command = shlex.split(line)
            assert command[0] == "kerasvis"
            arguments = [str(environment.parent / "kerasvis"), *command[1:]]
            program.append(f"subprocess.run({arguments!r}, check=True)")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [environment, "-c", "\n".join(program)],
        cwd=workplace,
        env=clean | QUIET,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    made = {path.name for path in workplace.iterdir()}
    assert made > {"features.png", "overlay.png", "evolution.png"}
    assert (workplace / "demo_output" / "index.html").is_file()
    assert (workplace / "gallery" / "index.html").is_file()
    assert (workplace / "explanation" / "index.html").is_file()


@pytest.mark.slow
def test_it_is_the_wheel_that_runs(environment, workplace):
    code = "import kerasvis, pathlib; print(pathlib.Path(kerasvis.__file__).resolve())"
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found = subprocess.run(
        [environment, "-c", code], cwd=workplace, env=clean, capture_output=True, text=True
    )
    assert ROOT not in Path(found.stdout.strip()).parents, found.stderr
    assert Path(found.stdout.strip()).is_relative_to(environment.parents[1])
