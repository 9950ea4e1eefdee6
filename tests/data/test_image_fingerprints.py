"""Images are known again by their content, also where names, sizes and times stay the same."""

import os

import numpy as np
import pytest
from PIL import Image

from kerasvis.data import ImageFolder
from kerasvis.data.image_source import image_source
from kerasvis.data.labelled.class_folder import LabelledFiles

SIZE = (9, 7)


def write(path, seed):
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), "uint8")
    Image.fromarray(pixels).save(path)
    os.utime(path, (1, 1))
    return path


@pytest.mark.parametrize("suffix", ["bmp", "ppm", "tiff"])
def test_a_photograph_replaced_by_one_of_the_same_size(tmp_path, suffix):
    for number in range(3):
        path = write(tmp_path / f"{number}.{suffix}", number)
    before = image_source(ImageFolder(tmp_path, SIZE), 2).fingerprint()
    assert image_source(ImageFolder(tmp_path, SIZE), 2).fingerprint() == before
    size = path.stat().st_size
    write(path, 7)
    assert path.stat().st_size == size
    after = image_source(ImageFolder(tmp_path, SIZE), 2).fingerprint()
    assert {what for what in before if before[what] != after[what]} == {"content"}


def test_a_labelled_photograph_replaced_by_one_of_the_same_size(tmp_path):
    paths = tuple(write(tmp_path / "class" / f"{number}.bmp", number) for number in range(2))

    def digest():
        return LabelledFiles(paths, np.array([0, 1]), SIZE).digest

    before = digest()
    assert digest() == before
    write(paths[1], 7)
    assert digest() != before


def test_one_pixel_of_many_images():
    images = np.zeros((500, 5, 4, 3), "uint8")
    before = image_source(images, 8).fingerprint()
    images[123, 2, 1, 0] = 1
    assert image_source(images, 8).fingerprint() != before


def test_what_differs_is_told_apart():
    images = np.zeros((5, 5, 4, 3))
    before = image_source(images, 8).fingerprint()
    for other, what in (
        (image_source(images, 4), "batch_size"),
        (image_source(images[:4], 8), "content"),
    ):
        after = other.fingerprint()
        assert {key for key in {**before, **after} if before.get(key) != after.get(key)} == {what}
