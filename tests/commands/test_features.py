import csv
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import kerasvis as kv
from kerasvis.analyses import FeatureVisualization
from kerasvis.commands.command_line import run
from kerasvis.storage.files import TEMPORARY

ROOT = Path(__file__).resolve().parents[2]
NUM_PHOTOGRAPHS = 7
SIZE = (16, 20)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folder of models, most of them with something in the way."""
    folder = tmp_path_factory.mktemp("models")
    keras.utils.set_random_seed(0)
    for name, (shape, layers) in model_layers().items():
        keras.Sequential([keras.Input(shape), *layers], name=name).save(folder / f"{name}.keras")
    size = (folder / "good.keras").stat().st_size
    (folder / "cut.keras").write_bytes((folder / "good.keras").read_bytes()[: size // 2])
    (folder / "folder.keras").mkdir()
    (folder / "empty.keras").touch()
    (folder / "text.txt").write_text("no model")
    (folder / "bad.h5").write_text("no model")
    np.savez(folder / "arrays.npz", a=np.ones(3))
    (folder / "arrays.keras").write_bytes((folder / "arrays.npz").read_bytes())
    return folder


def model_layers():
    """`{name: (input shape, layers)}`."""
    layers = keras.layers

    class Scale(layers.Layer):
        def call(self, inputs):
            return 2 * inputs

    shape = (*SIZE, 3)
    conv = {"filters": 4, "kernel_size": 3, "activation": "relu"}
    first, second = layers.Conv2D(name="conv1", **conv), layers.Conv2D(name="conv2", **conv)
    block = keras.Sequential([keras.Input(shape), layers.Conv2D(name="conv", **conv)], name="block")
    return {
        "good": (shape, [first, layers.MaxPooling2D(3, 2), second, layers.Flatten()]),
        "nested": (shape, [block, layers.Conv2D(3, 3, name="features")]),
        "any_size": ((None, None, 3), [layers.Conv2D(name="conv1", **conv)]),
        "five_channels": ((*SIZE, 5), [layers.Conv2D(name="conv1", **conv)]),
        "dense_only": (shape, [layers.Flatten(), layers.Dense(3, name="fc")]),
        "elu": (shape, [layers.Conv2D(4, 3, activation="elu", name="conv1"), second]),
        "norm": (shape, [first, layers.LayerNormalization(name="norm"), second]),
        "channels_first": (
            (3, *SIZE),
            [layers.Conv2D(name="conv1", data_format="channels_first", **conv)],
        ),
        "with_lambda": (shape, [layers.Lambda(lambda x: 2 * x), layers.Conv2D(4, 3)]),
        "custom": (shape, [Scale(), layers.Conv2D(4, 3)]),
    }


def random_pixels(number, size, channels=3):
    shape = (*size, channels)[: 2 if channels == 1 else 3]
    return np.random.default_rng(number).integers(0, 256, shape).astype("uint8")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(NUM_PHOTOGRAPHS):
        Image.fromarray(random_pixels(number, SIZE)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def visualize(models, photographs, tmp_path):
    """Runs the command on `good.keras`; returns the output folder."""

    def visualize(*arguments, model="good.keras", images=photographs, out=tmp_path / "out"):
        given = ["--model", models / model, "--images", images, "--out", out, *arguments]
        run(["features", *(str(argument) for argument in given)])
        return out

    return visualize


@pytest.fixture
def mistake(visualize, sentence_of):
    return sentence_of(visualize)


def load_model(models, name="good"):
    return keras.saving.load_model(models / f"{name}.keras")


def test_writes_arrays_and_figures_of_all_convolution_layers(visualize, models, capsys):
    out = visualize("--k", "4")
    layers = {f"{name}{suffix}" for name in ("conv1", "conv2") for suffix in (".npz", ".png")}
    together = {"features.png", "images.csv", "top_activations.npz"}
    assert {path.name for path in out.glob("[!.]*")} == layers | together
    pixels = np.stack([random_pixels(number, SIZE) for number in range(NUM_PHOTOGRAPHS)])
    model = load_model(models)
    for name in ("conv1", "conv2"):
        features = FeatureVisualization.load(out / f"{name}.npz")
        below = keras.Model(model.inputs, model.get_layer(name).output)
        maxima = below.predict(pixels.astype("float32"), verbose=0).max(axis=(1, 2))
        strongest = np.sort(maxima, axis=0)[::-1][:4].T
        np.testing.assert_array_equal(features.feature_indices, range(4))
        np.testing.assert_allclose(features.activations, strongest, rtol=1e-5)
        for figure in (f"{name}.png", "features.png"):
            with Image.open(out / figure) as image:
                image.load()
    with open(out / "images.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image_index"] for row in rows] == [str(n) for n in range(NUM_PHOTOGRAPHS)]
    assert [Path(row["image"]).name for row in rows] == [f"{n}.png" for n in range(NUM_PHOTOGRAPHS)]
    printed, errors = capsys.readouterr()
    assert errors == ""
    assert "7 images, 2 layers of good\n" in printed
    assert "conv2: 4 feature maps, 4 activations of each" in printed
    assert str(out / "conv2.png") in printed
    assert str(out / "features.png") in printed


def test_results_of_earlier_runs_are_told(visualize, capsys):
    out = visualize("--layers", "conv1", "--k", "1")
    assert "earlier runs" not in capsys.readouterr().out
    before = (out / "conv1.npz").read_bytes()
    visualize("--layers", "conv2", "--k", "1")
    assert "earlier runs are left as they were: conv1.npz, conv1.png\n" in capsys.readouterr().out
    assert (out / "conv1.npz").read_bytes() == before


def test_features_layers_and_methods_are_those_asked_for(visualize, models):
    out = visualize(
        *"--layers conv2 conv2 --features 3 1 --k 2".split(),
        *"--methods guided gradient_times_input --preprocessing caffe".split(),
    )
    names = {"guided": "conv2.npz", "gradient_times_input": "conv2-gradient_times_input.npz"}
    assert {path.name for path in out.glob("conv*")} == {*names.values(), "conv2.png"}
    assert not (out / "conv1.npz").exists()
    model = load_model(models)
    pixels = np.stack([random_pixels(number, SIZE) for number in range(NUM_PHOTOGRAPHS)])
    images = kv.data.Preprocessing("caffe").images(pixels)
    expected = kv.visualize_features(
        model,
        "conv2",
        images,
        [3, 1],
        top=kv.find_top_activations(model, ["conv2"], images, 2),
        preprocessing="caffe",
        methods=[*names],
    )
    for method, name in names.items():
        features = FeatureVisualization.load(out / name)
        assert features.method == method
        assert features.feature_indices.tolist() == [3, 1]
        projections = expected[method].projections
        np.testing.assert_allclose(features.projections, projections, rtol=1e-5, atol=1e-4)
        np.testing.assert_array_equal(features.patches, expected[method].patches)


@pytest.mark.slow
def test_number_of_feature_maps_and_seed(visualize, tmp_path):
    drawn = {
        seed: FeatureVisualization.load(
            visualize(
                *f"--layers conv1 --num-features 2 --k 1 --seed {seed}".split(),
                out=tmp_path / str(seed),
            )
            / "conv1.npz"
        ).feature_indices.tolist()
        for seed in range(4)
    }
    assert all(len(features) == 2 for features in drawn.values())
    assert len(set(map(tuple, drawn.values()))) > 1


def test_layers_in_nested_models_and_a_layer_called_features(visualize):
    out = visualize("--k", "1", model="nested.keras")
    layers = {path.name: FeatureVisualization.load(path).layer for path in out.glob("*[!s].npz")}
    assert layers == {"block-conv.npz": "block/conv", "features-2.npz": "features"}
    assert (out / "features.png").exists()
    assert (out / "features-2.png").exists()


def test_image_size_of_a_model_that_takes_any(visualize, mistake):
    out = visualize(*"--image-size 9 11 --k 1".split(), model="any_size.keras")
    assert FeatureVisualization.load(out / "conv1.npz").patches.shape == (4, 1, 3, 3, 3)
    sentence = mistake(model="any_size.keras")
    assert sentence == (
        "The model 'any_size' takes images of any size: give --image-size HEIGHT WIDTH."
    )


@pytest.mark.slow
def test_grey_transparent_and_small_photographs_work(visualize, tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name, size, channels in [("grey", SIZE, 1), ("rgba", SIZE, 4), ("small", (5, 3), 3)]:
        Image.fromarray(random_pixels(0, size, channels)).save(folder / f"{name}.png")
    features = FeatureVisualization.load(visualize(images=folder) / "conv1.npz")
    assert set(features.image_indices.ravel()) == {-1, 0, 1, 2}
    grey = features.patches[features.image_indices == 0]
    assert (grey == grey[..., :1]).all()


@pytest.fixture
def with_a_corrupt_one(photographs, tmp_path):
    """Folder of good photographs and a JPEG that breaks off."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for path in photographs.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    Image.fromarray(random_pixels(0, (64, 64))).save(folder / "3b.jpg")
    jpeg = (folder / "3b.jpg").read_bytes()
    (folder / "3b.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    return folder


def test_a_corrupt_photograph_is_skipped_and_reported(visualize, with_a_corrupt_one, capsys):
    out = visualize("--k", "9", images=with_a_corrupt_one)
    assert f"Skipped {with_a_corrupt_one / '3b.jpg'}: " in capsys.readouterr().out
    features = FeatureVisualization.load(out / "conv1.npz")
    assert set(features.image_indices.ravel()) == {-1, 0, 1, 2, 3, 5, 6, 7}  # 4 is the corrupt one


def test_a_corrupt_photograph_is_an_error_with_strict(mistake, with_a_corrupt_one):
    sentence = mistake("--strict", images=with_a_corrupt_one)
    assert sentence.startswith("Image 4 cannot be decoded (")
    assert sentence.endswith(f"Received: {with_a_corrupt_one / '3b.jpg'}")


@pytest.mark.usefixtures("eager_functions")
def test_an_interrupted_scan_resumes(visualize, tmp_path, convolutions):
    whole = visualize("--batch-size", "2", out=tmp_path / "whole")
    calls = convolutions.calls.copy()
    first_layer = [place for place, (layer, _) in enumerate(calls) if layer == "conv1"]
    assert [calls[place][1][0] for place in first_layer[:4]] == [2, 2, 2, 1]
    convolutions.calls.clear()
    convolutions.interrupt_after(first_layer[2])
    with pytest.raises(SystemExit) as ended:
        visualize("--batch-size", "2")
    assert ended.value.code == 130
    assert not (tmp_path / "out" / "top_activations.npz").exists()
    convolutions.calls.clear()
    out = visualize("--batch-size", "2")
    assert convolutions.calls == calls[first_layer[2] :]
    for path in whole.iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes(), path.name
    assert not list(out.glob("*.partial")) + list(out.glob(f"*{TEMPORARY}*"))


@pytest.mark.usefixtures("eager_functions")
def test_a_scan_of_something_else_in_the_folder_is_an_error(
    visualize, mistake, convolutions, capsys
):
    convolutions.interrupt_after(0)
    with pytest.raises(SystemExit):
        visualize()
    assert capsys.readouterr().err == "Interrupted.\n"
    sentence = mistake("--k", "3")
    assert "computed from other k (" in sentence


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (
            "missing.keras",
            r"There is no such model file: give .* Received: --model=.*missing\.keras$",
        ),
        (
            "folder.keras",
            r"The model is a folder: give a \.keras file\. Received: --model=.*folder",
        ),
        (
            "empty.keras",
            r"The model is not a file that Keras saved, or is damaged: give .*empty\.keras$",
        ),
        (
            "cut.keras",
            r"The model is not a file that Keras saved, or is damaged: give .*cut\.keras$",
        ),
        ("text.txt", r"The model is not a file that Keras saved, or is damaged: give .*text\.txt$"),
        (
            "arrays.npz",
            r"The model is not a file that Keras saved, or is damaged: give .*arrays\.npz$",
        ),
        (
            "arrays.keras",
            r"The model's file cannot be loaded, since it has no config\.json: .*arrays\.keras$",
        ),
        (
            "bad.h5",
            r"The model cannot be loaded: .*; give a \.keras file .*bad\.h5$",
        ),
        ("with_lambda.keras", r".*cannot be loaded: it contains a Lambda layer, whose code would "),
        ("custom.keras", r".*cannot be loaded: it contains 'Scale', which is not part of Keras; "),
        ("channels_first.keras", r"Layer 'conv1' is channels-first, but kerasvis supports "),
        ("five_channels.keras", r"The model 'five_channels' takes images of 5 channels, but photo"),
        ("elu.keras", r"Layer 'conv1' .*'elu' \(conv1\).*rules='relaxed'"),
        ("norm.keras", r".*LayerNormalization \(norm\).*rules='relaxed'"),
        ("dense_only.keras", r"The model 'dense_only' has no convolution layers: give --layers\."),
    ],
)
def test_a_model_that_cannot_be_used(mistake, tmp_path, model, sentence):
    assert re.match(sentence, mistake(model=model))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--layers conv3", "The model has no layer 'conv3': did you mean conv2 or conv1?"),
        (
            "--features 2 4",
            "Layer 'conv1' has 4 feature maps: give --features from 0 to 3. Received: --features=4",
        ),
        (
            "--features -1",
            "--features takes a whole number from 0 to 2,147,483,647. Received: --features=-1",
        ),
        (
            "--image-size 8 8",
            "The model 'good' takes images of 16×20 pixels only: leave out --image-size.",
        ),
        (
            "--k 0",
            "--k takes a whole number from 1 to 10,000. Received: --k=0",
        ),
        (
            "--methods relu",
            "--methods takes deconvnet, guided, gradient, ",
        ),
        ("--weights imagenet", "has weights of its own: leave out --weights, which is for models"),
    ],
)
def test_an_argument_that_does_not_fit(mistake, tmp_path, arguments, sentence):
    assert sentence in mistake(*arguments.split())
    assert not (tmp_path / "out").exists()


