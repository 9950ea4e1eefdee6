"""Whatever is given to whichever option: a sentence and exit code 2 in two seconds, or it works.

Commands and options are those of the commands' own parsers, so that a new option is attacked
without anybody thinking of it. A draw is a valid set of arguments of which one or two values are
replaced by hostile ones; it is determined by its seed alone, which a failure tells. The work itself
is cut short where it begins: at the first pass through a model, at its construction for a training,
or at the figures.
"""

import contextlib
import io
import json
import os
import random
import re
import secrets
import shlex
import time
import traceback
from typing import NamedTuple

import keras
import numpy as np
import pytest
from keras import layers

import kerasvis as kv
from kerasvis.activations.scan import Scan
from kerasvis.analyses.transfer.feature_cache import FeatureCache
from kerasvis.commands import trained_models
from kerasvis.commands.command_line import application, run
from kerasvis.data.bundled import BUNDLED_MODEL
from kerasvis.deconvnet import DeconvModel
from tests.attack.attacked import SIZE, write_photographs

SECONDS = 2  # of this process, to a refusal
NUM_QUICK, NUM_SLOW = 100, 3_000
COMMANDS = sorted(name for name in application if name[0] != "-")

# Valid values of what has to be given; a new option of that kind is missed here by a KeyError.
VALUES = {
    "--model": ["model.keras"],
    "--images": ["photographs"],
    "--image": ["photographs/00.bmp"],
    "--layer": ["conv1"],
    "--layers": ["conv1"],
    "--feature": ["0"],
    "--parts": ["parts.json"],
    "--data": ["classes"],
    "--snapshots": ["snapshots"],
    "--net": ["alexnet"],
    "--weights": ["weights.npz"],
    "--out": ["out"],
    "SHELL": ["bash"],
}
OWN_VALUES = {"convert": {"--out": ["out.keras"]}}
ALSO_NEEDED = {  # by what the options together say
    "evolution": ["--snapshots"],
    "unit-invariance": ["--images"],
    "correspondence": ["--images"],
}

NUMBERS = (
    *("0", "-1", "1", "2", "3", "0.5", "1.5", "1e30", "-1e30", "1e400", "999999999", "9" * 20),
    *("9" * 5000, "nan", "inf", "-inf", "0x10", "1_000", "٣", "²", " 3 ", "+2", "-0", "1,2"),
)
NAMES = (
    *("", " ", "x" * 300, "x" * 5000, "y/" * 3000, "a\0b", "\ud800", "\udcff", "../..", "..", "."),
    *("-", "--", "=", "a=", "=b", "a=b", "a=1,x", "%s", "{}", "{0}", "a\nb", "\x1b[31m", "\u202e"),
    *("conv1", "conv2", "conv3", "scores", "conv1:2", "a/b", "null", "None", "true", "[]"),
    *("os:", ":x", "a.b:c", "os:path", "math:pi", "json:loads", "os:getcwd", "builtins:int"),
    *('{"a": 1}', "relaxed", "caffe", "unit"),
    *("deconvnet", "guided", "grad_cam", "linear", "sigmoid", "GPU:0,GPU:1", "CPU:-1", "CPU:0"),
    *("demo", "demo:", "demo:x", "demo:coffee", "grey", "mean", "noise", "VGG17", "~", "~nobody"),
    *("gs://x/y", "http://127.0.0.1:1/x.keras", "c:\\x", "con", "*.png", "--k", "-x"),
)


def noise(number, seed=0):
    return np.random.default_rng(seed).bytes(number)


CONTENTS = {  # name, with every ending → content
    "empty": b"",
    "noise": noise(3000),
    "zeros": bytes(3000),
    "text": b"no such thing\n",
    "null": b"null",
    "number": b"1e999",
    "list": b'[[1], {"a": null}]',
    "object": b'{"0": {"name": ["a"]}, "image.png": {"eye": [0, 0, 1e999, "x"]}}',
    "deep": b"[" * 100_000,
    "long": b'"' + b"x" * 3_000_000 + b'"',
    "nul": b"image,part,top,left,bottom,right\na\0.png,\0,0,0,3,3\n",
    "zip": b"PK\x03\x04" + noise(500, 1),
    "picture": b"\x89PNG\r\n\x1a\n" + noise(500, 2),
    "hdf5": b"\x89HDF\r\n\x1a\n" + noise(500, 3),
}
ENDINGS = (".keras", ".h5", ".npz", ".npy", ".json", ".csv", ".png", ".jpg", "")


