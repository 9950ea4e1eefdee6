"""Scans that were killed, interrupted, or begun with something else."""

import concurrent.futures
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from kerasvis.activations import (
    AllMaxima,
    CountActive,
    Reducer,
    StrongestActivations,
    TopActivations,
    find_top_activations,
    map_statistics,
    scan_layers,
)
from kerasvis.data import ImageFolder
from kerasvis.data.image_source import image_source
from kerasvis.storage.fields import equal
from tests.activations.small_models import small_convnet, whole_numbered_images

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import os, signal, sys
import keras, numpy as np
import kerasvis.activations.scan as scan
from kerasvis.activations import find_top_activations

keras.utils.set_random_seed(0)
model = keras.Sequential([
    keras.Input((17, 12, 3)),
    keras.layers.Conv2D(8, 3, activation="relu", name="a"),
    keras.layers.Conv2D(8, 3, name="b"),
])
images = np.random.default_rng(0).normal(size=(45, 17, 12, 3)).astype("float32")

def batches(killed_at=None):
    for i in range(0, 45, 4):
        if i == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        yield images[i : i + 4]

killed_at, *filepaths = sys.argv[1:]
for filepath in filepaths:
    if killed_at != "never":
        scan.SECONDS_BETWEEN_SAVES = 0
    killed_at = int(killed_at) if killed_at.isdigit() else None
    find_top_activations(model, ["b", "a"], batches(killed_at), filepath=filepath, verbose=0)
    killed_at = "never"
"""


def state_of(filepath):
    """The file with the state of an unfinished scan whose result goes to `filepath`."""
    return filepath.with_name(filepath.name + ".partial") / "scan.npz"


def run_program(*arguments):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_killed_and_started_again_gives_the_same_bytes(tmp_path):
    resumed, whole = tmp_path / "resumed.npz", tmp_path / "whole.npz"
    assert run_program(24, resumed).returncode == -signal.SIGKILL
    assert not resumed.exists()
    with np.load(state_of(resumed)) as file:
        assert file["progress"].tolist() == [6, 24]
    finished = run_program("never", resumed, whole)
    assert finished.returncode == 0, finished.stderr
    assert resumed.read_bytes() == whole.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"resumed.npz", "whole.npz"}
    assert TopActivations.load(whole).layers == ("b", "a")


@pytest.fixture
def model():
    return small_convnet()


class Sum(Reducer):
    """The sum of a layer's activations in float32, where the order and the dtype of sums show."""

    def measure(self, outputs, layer):
        return keras.ops.sum(outputs / 7, axis=tuple(range(1, len(outputs.shape))))

    def summary(self, measured, batch):
        return {"sum": measured.sum(), "number": len(batch)}

    def merge(self, state, other):
        return {name: state[name] + other[name] for name in state}


class Interrupted(np.ndarray):
    """Images that can be read up to one of them; the batches that were read are counted."""

    last = np.inf

    def __getitem__(self, key):
        if isinstance(key, slice):
            if key.start >= self.last:
                raise KeyboardInterrupt
            self.read.append((key.start, key.stop))
        return np.asarray(super().__getitem__(key))


def readable(images, last=np.inf):
    images = images.view(Interrupted)
    images.last, images.read = last, []
    return images


def interrupted_scan(model, images, filepath, last=8, **options):
    with pytest.raises(KeyboardInterrupt):
        scan(model, readable(images, last), filepath, **options)


def scan(model, images, filepath, layers=("conv", "dense"), k=3, batch_size=4):
    return find_top_activations(
        model, layers, images, k, batch_size=batch_size, filepath=filepath, verbose=0
    )


def test_interrupted_scan_goes_on(model, tmp_path):
    images = whole_numbered_images(18)
    whole, resumed = tmp_path / "whole.npz", tmp_path / "resumed.npz"
    scan(model, images, whole)
    interrupted_scan(model, images, resumed)
    images = readable(images)
    scan(model, images, resumed)
    assert images.read == [(8, 12), (12, 16), (16, 18)]
    assert resumed.read_bytes() == whole.read_bytes()
    assert not (tmp_path / "resumed.npz.partial").exists()


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_time(model, tmp_path):
    top = scan(model, whole_numbered_images(5), tmp_path / "first.npz")
    time.sleep(2.1)  # dates in a zip file are of two seconds
    top.save(tmp_path / "second.npz")
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()


@pytest.mark.parametrize(("seconds", "expected"), [(30, [0, 0]), (0, [4, 8])])
def test_state_is_written_every_so_often(model, tmp_path, monkeypatch, seconds, expected):
    monkeypatch.setattr("kerasvis.activations.scan.SECONDS_BETWEEN_SAVES", seconds)
    images, filepath, saved = whole_numbered_images(12), tmp_path / "top.npz", []

    def batches():
        yield images[:4]
        for begin in (4, 8):
            with np.load(state_of(filepath)) as file:
                saved.append(int(file["progress"][1]))
            yield images[begin : begin + 4]

    scan(model, batches(), filepath)
    assert saved == expected