def test_a_folder_without_photographs(mistake, tmp_path):
    folder, out = tmp_path / "photographs", tmp_path / "out"
    assert re.match(f"There is no such photograph .*{folder}$", mistake(images=folder))
    folder.mkdir()
    assert mistake(images=folder) == (
        f"The folder is empty: give one with photographs. Received: --images={folder}"
    )
    (folder / "notes.txt").write_text("no photograph")
    sentence = mistake(images=folder)
    assert sentence.startswith("The folder contains no photographs")
    assert "such as notes.txt: give one with photographs" in sentence
    assert not out.exists()
    (folder / "notes.jpg").write_text("no photograph")
    sentence = mistake(images=folder)
    assert sentence.startswith("No image could be scanned: none of 1 files can be decoded")
    assert f"{folder / 'notes.jpg'} (not an image" in sentence


def test_an_output_folder_that_cannot_be_written_to(mistake, photographs):
    out = photographs / "0.png" / "out"
    assert mistake(out=out) == (
        f"The output folder cannot be written to ({out.parent} is a file): give another --out. "
        f"Received: --out={out}"
    )


def test_tensorboard_folder_that_cannot_be_written(mistake, tmp_path):
    (tmp_path / "file").touch()
    log_dir = tmp_path / "file" / "events"
    assert mistake("--tensorboard", log_dir) == (
        f"The output folder cannot be written to ({log_dir.parent} is a file): give another "
        f"--tensorboard. Received: --tensorboard={log_dir}"
    )
    assert not (tmp_path / "out" / "images.csv").exists()


