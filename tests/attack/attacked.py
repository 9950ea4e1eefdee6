"""What is attacked: commands on small inputs, and how their runs end."""

import contextlib
import io
import json
import multiprocessing
import os
import random
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from kerasvis.commands.command_line import run
from kerasvis.storage.files import TEMPORARY

ROOT = Path(__file__).resolve().parents[2]
SIZE = (20, 24)
TINY = "--width 0.03 --dense-units 8 --crop-size 40 --epochs 2"

# name → options, in which {inputs} is the folder of inputs and {out} that of the run.
COMMANDS = {
    "features": "--model {inputs}/model.keras --images {inputs}/many --num-features 2 --k 2",
    "gallery": "--model {inputs}/model.keras --images {inputs}/many --layers conv1 --k 2",
    "occlusion": "--model {inputs}/model.keras --images {inputs}/few --patch-size 6 --strides 4",
    "diagnose": "--model {inputs}/model.keras --images {inputs}/many",
    "invariance": (
        "--model {inputs}/model.keras --images {inputs}/few --translation -2 2 3 --scale 1 1.2 2 "
        "--rotation 0 90 2"
    ),
    "correspondence": (
        "--model {inputs}/model.keras --parts {inputs}/parts.json --layers conv2 --draws 2"
    ),
    "fidelity": (
        "--model {inputs}/model.keras --images {inputs}/few --layer conv2 --num-images 2 "
        "--checks selectivity patch_sufficiency --methods deconvnet edges"
    ),
    "transfer": (
        "--model {inputs}/model.keras --data {inputs}/classes --layers conv1 --per-class 2 "
        "--folds 1 --head svm --cache {out}/cache"
    ),
    "train": "--data {inputs}/classes " + TINY,
    "ablate": "--data {inputs}/classes --variants none " + TINY,
}
QUICK = ("correspondence", "gallery")  # attacked in every `make test`
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tensorflow", "keras", "kerasvis", "tests.attack.attacked"])


class Outcome(NamedTuple):
    """How a run ended: exit code, and what it printed."""

    code: int
    printed: str
    errors: str

    @property
    def is_a_sentence(self):
        """Whether it was refused in one line."""
        is_line = len(lines_of(self.errors)) == 1
        return self.code == 2 and is_line and "Traceback" not in self.errors


def lines_of(errors):
    """The lines of what was printed to stderr, without progress bars."""
    return [line for line in errors.splitlines() if line.strip() and "%|" not in line]


def make_inputs(folder):
    """Writes the inputs of all commands; photographs of a kind are of one size in bytes."""
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    stack = [
        keras.Input((*SIZE, 3)),
        layers.Rescaling(1 / 127.5, -1),
        layers.Conv2D(5, 3, activation="relu", name="conv1"),
        layers.MaxPooling2D(2),
        layers.Conv2D(4, 3, activation="relu", name="conv2"),
        layers.GlobalMaxPooling2D(),
        layers.Dense(3, activation="softmax", name="scores"),
    ]
    keras.Sequential(stack).save(folder / "model.keras")
    write_photographs(folder / "many", 52)
    write_photographs(folder / "few", 3)
    for label, name in enumerate(("ant", "bee")):
        write_photographs(folder / "classes" / name, 6, seed=label, size=(44, 44))
    parts = {f"{n:02}.bmp": {"eye": [2, 3, 8, 9], "nose": [9, 9, 15, 16]} for n in range(3)}
    (folder / "few" / "parts.json").write_text(json.dumps(parts))
    (folder / "few" / "parts.json").rename(folder / "parts.json")
    for photograph in (folder / "few").iterdir():  # beside the file that notes their parts
        (folder / photograph.name).write_bytes(photograph.read_bytes())


def write_photographs(folder, number, seed=0, size=SIZE):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for photograph in range(number):
        pixels = rng.integers(0, 256, (*size, 3)).astype("uint8")
        Image.fromarray(pixels).save(folder / f"{photograph:02}.bmp")


def arguments_of(command, inputs, out, more=""):
    options = COMMANDS[command].format(inputs=inputs, out=out)
    return [command, *shlex.split(f"{options} {more}"), "--out", str(out)]


def outcome(arguments):
    """Runs a command in this process."""
    printed, errors = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        try:
            run(arguments)
        except SystemExit as ended:
            code = ended.code
    return Outcome(code, printed.getvalue(), errors.getvalue())


def started(arguments):
    """Starts a command as a process of its own, from the beginning."""
    return subprocess.Popen(
        [sys.executable, "-m", "kerasvis", *arguments],
        cwd=ROOT,
        preexec_fn=take_interruptions,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


class Forked:
    """A command in a process forked from one in which TensorFlow is imported already.

    It behaves as one of `started`, but is in the midst of its work at once.
    """

    def __init__(self, arguments):
        with tempfile.NamedTemporaryFile(delete=False) as file:
            self._errors = Path(file.name)
        self._process = FORKS.Process(target=run_and_exit, args=(arguments, str(self._errors)))

    def __enter__(self):
        self._process.start()
        return self

    def __exit__(self, *_):
        self._process.join()
        self._errors.unlink()

    @property
    def returncode(self):
        return self._process.exitcode

    def send_signal(self, number):
        with contextlib.suppress(ProcessLookupError):  # it has just ended, as with Popen
            os.kill(self._process.pid, number)

    def communicate(self, timeout=None):
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("kerasvis", timeout)
        return None, self._errors.read_text()


def take_interruptions():
    """As in a terminal: what a shell runs in the background ignores Ctrl-C, as do its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def run_and_exit(arguments, errors):
    """Runs a command, with what it prints to stderr in a file, and ends the process."""
    code = 0
    try:
        take_interruptions()
        os.chdir(ROOT)
        sys.stdin.close()
        for name, number in ((os.devnull, 1), (errors, 2)):
            os.dup2(os.open(name, os.O_WRONLY), number)
        run(arguments)
    except SystemExit as ended:
        code = ended.code
    sys.stderr.flush()
    os._exit(code or 0)


def files_of(folder):
    """`{path in the folder: bytes}`."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def results_of(command, folder):
    """What a run is to end with, whatever happened before: `{name: content}`."""
    if command == "train":
        return {"weights": weights_of(folder / "model.keras"), "history": losses_of(folder)}
    if command == "ablate":
        with np.load(folder / "ablation.npz") as arrays:
            return {name: arrays[name].tobytes() for name in arrays.files if name != "seconds"}
    assert not list(folder.rglob(f"*{TEMPORARY}*"))
    return {path: content for path, content in files_of(folder).items() if is_result(path)}


def is_result(path):
    """Whether a file is for the user: neither hidden nor one of the parts, which may be more."""
    return not Path(path).name.startswith(".") and Path(path).parts[0] not in ("parts", "cache")


def weights_of(filepath):
    import keras

    return b"".join(weight.tobytes() for weight in keras.saving.load_model(filepath).get_weights())


def losses_of(folder):
    rows = (folder / "history.csv").read_text().splitlines()
    return [row.split(",")[:4] for row in rows]


def draw_of(seed=None):
    """A source of random numbers, whose seed is printed, so that a failure can be repeated."""
    seed = secrets.randbits(32) if seed is None else seed  # Keras seeds Python's own
    print(f"seed {seed}")
    return random.Random(seed)


def damaged(content, draw):
    """The content with one bit flipped, or cut short."""
    if not content:
        return b"x"
    place = draw.randrange(len(content))
    flipped = bytes([content[place] ^ (1 << draw.randrange(8))])
    return content[:place] + draw.choice([b"", flipped + content[place + 1 :]])