def changed_weights(model):
    weights = model.get_weights()
    weights[0][0, 0, 0, 0] += 1
    model.set_weights(weights)
    return model


def changed_pooling(model):
    model.get_layer("pool").pool_size = (3, 3)
    return model


def changed_top(model):
    weights = model.get_weights()
    weights[-1] += 1
    model.set_weights(weights)
    return model


OTHERS = [
    ({"model": changed_weights}, "model"),
    ({"model": changed_pooling}, "model"),
    ({"images": lambda images: images[:17]}, "images"),
    ({"images": lambda images: images + 1}, "images"),
    ({"images": lambda images: [images[:4], images[4:]]}, "images"),
    ({"batch_size": 5}, "images"),
    ({"layers": ("dense", "conv")}, r'layers \(\["conv", "dense"\] there.*\)'),
    ({"k": 4}, r"k \(3 there, 4 here\)"),
    ({"k": 4, "layers": ("conv",)}, "model and other layers .* and other k .*"),
]


@pytest.mark.parametrize(("change", "what"), OTHERS)
def test_partial_scan_of_something_else_is_refused(model, tmp_path, change, what):
    images, filepath = whole_numbered_images(18), tmp_path / "top.npz"
    interrupted_scan(model, images, filepath)
    before = state_of(filepath).read_bytes()
    changed = {**change, "images": change.get("images", np.asarray)(images)}
    changed["model"] = change.get("model", lambda model: model)(model)
    sentence = (
        f"The folder {re.escape(str(filepath))}.partial contains .* from other {what}.*: give"
    )
    with pytest.raises(ValueError, match=sentence):
        scan(filepath=filepath, **changed)
    assert state_of(filepath).read_bytes() == before


def test_what_is_above_the_layers_or_only_named_does_not_count(model, tmp_path):
    images, filepath = whole_numbered_images(18), tmp_path / "top.npz"
    interrupted_scan(model, images, filepath, layers=("conv", "pool"))
    assert scan(changed_top(model), images, filepath, ("conv", "pool")).layers == ("conv", "pool")
    interrupted_scan(model, images, filepath, layers=("conv", "pool"))
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    copy.trainable = False
    assert scan(copy, images, filepath, ("conv", "pool")).layers == ("conv", "pool")


def test_shuffled_data_set_is_refused(model, tmp_path):
    images, filepath = whole_numbered_images(18), tmp_path / "top.npz"

    def batches(order, stop=None):
        for i in range(0, 18, 4):
            if i == stop:
                raise KeyboardInterrupt
            yield images[order[i : i + 4]], np.zeros(4)

    with pytest.raises(KeyboardInterrupt):
        scan(model, batches(np.arange(18), stop=8), filepath)
    with pytest.raises(ValueError, match="from other images"):
        scan(model, batches(np.arange(18)[::-1]), filepath)
    scan(model, batches(np.arange(18)), filepath)
    scan(model, batches(np.arange(18)), tmp_path / "whole.npz")
    assert filepath.read_bytes() == (tmp_path / "whole.npz").read_bytes()


def photographs(directory, number=9):
    directory.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (number, 12, 12, 3), "uint8")
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(directory / f"{index:02d}.png")
    (directory / "02.png").write_bytes(b"")
    (directory / "07.png").write_bytes((directory / "08.png").read_bytes()[:200])
    return directory


def test_folder_with_corrupt_files(model, tmp_path):
    directory = photographs(tmp_path / "photographs")
    whole, resumed = tmp_path / "whole.npz", tmp_path / "resumed.npz"
    folder = ImageFolder(directory, (7, 9), "tf")
    top = scan(model, folder, whole, k=9, batch_size=3)
    good = [0, 1, 3, 4, 5, 6, 8]
    assert sorted(top["conv"].image_indices[0]) == [-1, -1, *good]
    array = scan(model, folder[good], None, k=9, batch_size=3)
    np.testing.assert_array_equal(array["conv"].values, top["conv"].values)
    of_array = np.array([*good, -1])[array["conv"].image_indices]
    np.testing.assert_array_equal(of_array, top["conv"].image_indices)

    class Interrupted(ImageFolder):
        def batches(self, batch_size, start=0):
            yield next(super().batches(batch_size, start))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(model, Interrupted(directory, (7, 9), "tf"), resumed, k=9, batch_size=3)
    with np.load(state_of(resumed)) as file:
        assert json.loads(str(file["skipped"])) == {"2": "an empty file"}
    last = ImageFolder(directory, (7, 9), "tf")
    scan(model, last, resumed, k=9, batch_size=3)
    assert resumed.read_bytes() == whole.read_bytes()
    assert last.skipped == folder.skipped
    assert [path.name for path, _ in last.skipped] == ["02.png", "07.png"]
    with pytest.raises(ValueError, match=r"Image 2 cannot be decoded .*02\.png"):
        scan(model, ImageFolder(directory, (7, 9), "tf", strict=True), None)


