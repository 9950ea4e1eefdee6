import re
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import kerasvis as kv
from kerasvis.commands.command_line import run
from kerasvis.deconvnet.targets import Strongest

ROOT = Path(__file__).resolve().parents[2]
SIZE = (21, 16)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            layers.Conv2D(4, 3, activation="relu", name="conv1"),
            layers.MaxPooling2D(2, name="pool1"),
            layers.Conv2D(7, 3, activation="relu", name="conv2"),
            layers.Flatten(),
            layers.Dense(500, name="classes"),
        ],
        name="small",
    )
    path = tmp_path_factory.mktemp("models") / "small.keras"
    model.save(path)
    return path


@pytest.fixture
def export(model_file, tmp_path):
    """Runs the command; returns the output folder."""

    def export(*arguments, model=model_file, layer="conv2", out=tmp_path / "out"):
        given = ["--model", model, "--layer", layer, "--out", out, *arguments]
        run(["export", *(str(argument) for argument in given)])
        return out

    return export


@pytest.fixture
def mistake(export, sentence_of):
    return sentence_of(export)


WITHOUT_KERASVIS = """
import sys
sys.modules["keras"] = sys.modules["kerasvis"] = None  # importing them fails
import numpy as np
images, feature = (np.load(sys.argv[1])[name] for name in ("images", "feature"))
{printed}
np.savez(sys.argv[2], **served)
"""


def printed_call(text):
    """The lines of Python among those printed."""
    indented = re.search(r"without kerasvis:\n\n(.*?)\n\nwith n pairs", text, re.DOTALL)[1]
    return textwrap.dedent(indented)


@pytest.mark.slow
@pytest.mark.parametrize("rectification", ["guided", "deconvnet"])
def test_the_printed_call_serves_pairs_without_kerasvis(
    export, model_file, tmp_path, capsys, rectification
):
    export("--rectification", rectification)
    program = WITHOUT_KERASVIS.format(printed=printed_call(capsys.readouterr().out))
    images = np.random.default_rng(0).normal(size=(3, *SIZE, 3)).astype("float32")
    feature = np.array([6, 0, 3], "int32")
    np.savez(tmp_path / "given.npz", images=images, feature=feature)
    command = [sys.executable, "-c", program, tmp_path / "given.npz", tmp_path / "served.npz"]
    subprocess.run(command, check=True)
    served = np.load(tmp_path / "served.npz")
    deconv = kv.DeconvModel(keras.saving.load_model(model_file), "conv2", rectification)
    expected = deconv.project(images, Strongest(feature))
    np.testing.assert_allclose(served["projection"], expected, rtol=1e-4, atol=1e-6)
    activation, position = deconv.locate(images, feature)
    np.testing.assert_allclose(served["activation"], activation, rtol=1e-5)
    np.testing.assert_array_equal(served["position"], position)


def test_inputs_outputs_and_size_are_printed(export, capsys):
    out = export()
    printed = capsys.readouterr().out
    for line in (
        "Layer 'conv2' of small, served without kerasvis:",
        "images                float32 (n, 21, 16, 3), as the model takes them",
        "feature               int32 (n,), from 0 to 6",
        'served["projection"]  float32 (n, 21, 16, 3)',
        'served["activation"]  float32 (n,), the activation that is projected',
        'served["position"]    int32 (n, 2), the (row, column) of the strongest unit among (7, 5)',
    ):
        assert f"{line}\n" in printed
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    assert printed.endswith(f"Size of {out}: {size / 1e6:.2f} MB\n")
    assert size < 4 * 7 * 7 * 5 * 500  # the layers above are left out


def test_class_scores_have_one_position(export, capsys):
    export(layer="classes")
    assert "of the strongest unit among (1, 1)\n" in capsys.readouterr().out


def test_a_net_of_keras_applications_tells_its_preprocessing(export, capsys):
    export("--weights", "random", model="mobilenet", layer="conv1_relu")
    assert (
        "(n, 224, 224, 3), as the model takes them, prepared as 'tf'\n" in capsys.readouterr().out
    )


@pytest.mark.slow
def test_runs_as_a_command(model_file, tmp_path):
    command = [sys.executable, ROOT / "scripts" / "export_deconvnet.py", "--model", model_file]
    command += ["--layer", "conv1", "--out", "serving"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert 'tf.saved_model.load("serving")' in ended.stdout.replace("'", '"')
    assert (tmp_path / "serving" / "saved_model.pb").is_file()


def test_mistakes_are_told_in_a_sentence(mistake, tmp_path):
    assert "The model has no layer 'conv3': did you mean conv" in mistake(layer="conv3")
    assert "There is no such model file: give a file that model.save" in mistake(model="no.keras")
    assert "--model=vgg61" in mistake(model="vgg61")
    assert "--rectification takes one of deconvnet, guided, gradient" in mistake(
        "--rectification", "relu"
    )
    (tmp_path / "file").touch()
    sentence = mistake(out=tmp_path / "file" / "serving")
    assert "file is a file): give another --out. Received: --out=" in sentence
    assert "something other than a SavedModel: give a new or an empty folder" in mistake(
        out=tmp_path
    )
