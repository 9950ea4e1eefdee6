"""What a user types and which files they give: one sentence and exit code 2, at once, or it runs.

`Passed` stands for the moment in which a command has accepted everything that it can know before
Keras starts.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import time

import hypothesis
import keras
import pytest
from hypothesis import strategies as st

from kerasvis.commands.class_names import load_class_names
from kerasvis.commands.command_line import application, run
from kerasvis.data.image_parts import read_parts
from kerasvis.training.recipe import Recipe
from kerasvis.training.strategies import strategy_for

SECONDS = 2  # to a refusal
STARTING = "trained_models train ablate convert correspondence evolution occlusion".split()
COMMANDS = sorted({name for name in application if name[0] != "-"} - {"completion"})


class Passed(BaseException):
    """Everything was accepted, and Keras would start now."""


@pytest.fixture(autouse=True)
def _no_keras(monkeypatch, request):
    """Ends a command where Keras would start."""

    def passed():
        raise Passed

    for command in STARTING:
        monkeypatch.setattr(f"kerasvis.commands.{command}.start_keras", passed)
    # The parts are read by what needs Keras.
    monkeypatch.setattr("kerasvis.commands.correspondence.start_keras", lambda: None)


def outcome(arguments):
    """`(passed, sentence)` of a command; fails where it takes long or ends in anything else."""
    output, errors, begin = io.StringIO(), io.StringIO(), time.process_time()
    code = 0
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            run(arguments)
        except Passed:
            code = None
        except SystemExit as ended:
            code = ended.code
    passed = code is None
    assert code in (None, 0, 2)
    assert time.process_time() - begin < SECONDS
    sentence = errors.getvalue()
    if not passed and not output.getvalue():  # of --help
        assert sentence.count("\n") == 1
        assert 10 < len(sentence) < 1500
        assert "Traceback" not in sentence
    return passed, sentence


def refused(*arguments):
    """The sentence with which a command refuses its arguments."""
    passed, sentence = outcome([str(argument) for argument in arguments])
    assert not passed, "it was accepted"
    return sentence.strip()


# What is needed for everything else to be looked at.
NEEDED = {
    "features": "--model VGG16 --images demo",
    "gallery": "--model VGG16 --images demo",
    "occlusion": "--model VGG16 --images demo:coffee",
    "explain": "--model VGG16 --image demo:coffee",
    "compare": "--model VGG16 --images demo:coffee",
    "demo": "",
    "diagnose": "--model VGG16",
    "evolution": "--snapshots snapshots",
    "invariance": "--model VGG16 --images demo:coffee",
    "unit-invariance": "--model VGG16 --images demo --layer conv1 --feature 3",
    "correspondence": "--model VGG16 --layers conv1 --parts parts.json",
    "fidelity": "--model VGG16 --images demo --layer conv1",
    "transfer": "--model VGG16 --data caltech101",
    "train": "--data caltech101 --out out",
    "ablate": "--data caltech101",
    "convert": "--net alexnet --weights weights.npz --out out.keras",
    "export": "--model VGG16 --layer conv1",
    "info": "--model VGG16",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder, with what the commands need."""
    monkeypatch.chdir(tmp_path)
    parts = {name: {"nose": [0, 0, 3, 3]} for name in ("a.png", "b.png")}
    (tmp_path / "parts.json").write_text(json.dumps(parts))
    (tmp_path / "weights.npz").touch()
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_right_passes(command):
    assert outcome([command, *NEEDED[command].split()]) == (True, "")


