"""Some images of any source, as they are sent to another machine."""

import pickle

import numpy as np
import pytest
from PIL import Image

from kerasvis.data import ImageFolder, Preprocessing
from kerasvis.data.array_images import PixelImages
from kerasvis.data.image_source import image_source

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 5, 6, 3), "uint8")


def source_of(kind, directory):
    if kind == "folder":
        for number, pixels in enumerate(PIXELS):
            Image.fromarray(pixels).save(directory / f"{number}.png")
        return image_source(ImageFolder(directory, (5, 6), "caffe"), 2)
    if kind == "pixels":
        return PixelImages(PIXELS, Preprocessing.of("caffe"), 2)
    images = PIXELS.astype("float32")
    if kind == "batches":
        images = [images[begin : begin + 2] for begin in range(0, 7, 2)]
    return image_source(images, 2)


@pytest.mark.parametrize("kind", ["array", "pixels", "batches", "folder"])
def test_they_are_those_of_the_source(kind, tmp_path):
    source = source_of(kind, tmp_path)
    chosen = pickle.loads(pickle.dumps(source.chosen([5, 1])))
    assert chosen.image_size == source.image_size == (5, 6)
    expected = source[np.array([1, 5, 1])]
    np.testing.assert_array_equal(chosen[np.array([1, 5, 1])], expected)
    if kind != "array" and kind != "batches":
        np.testing.assert_array_equal(chosen.pixels([5]), PIXELS[[5]])
    with pytest.raises(KeyError):
        chosen[[0]]
