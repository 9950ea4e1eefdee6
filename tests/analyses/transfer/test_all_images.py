import dataclasses

import numpy as np
import pytest
from PIL import Image

from kerasvis.analyses.transfer.all_images import AllImages
from kerasvis.data import load_labelled
from kerasvis.data.labelled.class_folder import LabelledFiles
from tests.analyses.transfer.transfers import NAMES, SIZE, labelled_data


@pytest.fixture
def files(tmp_path):
    """The same photographs in memory, and decoded batch by batch."""
    rng = np.random.default_rng(0)
    for split, number in (("train", 5), ("test", 3)):
        for name in NAMES:
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(number):
                pixels = rng.integers(0, 256, (*SIZE, 3)).astype("uint8")
                Image.fromarray(pixels).save(tmp_path / split / name / f"{i}.png")
    kept = load_labelled(tmp_path, SIZE)
    sets = {}
    for split, images in (("train", kept.train), ("validation", kept.validation)):
        paths = sorted((tmp_path / split.replace("validation", "test")).rglob("*.png"))
        sets[split] = LabelledFiles(tuple(paths), images.labels, SIZE)
    return kept, dataclasses.replace(kept, **sets)


def test_training_images_come_first():
    data = labelled_data()
    images = AllImages(data)
    assert len(images) == 36
    np.testing.assert_array_equal(images.is_train, [True] * 24 + [False] * 12)
    np.testing.assert_array_equal(images.labels, [*data.train.labels, *data.validation.labels])
    assert (images.class_names, images.size) == (NAMES, SIZE)


@pytest.mark.parametrize("begin", [0, 7, 24, 29])
def test_batches_run_over_both_sets(begin):
    data = labelled_data()
    batches = list(AllImages(data).batches(7, begin))
    assert {len(batch) for batch in batches[:-1]} <= {7}
    both = np.concatenate([data.train.pixels, data.validation.pixels])
    np.testing.assert_array_equal(np.concatenate(batches), both[begin:])


def test_some_images():
    data = labelled_data()
    taken = AllImages(data).at([30, 2, 23, 24])
    both = np.concatenate([data.train.pixels, data.validation.pixels])
    np.testing.assert_array_equal(taken.pixels, both[[2, 23, 24, 30]])
    np.testing.assert_array_equal(taken.labels, np.array([2, 23, 24, 30]) % 3)


def test_grey_images():
    data = labelled_data()
    sets = {"train": data.train, "validation": data.validation}
    grey = {name: each._replace(pixels=each.pixels[..., :1]) for name, each in sets.items()}
    taken = AllImages(dataclasses.replace(data, **grey)).at([30, 2])
    expected = [data.train.pixels[2, ..., :1], data.validation.pixels[6, ..., :1]]
    np.testing.assert_array_equal(taken.pixels, expected)


def test_files_are_the_same_as_arrays(files):
    kept, decoded = map(AllImages, files)
    both = [np.concatenate(list(images.batches(4, 3))) for images in (kept, decoded)]
    np.testing.assert_array_equal(*both)
    for one, other in zip(kept.at([1, 16, 17]), decoded.at([1, 16, 17]), strict=True):
        np.testing.assert_array_equal(one, other)