def test_a_file_in_the_way_of_the_result(mistake, tmp_path):
    (tmp_path / "out" / "top_activations.npz").mkdir(parents=True)
    assert (
        "contains a folder top_activations.npz that is not a result of an earlier run" in mistake()
    )


@pytest.mark.slow
def test_demo_photographs(visualize, monkeypatch):
    monkeypatch.setattr("kerasvis.data.demo_photographs.NUM_WINDOWS_ACROSS", (1, 2))
    out = visualize("--layers", "conv2", images="demo")
    with open(out / "images.csv", newline="") as file:
        images = [row["image"] for row in csv.DictReader(file)]
    features = FeatureVisualization.load(out / "conv2.npz")
    assert {image.split()[0] for image in images} > {"astronaut", "chelsea", "china"}
    assert features.image_indices.max() < len(images)
    assert (features.image_indices >= 0).all()


def test_as_a_command_of_its_own(tmp_path):
    command = [sys.executable, ROOT / "scripts" / "visualize_features.py"]
    arguments = ["--model", "missing.keras", "--images", "demo"]
    ended = subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == (
        "There is no such model file: give a file that model.save() wrote, or the name of a model "
        "of keras.applications. Received: --model=missing.keras\n"
    )
    assert not list(tmp_path.iterdir())