def test_nothing_starts_keras_before_all_that_needs_no_keras_is_checked(folder):
    """It would start with TensorFlow's notes on stderr, and only then tell what is wrong."""
    program = f"""
import importlib, sys
from kerasvis.commands.command_line import run

class Passed(BaseException):
    pass

def passed():
    assert not {{"keras", "tensorflow"}} & set(sys.modules)
    raise Passed

for module in {STARTING}:
    importlib.import_module("kerasvis.commands." + module).start_keras = passed
for command, needed in {NEEDED}.items():
    try:
        run([command, *needed.split()])
    except Passed:
        print(command)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.stdout.split() == list(NEEDED), ended.stderr
    assert ended.stderr == ""


# Cases as users gave them, and their relatives.
NUMBERS = """
features --k 999999999
features --k 0
features --k 1.5
features --k ٣٣٣٣٣٣٣٣٣٣٣
features --k nan
features --features 99999999999999999999
features --num-features -1
features --seed -1
features --seed 4294967296
features --batch-size 1e30
features --batch-size 999999999
features --image-size 0 5
features --image-size 999999999 5
gallery --k inf
occlusion --strides 99999999999999999999
occlusion --strides 0
occlusion --strides -3
occlusion --patch-size 999999999
occlusion --box 0 0 99999999999999999999 5
occlusion --box -1 0 5 5
occlusion --feature -7
occlusion --devices 999999999
occlusion --devices GPU:99999999999999999999
occlusion --devices 0
occlusion --devices CPU:0,CPU:0
compare --noise-level nan
compare --noise-level -0.1
compare --num-samples 999999999
compare --num-steps 1e9
diagnose --batch-size 0
evolution --num-features 999999999
invariance --translation 0 inf 3
invariance --translation 0 5 999999999
invariance --scale 0 1 3
invariance --scale 1 2 2.5
invariance --rotation nan 0 1
invariance --margin 999999999
unit-invariance --angles nan
unit-invariance --angles 10 1e300
unit-invariance --step 0
unit-invariance --step inf
unit-invariance --num-directions 999999999
unit-invariance --jitter -1
correspondence --draws 999999999
fidelity --num-images 99999999999
fidelity --patch-size 0
transfer --folds 999999999
transfer --per-class 0
transfer --per-class 5 99999999999999999999
transfer --largest-map 6 999999999
transfer --scratch-epochs 1e30
train --width inf
train --width nan
train --width 0
train --width -1
train --width 1e300
train --dense-units 99999999999
train --crop-size 999999999
train --epochs 999999999
train --seed -1
train --strides 99999999999999999999 1
train --evolution-images -5
train --devices 999999999
ablate --width 1e9
ablate --epochs 0
""".strip().splitlines()


@pytest.mark.parametrize("line", NUMBERS)
def test_a_number_out_of_bounds(line, folder):
    command, option, *values = line.split()
    before = sorted(folder.rglob("*"))
    sentence = refused(command, *NEEDED[command].split(), option, *values)
    assert sentence.startswith(option)
    assert "Received: " in sentence
    assert sorted(folder.rglob("*")) == before


LONG, NESTED = "x" * 300, "y" * 200 + "/"
NAMES = [
    LONG,
    NESTED * 30,
    "a\0b",
    "a\ud800b",
    "",
    "漢" * 86,
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("features", "--model"),
        ("features", "--images"),
        ("features", "--out"),
        ("features", "--tensorboard"),
        ("features", "--weights"),
        ("gallery", "--evolution"),
        ("occlusion", "--class-names"),
        ("occlusion", "--scan"),
        ("evolution", "--checkpoints"),
        ("correspondence", "--parts"),
        ("transfer", "--cache"),
        ("train", "--recipe"),
        ("train", "--out"),
        ("convert", "--weights"),
    ],
)
def test_a_name_that_no_file_can_have(command, option, name, folder):
    before = sorted(folder.rglob("*"))
    sentence = refused(command, *NEEDED[command].split(), option, name)
    assert sentence.startswith(f"{option} takes a name that the file system accepts")
    assert sorted(folder.rglob("*")) == before


TEXTS = [
    *("", "-1", "0", "7", "1.5", "nan", "inf", "-inf", "1e400", "9" * 25, "9" * 5000, "0x10"),
    *("1_000", "٣", "²", " 3 ", "none", "None", "null", "true", "[]", '["a"]', "{}", '{"k": 1}'),
    *("a\nb", "a\0b", "\udcff", "\ud800", "漢字", "x" * 5000, "x" * 300, "../..", ".", "/", "~"),
    *("/dev/null", "/dev/zero", "/proc/self/mem", "/no/such/file", "demo", "demo:", "demo:x"),
    *(
        "os:getcwd",
        "os:",
        ":x",
        "a.b:c",
        "raw",
        "GPU:0,GPU:1",
        "CPU:-1",
        "--",
        "-x",
        "--k",
        "=",
        "%s",
    ),
    *("parts.json", "weights.npz", "model.keras", "model.h5"),
]


def options_of(command):
    """`{option: number of its values, or None}`."""
    collection = application[command].assemble_argument_collection()
    return {name: argument for argument in collection for name in argument.names if argument.parse}


@hypothesis.settings(
    max_examples=20,
    suppress_health_check=[
        hypothesis.HealthCheck.function_scoped_fixture,
        hypothesis.HealthCheck.too_slow,
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
@hypothesis.given(data=st.data())
def test_whatever_is_given_ends_in_a_sentence_or_passes(command, data):
    names = st.sampled_from(sorted(options_of(command)))
    texts = st.sampled_from(TEXTS) | st.text(max_size=20)
    given = data.draw(st.lists(st.tuples(names, st.lists(texts, max_size=4)), max_size=4))
    needed = NEEDED[command].split() if data.draw(st.booleans()) else []
    outcome([command, *needed, *(text for name, texts in given for text in (name, *texts))])


CLASS_NAMES = {
    "null": "null",
    "a number": "5",
    "a huge number": "1" * 5000,
    "infinite": "Infinity",
    "a text": '"cat"',
    "true": "true",
    "none": "[]",
    "nested": '[["cat"], ["dog"]]',
    "null in a list": '["cat", null]',
    "a truth among names": '["cat", true]',
    "a fraction": "[1.5, 2.5]",
    "deeper than the recursion": "[" * 100_000 + "]" * 100_000,
    "deep objects": '{"0": ' * 50_000 + "1" + "}" * 50_000,
    "an infinite index": '[{"index": Infinity, "name": "cat"}]',
    "an index that is no number": '[{"index": "0", "name": "cat"}]',
    "a negative index": '[{"index": -1, "name": "cat"}]',
    "a huge index": '{"99999999999999999999": "cat"}',
    "an index twice": '[{"index": 0, "name": "cat"}, {"index": 0, "name": "dog"}]',
    "no names": '[{"index": 0}]',
    "mixed": '[{"index": 0, "name": "cat"}, "dog"]',
    "a nested name": '{"0": {"name": "cat"}}',
    "no JSON": "{",
    "empty": "",
    "no text": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("case", CLASS_NAMES)
def test_class_names_that_are_none(case, folder):
    content = CLASS_NAMES[case]
    path = folder / "names.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    given = ("--class-names", path, "--out", folder / "out")
    for command in ("occlusion", "compare", "invariance", "gallery"):
        sentence = refused(command, *NEEDED[command].split(), *given)
        assert sentence == (
            "The file does not hold class names: give a JSON list of names, or of objects with "
            f"index and name. Received: --class-names={path}"
        )
    assert not (folder / "out").exists()


def test_a_class_names_file_that_is_none(folder):
    os.mkfifo(folder / "pipe")
    for name in ("gone", ".", "pipe", "/dev/zero"):
        sentence = refused("occlusion", *NEEDED["occlusion"].split(), "--class-names", name)
        assert sentence.startswith("The class names cannot be read (")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('["cat", "dog"]', {0: "cat", 1: "dog"}),
        ('\ufeff["cat"]', {0: "cat"}),
        ("[7, 8]", {0: "7", 1: "8"}),
        ('{"3": "cat"}', {3: "cat"}),
        ('[{"index": 3, "name": "cat"}]', {3: "cat"}),
        ('["two\\nlines\\u0000", "\\ud800"]', {0: "two lines\0", 1: "\\ud800"}),
    ],
)
def test_class_names_that_are_some(folder, content, expected):
    (folder / "names.json").write_text(content, encoding="utf-8")
    names = load_class_names("VGG16", folder / "names.json")
    assert names == expected
    json.dumps(list(names.values()), ensure_ascii=False).encode()


PARTS = {
    "null.json": "null",
    "number.json": "5",
    "nested.json": '{"a.png": {"nose": [[0], 0, 3, 3]}}',
    "infinite.json": '{"a.png": {"nose": [0, 0, Infinity, 3]}}',
    "huge.json": '{"a.png": {"nose": [0, 0, 1' + "0" * 400 + ", 3]}}",
    "digits.json": '{"a.png": {"nose": [0, 0, ' + "9" * 5000 + ", 3]}}",
    "deep.json": "[" * 100_000,
    "three.json": '{"a.png": {"nose": [0, 0, 3]}}',
    "text.json": '{"a.png": {"nose": "0 0 3 3"}}',
    "empty.csv": "",
    "no_columns.csv": "a,b\n1,2\n",
    "short.csv": "image,part,top,left,bottom,right\na.png,nose,0,0\n",
    "huge.csv": "image,part,top,left,bottom,right\na.png,nose,0,0,1e999,3\n",
    "field.csv": "image,part,top,left,bottom,right\na.png," + "x" * 200_000 + ",0,0,3,3\n",
    "bytes.csv": b"image,part\xff\n",
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_that_are_none(name, folder):
    content = PARTS[name]
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    if name != "empty.csv":
        with pytest.raises(ValueError, match="parts of images: give"):
            read_parts(folder / name)
    sentence = refused("correspondence", *NEEDED["correspondence"].split(), "--parts", name)
    assert name in sentence or "parts of 0 images" in sentence


RECIPES = {
    "a batch of 1e30": {"batch_size": 10**30},
    "a batch of a fraction": {"batch_size": 1e30},
    "an infinite rate": {"learning_rate": float("inf")},
    "no number": {"learning_rate": float("nan")},
    "a huge deviation": {"initial_deviation": 10**400},
    "a huge image": {"image_size": 10**9, "crop_size": 10**9},
    "a negative seed": {"seed": -1},
    "a text": {"epochs": "70"},
    "a truth": {"epochs": True},
    "a list": {"momentum": [0.9]},
    "epochs without end": {"epochs": 10**12},
}


@pytest.mark.parametrize("case", RECIPES)
def test_a_recipe_whose_numbers_are_none(case, folder):
    fields = Recipe().to_dict() | RECIPES[case]
    (folder / "recipe.json").write_text(json.dumps(fields))
    with pytest.raises(ValueError, match=r"for the recipe's .* Received: "):
        Recipe.load(folder / "recipe.json")


@pytest.mark.parametrize(
    "content", ["null", "[]", "5", "[" * 100_000, "{", '{"epochs": 1}', "\xff"]
)
def test_a_recipe_that_is_none(content, folder):
    (folder / "recipe.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match="recipe"):
        Recipe.load(folder / "recipe.json")


@pytest.mark.parametrize(
    "index", ["0.5", "1.0", "-1", "true", '"0"', "null", "[]", "1e999", "9" * 5000]
)
def test_a_worker_whose_index_is_none(index, monkeypatch):
    cluster = '{"worker": ["127.0.0.1:2222", "127.0.0.1:2223"]}'
    task = f'{{"type": "worker", "index": {index}}}'
    monkeypatch.setenv("TF_CONFIG", f'{{"cluster": {cluster}, "task": {task}}}')
    with pytest.raises(ValueError, match="TF_CONFIG must contain a cluster of workers") as raised:
        strategy_for("multiworker")
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize(
    "devices", ["999999999", "0", "-1", "1.5", "GPU", "GPU:", "CPU:0,CPU:0", "", ","]
)
def test_devices_that_are_none(devices):
    with pytest.raises(ValueError, match="the number of devices, such as '2', or the name of each"):
        strategy_for("mirrored", devices)


def test_an_output_that_is_of_the_other_kind(folder):
    (folder / "file").touch()
    (folder / "net.keras").mkdir()
    (folder / "out" / "features.png").mkdir(parents=True)
    (folder / "occlusion" / "occlusion.csv").mkdir(parents=True)
    for command in sorted(set(COMMANDS) - {"convert", "info"}):
        sentence = refused(command, *NEEDED[command].split(), "--out", "file")
        assert sentence.startswith("The output folder cannot be written to (file is a file)")
    needed = NEEDED["convert"].split()
    assert "The output file is a folder" in refused("convert", *needed, "--out", "net.keras")
    assert "must end in .keras" in refused("convert", *needed, "--out", "net")
    needed = NEEDED["features"].split()
    assert "contains a folder features.png" in refused("features", *needed, "--out", "out")
    assert "contains a folder occlusion.csv" in refused("occlusion", *NEEDED["occlusion"].split())
    for option in ("--tensorboard",):
        sentence = refused("features", *needed, option, "file")
        assert f"give another {option}" in sentence


@pytest.mark.parametrize("command", ["features", "gallery", "occlusion", "compare", "fidelity"])
def test_an_output_folder_that_holds_the_inputs(command, folder):
    (folder / "photographs").mkdir()
    (folder / "photographs" / "cat.png").write_bytes(b"mine")
    layer = ["--layer", "conv1"] * (command == "fidelity")
    for out in ("photographs", ".", "photographs/../photographs"):
        given = ["--model", "VGG16", "--images", "photographs", *layer, "--out", out]
        assert "contains the input photographs" in refused(command, *given)
    assert [path.name for path in (folder / "photographs").iterdir()] == ["cat.png"]


MODELS = {
    "text.keras": b"no model",
    "empty.keras": b"",
    "model.txt": b"no model",
    "net.npz": b"no model",
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_is_none(name, folder):
    (folder / name).write_bytes(MODELS[name])
    for command in ("features", "export", "unit-invariance"):
        needed = NEEDED[command].split()
        sentence = refused(command, *needed, "--model", f"./{name}")
        assert sentence.endswith(f"Received: --model={name}")


def test_a_pipe_is_no_model(folder):
    os.mkfifo(folder / "pipe.keras")
    needed = NEEDED["export"].split()
    assert "is not a file that Keras saved" in refused("export", *needed, "--model", "pipe.keras")


LAYER_OPTIONS = [
    *((command, "--layers") for command in "features gallery explain invariance transfer".split()),
    *((command, "--layer") for command in "export unit-invariance fidelity occlusion".split()),
    ("diagnose", "--first-layer"),
    ("diagnose", "--second-layer"),
    ("correspondence", "--layers"),
    ("compare", "--feature=0 --layer"),
    ("compare", "--maps-layer"),
]


@pytest.mark.parametrize(("command", "option"), LAYER_OPTIONS)
def test_a_misspelt_layer_is_told_before_keras_starts(command, option, folder):
    conv = keras.layers.Conv2D(2, 3, name="conv1")
    keras.Sequential([keras.Input((8, 8, 3)), conv]).save(folder / "net.keras")
    needed = NEEDED[command].split()
    given = [*needed, "--model", "net.keras", *option.split()]
    sentence = refused(command, *given, "conv_1")
    received = f"{option.split()[-1]}=conv_1"
    assert sentence == f"The model has no layer 'conv_1': did you mean conv1? Received: {received}"
    assert outcome([command, *given, "conv1"]) == (True, "")