def test_an_image_of_a_folder_is_named_with_its_file(tmp_path):
    directory = photographs(tmp_path / "photographs")
    inputs = keras.Input((7, 9, 3))
    model = keras.Model(inputs, keras.layers.Rescaling(3e38, name="huge")(inputs))
    sentence = f"Image 0 ({directory / '00.png'}) gives infinity in layer 'huge', feature map 0"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        scan(model, ImageFolder(directory, (7, 9)), None, ["huge"])


def test_folder_of_corrupt_files_only(model, tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    sentence = (
        f"No image could be scanned: none of 1 files can be decoded, such as {tmp_path}/a.png (an "
        "empty file)."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        scan(model, ImageFolder(tmp_path, (7, 9)), None)


def test_a_scan_that_finds_no_image_leaves_nothing(model, tmp_path):
    """So that the same path serves for the right images."""
    corrupt, filepath = tmp_path / "corrupt", tmp_path / "top.npz"
    corrupt.mkdir()
    (corrupt / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match="No image could be scanned"):
        scan(model, ImageFolder(corrupt, (7, 9)), filepath)
    assert [path.name for path in tmp_path.iterdir()] == ["corrupt"]
    scan(model, ImageFolder(photographs(tmp_path / "photographs"), (7, 9)), filepath)
    assert filepath.exists()


def test_other_preprocessing_is_other_images(model, tmp_path, monkeypatch):
    directory = photographs(tmp_path / "photographs")
    folders = [ImageFolder(directory, (7, 9), mode) for mode in ("raw", "tf")]
    raw, tf = (image_source(folder, 4).fingerprint() for folder in folders)
    assert raw != tf
    moved = tmp_path / "moved"
    directory.rename(moved)
    before = ImageFolder(moved, (7, 9))
    fingerprint = image_source(before, 4).fingerprint()
    (moved / "05.png").rename(moved / "05.jpg")
    after = ImageFolder(moved, (7, 9))
    assert image_source(after, 4).fingerprint() != fingerprint


def test_path_that_cannot_be_written_is_an_error_before_the_scan(model, tmp_path):
    images = whole_numbered_images(3)
    images[0] = np.nan  # would be the error of the scan itself
    (tmp_path / "file").write_text("here")
    with pytest.raises(OSError, match=r"file/top\.npz\.partial cannot be written to"):
        scan(model, images, tmp_path / "file" / "top.npz")
    with pytest.raises(ValueError, match=f"folder.*filepath='{tmp_path}'"):
        scan(model, images, tmp_path)


def test_a_damaged_state_is_not_taken(model, tmp_path):
    images, filepath = whole_numbered_images(18), tmp_path / "top.npz"
    scan(model, images, tmp_path / "whole.npz")
    interrupted_scan(model, images, filepath)
    damaged = bytearray(state_of(filepath).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    state_of(filepath).write_bytes(damaged)
    images = readable(images)
    scan(model, images, filepath)
    assert images.read[0] == (0, 4)
    assert filepath.read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_two_scans_into_one_file_at_the_same_time(model, tmp_path):
    images = whole_numbered_images(8)

    def batches():
        yield images[:4]
        with pytest.raises(OSError, match=r"Another run .*top\.npz\.partial"):
            in_another_thread(scan, model, [images[:4], images[4:]], tmp_path / "top.npz")
        yield images[4:]

    assert scan(model, batches(), tmp_path / "top.npz") == scan(model, images, None)


def in_another_thread(function, *arguments):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments).result()


def test_a_scan_of_several_reducers_resumes_as_a_whole(model, tmp_path):
    images, layers = whole_numbered_images(18), ["conv", "inner/linear", "dense"]
    reducers = [StrongestActivations(3), AllMaxima(), CountActive(), Sum()]
    options = {"batch_size": 4, "directory": tmp_path, "verbose": 0}
    whole = scan_layers(model, layers, images, reducers, **options | {"directory": None})
    with pytest.raises(KeyboardInterrupt):
        scan_layers(model, layers, readable(images, last=8), reducers, **options)
    once_more = readable(images)
    with pytest.raises(ValueError, match="from other reducers"):
        scan_layers(model, layers, once_more, reducers[1:], **options)
    assert once_more.read == []
    resumed = scan_layers(model, layers, once_more, reducers, **options)
    assert once_more.read == [(8, 12), (12, 16), (16, 18)]
    cached = scan_layers(model, layers, once_more, reducers, **options)
    assert len(once_more.read) == 3
    for results in (resumed, cached):
        for expected, found in zip(whole, results, strict=True):
            assert list(found) == layers
            for layer in layers:
                assert equal(found[layer], expected[layer])


def test_statistics_resume(model, tmp_path):
    images = whole_numbered_images(18)
    options = {"batch_size": 4, "verbose": 0}
    with pytest.raises(KeyboardInterrupt):
        map_statistics(model, "conv", readable(images, 8), directory=tmp_path / "s", **options)
    images = readable(images)
    resumed = map_statistics(model, "conv", images, directory=tmp_path / "s", **options)
    assert images.read == [(8, 12), (12, 16), (16, 18)]
    assert resumed == map_statistics(model, "conv", images, **options)