def make_files(folder):
    """Files and folders that are not what an option takes; returns their names."""
    names = [f"{name}{ending}" for name in CONTENTS for ending in ENDINGS]
    for number, name in enumerate(names):
        (folder / name).write_bytes(CONTENTS[name.partition(".")[0]])
        if number % 7 == 0:
            (folder / f"{name}.link").symlink_to(name)
    for ending in ENDINGS:
        (folder / f"folder{ending}").mkdir()
        (folder / f"dangling{ending}").symlink_to("nowhere")
        names += [f"folder{ending}", f"dangling{ending}", f"missing{ending}", f"text/x{ending}"]
    (folder / "loop").symlink_to("loop")
    (folder / "of_files").mkdir()
    for name in ("noise.png", "text.jpg", "empty.bmp"):
        (folder / "of_files" / name).write_bytes(CONTENTS[name.partition(".")[0]])
    os.mkfifo(folder / "pipe")
    if os.geteuid():  # root may read everything
        (folder / "unreadable.json").touch(mode=0)
        names.append("unreadable.json")
    return [
        *names,
        "loop",
        "of_files",
        "pipe",
        "/dev/null",
        "photographs",
        "classes",
        "model.keras",
    ]


class Passed(BaseException):
    """Everything was accepted, and the work begins."""


class Draw(NamedTuple):
    """Arguments of a command, and the seed that they follow from."""

    seed: int
    arguments: list[str]


class Ending(NamedTuple):
    """How a command ended.

    Attributes:
        draw: its arguments.
        sentence: what it printed to stderr.
        seconds: of this process.
        fault: what is wrong with it; "" if nothing is.
        is_refusal: whether it ended with exit code 2.
    """

    draw: Draw
    sentence: str
    seconds: float
    fault: str
    is_refusal: bool

    def __str__(self):
        line = shlex.join([repr(text)[1:-1][:200] for text in self.draw.arguments])
        return f"seed {self.draw.seed}: kerasvis {line}\n    {self.fault}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the options lead to, in the midst of folders that a hostile name may lead out to."""
    folder = tmp_path_factory.mktemp("arguments") / "a" / "b" / "c"
    folder.mkdir(parents=True)
    convolutions = [
        layers.Conv2D(3, 3, activation="relu", name=name) for name in ("conv1", "conv2")
    ]
    head = [layers.GlobalMaxPooling2D(), layers.Dense(3, activation="softmax", name="scores")]
    keras.Sequential([keras.Input((*SIZE, 3)), *convolutions, *head]).save(folder / "model.keras")
    write_photographs(folder / "photographs", 9)
    for name in ("ant", "bee"):
        write_photographs(folder / "classes" / name, 40, size=(9, 11))
    parts = {f"{n:02}.bmp": {"eye": [2, 3, 8, 9], "nose": [9, 9, 15, 16]} for n in range(2)}
    (folder / "parts.json").write_text(json.dumps(parts))
    (folder / "weights.npz").write_bytes(CONTENTS["noise"])
    (folder / "snapshots").symlink_to(BUNDLED_MODEL / "evolution")
    return folder


@pytest.fixture(scope="module")
def files(folder):
    return make_files(folder)


@pytest.fixture(autouse=True)
def _no_work(monkeypatch, folder):
    """Ends a command where the work begins; the model is loaded once."""

    def passed(*_, **__):
        raise Passed

    for kind, names in {
        keras.Model: ["fit", "predict", "predict_on_batch"],
        Scan: ["run"],
        DeconvModel: ["export", "project", "project_units_by"],
        FeatureCache: ["compute"],
        kv.analyses: ["ablate"],
        kv.training: ["fit"],
    }.items():
        for name in names:
            monkeypatch.setattr(kind, name, passed)
    monkeypatch.setattr("kerasvis.commands.train.build", passed)
    monkeypatch.setattr("kerasvis.commands.evolution.write_figures", passed)
    monkeypatch.chdir(folder)
    loaded = trained_models.load_file(folder / "model.keras")
    load_file = trained_models.load_file

    def load_once(path):
        return loaded if str(path) == "model.keras" else load_file(path)

    monkeypatch.setattr(trained_models, "load_file", load_once)


def options_of(command):
    """`{name: what the parser knows of an option}`."""
    collection = application[command].assemble_argument_collection()
    return {each.names[0]: each for each in collection if each.parse and each.names[0] != "*"}


