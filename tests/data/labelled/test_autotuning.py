import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerasvis.analyses.transfer.all_images import AllImages
from kerasvis.data import LabelledData, LabelledImages
from kerasvis.data.labelled.autotuning import without_autotuning
from kerasvis.data.labelled.class_folder import LabelledFiles
from kerasvis.data.labelled.tfds_source import open_tfds
from kerasvis.training import Recipe
from kerasvis.training.batches import validation_batches
from tests.mocked_data_sets import mocked_data_sets

SIZE = (16, 16)


@pytest.fixture
def images():
    return LabelledImages(np.zeros((6, *SIZE, 3), "uint8"), np.zeros(6, "int64"))


def is_tuned(dataset):
    return dataset.options().autotune.enabled is not False


def test_what_is_made_of_it_is_not_tuned():
    plain = tf.data.Dataset.range(9)
    dataset = without_autotuning(plain)
    assert is_tuned(plain)
    assert not is_tuned(dataset)
    assert not is_tuned(dataset.map(lambda x: x + 1, tf.data.AUTOTUNE).batch(2).prefetch(1))
    assert list(dataset.as_numpy_iterator()) == list(range(9))


def test_images_in_memory(images):
    assert not is_tuned(images.batches(2))
    assert not is_tuned(images.batches(2, seed=(0, 1)))
    assert not is_tuned(validation_batches(images, Recipe.for_small_images(16)))


def test_images_of_files(tmp_path):
    Image.new("RGB", SIZE).save(tmp_path / "a.png")
    files = LabelledFiles((tmp_path / "a.png",), np.zeros(1, "int64"), SIZE)
    assert not is_tuned(files.batches(1))
    assert len(list(files.batches(1).as_numpy_iterator())) == 1


def test_records(tmp_path):
    with mocked_data_sets(tmp_path, {"cifar10": ("train", "test")}, num_examples=20):
        _, train, _ = open_tfds("cifar10")
        assert not is_tuned(train.batches(8))
        assert not is_tuned(train.batches(8, seed=(0, 1)))


def test_all_images(images, monkeypatch):
    """What reads training and validation images one after another."""
    found = []
    plain = tf.data.Dataset.as_numpy_iterator
    monkeypatch.setattr(
        tf.data.Dataset,
        "as_numpy_iterator",
        lambda dataset: found.append(is_tuned(dataset)) or plain(dataset),
    )
    every = AllImages(LabelledData(images, images, ("ant",), SIZE))
    assert sum(len(batch) for batch in every.batches(5)) == 12
    assert found == [False]
