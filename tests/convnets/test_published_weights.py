"""The published nets with their real weights, against the answers and recipes they came with."""

import csv
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerasvis.commands.command_line import run
from kerasvis.convnets import AlexNet, SqueezeNet
from kerasvis.convnets.published_weights import (
    alexnet_trunk_from_published,
    convolution_weights,
    read_arrays,
    squeezenet_from_published,
)

NUM_PHOTOGRAPHS = 50


@pytest.fixture(scope="module")
def squeezenet_file(shared_data):
    return shared_data / "squeezenet-v1.1" / "squeezenet_v1_1.npz"


@pytest.fixture(scope="module")
def alexnet_file(shared_data):
    return shared_data / "alexnet-imagenet-conv" / "alexnet_torchvision_conv.npz"


def photograph(filepath, size):
    """The centre of a photograph whose shorter side is brought to 256: RGB pixels."""
    image = Image.open(filepath).convert("RGB")
    factor = 256 / min(image.size)
    if factor > 1:
        image = image.resize([round(n * factor) for n in image.size], Image.Resampling.BILINEAR)
    top, left = (image.height - size) // 2, (image.width - size) // 2
    return np.asarray(image)[top : top + size, left : left + size]


def test_squeezenet_answers_as_published(shared_data, squeezenet_file):
    table = (shared_data / "squeezenet-v1.1" / "imagenet_samples_top5.csv").read_text()
    rows = list(csv.DictReader(table.splitlines()))[:: 1000 // NUM_PHOTOGRAPHS]
    folder = shared_data / "imagenet-samples" / "images"
    pixels = np.stack([photograph(folder / row["file"], 227) for row in rows])
    model = squeezenet_from_published(read_arrays(squeezenet_file))
    probabilities = model.predict(pixels, batch_size=10, verbose=0)
    expected = np.array([[float(row[f"p{k}"]) for k in range(1, 6)] for row in rows])
    labels = np.array([[int(row[f"top{k}"]) for k in range(1, 6)] for row in rows])
    strongest = np.argsort(-probabilities, axis=1)[:, :5]
    np.testing.assert_array_equal(strongest[:, 0], labels[:, 0])
    # The table gives four digits.
    np.testing.assert_allclose(np.take_along_axis(probabilities, labels, 1), expected, atol=1e-4)
    true = np.array([int(row["true"]) for row in rows])
    assert (strongest == true[:, None]).any(axis=1).mean() > 0.75


def test_alexnet_trunk_as_published(shared_data, alexnet_file):
    """Against the net written out in plain operations, on pixels scaled as it was trained."""
    arrays = read_arrays(alexnet_file)
    files = sorted((shared_data / "imagenet-samples" / "images").iterdir())[:4]
    pixels = np.stack([photograph(file, 224) for file in files])
    x = (pixels / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    for number, padding in enumerate([2, 2, 1, 1, 1], start=1):
        x = np.pad(x.astype("float32"), [(0, 0), (padding, padding), (padding, padding), (0, 0)])
        x = tf.nn.conv2d(x, arrays[f"conv{number}/kernel"], 4 if number == 1 else 1, "VALID")
        x = np.maximum(x + arrays[f"conv{number}/bias"], 0)
        if number in (1, 2, 5):
            x = tf.nn.max_pool2d(x, 3, 2, "VALID").numpy()
    model = alexnet_trunk_from_published(arrays)
    features = model.predict(pixels, verbose=0)
    assert features.shape == (4, 6, 6, 256)
    np.testing.assert_allclose(features, x, rtol=1e-4, atol=1e-5 * np.abs(x).max())


def random_arrays(model):
    rng = np.random.default_rng(0)
    return {
        name: rng.normal(0, 0.1, weight.shape).astype("float32")
        for name, weight in convolution_weights(model).items()
    }


@pytest.fixture(scope="module")
def squeezenet_arrays():
    return random_arrays(SqueezeNet())


def test_channels_are_turned_round_in_the_first_layer_alone(squeezenet_arrays):
    model = squeezenet_from_published(squeezenet_arrays)
    for name, weight in convolution_weights(model).items():
        expected = squeezenet_arrays[name]
        expected = expected[:, :, ::-1] if name == "conv1/kernel" else expected
        np.testing.assert_array_equal(weight, expected)


def test_alexnet_scale_and_mean():
    trunk = AlexNet(include_top=False, filters=(64, 192, 384, 256, 256), normalization=None)
    arrays = random_arrays(trunk)
    model = alexnet_trunk_from_published(arrays)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype("float32")
    scaled = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    for name, weight in convolution_weights(trunk).items():
        weight.assign(arrays[name])
    expected = trunk.predict(scaled.astype("float32"), verbose=0)
    features = model.predict(pixels, verbose=0)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5 * expected.max())


def test_missing_unknown_and_misshapen_arrays(squeezenet_arrays):
    arrays = squeezenet_arrays
    lacking = {name: array for name, array in arrays.items() if "conv10" not in name}
    unknown = arrays | {"fc6/kernel": np.zeros((2, 2))}
    misshapen = arrays | {"conv1/bias": np.zeros(96)}
    sentences = [
        (
            lacking,
            "conv10/bias is missing from the weights: give those of squeezenet. Received: 50 of "
            "52 arrays",
        ),
        (unknown, "squeezenet has no weights fc6/kernel"),
        (
            misshapen,
            "The shape of conv1/bias is (64,) in squeezenet: give the weights of squeezenet. "
            "Received: shape (96,)",
        ),
    ]
    for wrong, sentence in sentences:
        with pytest.raises(ValueError) as error:  # noqa: PT011
            squeezenet_from_published(wrong)
        assert sentence in str(error.value)


def convert(*arguments):
    run(["convert", *map(str, arguments)])


def test_converted_file(tmp_path, squeezenet_arrays, capsys):
    np.savez(tmp_path / "weights.npz", **squeezenet_arrays)
    out = tmp_path / "new" / "net.keras"
    convert("--net", "squeezenet", "--weights", tmp_path / "weights.npz", "--out", out)
    assert capsys.readouterr().out == (
        f"Saved {out}: squeezenet, 1,235,496 parameters, takes RGB pixels in [0, 255] of 227×227.\n"
    )
    assert [file.name for file in out.parent.glob("[!.]*")] == ["net.keras"]
    loaded = keras.saving.load_model(out, safe_mode=True)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 227, 227, 3)).astype("uint8")
    expected = squeezenet_from_published(squeezenet_arrays).predict(pixels, verbose=0)
    np.testing.assert_array_equal(loaded.predict(pixels, verbose=0), expected)


