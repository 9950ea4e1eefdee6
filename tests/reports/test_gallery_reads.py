"""A gallery reads each image once, for its layers and its findings, and those that it shows."""

import collections
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerasvis.data import ImageFolder
from kerasvis.reports import write_gallery
from tests.reports.small_galleries import random_images, small_convnet

NUM_IMAGES = 150  # enough for a diagnosis, and more than are sampled
BATCH_SIZE = 8
K = 2


@pytest.fixture(scope="module")
def model():
    return small_convnet("small")


@pytest.fixture(scope="module")
def images():
    return random_images(NUM_IMAGES)


def build(model, images, directory):
    """Writes a gallery of all convolutions with findings; returns which images it shows."""
    options = {"k": K, "batch_size": BATCH_SIZE, "verbose": 0}
    write_gallery(model, None, images, directory, **options)
    assert (directory / "arrays" / "filter_diagnosis.npz").is_file()
    with np.load(directory / "arrays" / "filter_diagnosis.npz") as diagnosis:
        assert diagnosis["num_images"] == NUM_IMAGES
    shown = set()
    for file in (directory / "arrays").glob("*-top.npz"):
        with np.load(file) as arrays:
            (name,) = [name for name in arrays if name.endswith("image_indices")]
            shown |= set(arrays[name].ravel().tolist())
    return shown


class CountedArray(np.ndarray):
    """Counts how often each image is read."""

    def __getitem__(self, key):
        self.read.update(np.atleast_1d(np.arange(len(self))[key]).tolist())
        return np.asarray(super().__getitem__(key))


def test_of_an_array(model, images, tmp_path):
    counted = images.view(CountedArray)
    counted.read = read = collections.Counter()
    shown = build(model, counted, tmp_path)
    sampled = set(np.linspace(0, NUM_IMAGES - 1, 64).astype(int).tolist())  # to know the range
    others = set(range(NUM_IMAGES)) - shown - sampled
    assert len(others) > 20
    assert {read[index] for index in others} == {1}


@pytest.mark.slow
def test_of_a_folder(model, images, tmp_path, monkeypatch):
    photographs, read = tmp_path / "photographs", collections.Counter()
    photographs.mkdir()
    for number, pixels in enumerate(images):
        Image.fromarray(pixels.astype("uint8")).save(photographs / f"{number:03}.png")
    opened = Image.open

    def counting(file, **options):
        read[Path(file).name] += 1
        return opened(file, **options)

    monkeypatch.setattr(Image, "open", counting)
    folder = ImageFolder(photographs)
    shown = build(model, folder, tmp_path / "gallery")
    others = set(range(NUM_IMAGES)) - shown
    assert len(others) > 20
    assert {read[f"{index:03}.png"] for index in others} == {1}


@pytest.mark.slow
def test_of_a_data_set(model, images, tmp_path):
    """It is read a second time, as far as the last image shown, for all layers together."""
    passes = []

    def generate():
        passes.append(0)
        for begin in range(0, NUM_IMAGES, BATCH_SIZE):
            passes[-1] += 1
            yield images[begin : begin + BATCH_SIZE]

    spec = tf.TensorSpec((None, *images.shape[1:]), "float32")
    dataset = tf.data.Dataset.from_generator(generate, output_signature=spec)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(-(-NUM_IMAGES // BATCH_SIZE)))
    build(model, dataset, tmp_path)
    whole = [number for number in passes if number > 2]  # the others look at the first batch
    assert len(whole) <= 2