def drawn(seed, files):
    """The `Draw` of a seed."""
    draw = random.Random(seed)
    command = draw.choice(COMMANDS)
    options = options_of(command)
    given = valid_values(command)
    for name in draw.sample(sorted(options), min(draw.choice([1, 1, 2]), len(options))):
        given[name] = hostile_values(options[name], files, draw)
    return Draw(seed, command_line(command, given, draw))


def valid_values(command):
    """`{option: values}` of what has to be given."""
    needed = [name for name, option in options_of(command).items() if option.required]
    needed += ALSO_NEEDED.get(command, [])
    values = VALUES | OWN_VALUES.get(command, {})
    return {name: values[name] for name in needed}


def command_line(command, given, draw):
    """The arguments, written in either way."""
    arguments = [command]
    for name, values in given.items():
        if not name.startswith("-"):
            arguments += values
        elif values and draw.random() < 0.3:
            arguments += [f"{name}={values[0]}", *values[1:]]
        else:
            arguments += [name, *values]
    return arguments


def hostile_values(option, files, draw):
    """Values of an option: mostly of its kind, and as many as it takes."""
    number = option.token_count()[0]
    number = draw.choice([number, number, number, number, 0, 1, 3])
    is_number = re.search(r"int|float", str(option.hint)) is not None
    own_pools = [NUMBERS] if is_number else [NAMES, files, files]
    pools = own_pools if draw.random() < 0.7 else [NUMBERS, NAMES, files]
    values = [draw.choice(draw.choice(pools)) for _ in range(number)]
    if number > 1 and draw.random() < 0.5:
        values[1:] = ["2"] * (number - 1)
    return values


# How a sentence tells what to do or what was received.
IS_A_SENTENCE = re.compile(r"Received: |--help|[Gg]ive |[Dd]id you mean|leave out|it has ")
IS_PYTHON = re.compile(
    r"Traceback|Error:|Errno|object at 0x|<(class|function|module|tf|keras)|\x1b|_[A-Za-z]+\(\)"
)


def ending_of(draw):
    """Runs a command; returns its `Ending`."""
    printed, errors = io.StringIO(), io.StringIO()
    begin, code, fault = time.process_time(), 0, ""
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        try:
            run(draw.arguments)
        except Passed:
            pass
        except SystemExit as ended:
            code = ended.code
        except BaseException:
            fault = traceback.format_exc()[-1500:]
    seconds = time.process_time() - begin
    if not fault:
        fault = fault_of(code, errors.getvalue(), seconds)
    return Ending(draw, errors.getvalue(), seconds, fault, code == 2)


def fault_of(code, errors, seconds):
    if code not in (0, 2):
        return f"exit code {code}: {errors[:500]}"
    lines = [line for line in errors.splitlines() if line.strip() and "%|" not in line]
    if code == 0:
        return ""
    if len(lines) != 1 or not 10 < len(lines[0]) < 7000:
        return f"{len(lines)} lines: {errors[:700]}"
    if not IS_A_SENTENCE.search(lines[0]) or IS_PYTHON.search(lines[0]):
        return f"no sentence: {lines[0][:700]}"
    return f"{seconds:.1f} s: {lines[0][:300]}" if seconds > SECONDS else ""


def check(seeds, files):
    endings = [ending_of(drawn(seed, files)) for seed in seeds]
    refused = [ending for ending in endings if ending.is_refusal]
    faulty = [ending for ending in endings if ending.fault]
    print(
        f"{len(endings)} draws: {len(refused)} refused, the slowest after "
        f"{max(ending.seconds for ending in refused):.2f} s; {len(faulty)} faults"
    )
    assert not faulty, "\n".join(map(str, faulty))
    assert len(refused) > len(endings) / 2


def test_the_same_arguments_every_time(files):
    check(range(NUM_QUICK), files)


@pytest.mark.slow
def test_other_arguments_every_time(files):
    begin = secrets.randbits(32)
    print(f"seeds from {begin}")
    check(range(begin, begin + NUM_SLOW), files)


def test_a_seed_determines_its_arguments(files):
    assert drawn(7, files) == drawn(7, files) != drawn(8, files)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_valid_arguments_are_accepted(command, files):
    """Otherwise a refusal would say nothing of the hostile value."""
    ending = ending_of(Draw(0, command_line(command, valid_values(command), random.Random(0))))
    # Of published weights there are none; what was given comes as far as its being read.
    assert ending.is_refusal == (command == "convert"), ending
    assert not ending.fault, ending