def refusal(capsys, *arguments):
    """The one sentence with which the command refuses its arguments."""
    with pytest.raises(SystemExit) as end:
        convert(*arguments)
    assert end.value.code == 2
    sentence = capsys.readouterr().err
    assert sentence.count("\n") == 1
    return sentence


def test_a_users_mistakes(tmp_path, squeezenet_arrays, capsys):
    net, out = ("--net", "squeezenet"), ("--out", tmp_path / "net.keras")
    missing = tmp_path / "none.npz"
    assert str(missing) in refusal(capsys, *net, *out, "--weights", missing)

    text = tmp_path / "text.npz"
    text.write_text("no archive")
    array = tmp_path / "array.npy"
    np.save(array, np.zeros(3))
    for file in (text, array):
        sentence = refusal(capsys, *net, *out, "--weights", file)
        assert ".npz" in sentence
        assert str(file) in sentence

    other = tmp_path / "other.npz"
    np.savez(other, **{"conv1/kernel": squeezenet_arrays["conv1/kernel"]})
    sentence = refusal(capsys, *net, *out, "--weights", other)
    assert "conv1/bias" in sentence
    assert "1 of 52 arrays" in sentence

    sentence = refusal(capsys, *net, "--weights", other, "--out", tmp_path)
    assert ".keras" in sentence
    assert str(tmp_path) in sentence
    assert not (tmp_path / "net.keras").exists()


def test_as_a_command(tmp_path):
    script = Path(__file__).parents[2] / "scripts" / "convert_weights.py"
    missing = tmp_path / "none.npz"
    arguments = ["--net", "alexnet", "--weights", missing, "--out", tmp_path / "net.keras"]
    finished = subprocess.run(
        [sys.executable, script, *arguments], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert finished.stderr.count("\n") == 1
    assert str(missing) in finished.stderr
