"""Images that come in batches: which they are, in what sizes, and whether they come again."""

import keras
import numpy as np
import pytest
from PIL import Image

from kerasvis.arguments import standardize_images
from kerasvis.data import ImageFolder
from kerasvis.data.image_ranges import GivenBatches
from kerasvis.data.image_source import image_source

rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (5, 7, 6, 3)).astype("float32")
LABELS = np.arange(5)


def batches_of(source):
    return np.concatenate([images for _, images in source.batches()])


@pytest.mark.parametrize(
    "entries",
    [
        {"image": IMAGES, "mask": IMAGES + 1},
        {"label": LABELS, "images": IMAGES},
        {"label": LABELS, "photograph": IMAGES},
    ],
)
def test_the_entry_of_images(entries):
    halves = [
        {name: array[part] for name, array in entries.items()} for part in (slice(3), slice(3, 5))
    ]
    np.testing.assert_array_equal(batches_of(image_source(halves, 3)), IMAGES)


def test_an_ambiguous_entry():
    with pytest.raises(ValueError, match="Received: entries left, right"):
        image_source([{"left": IMAGES, "right": IMAGES}], 3)


def test_images_of_several_sizes_are_not_stacked():
    source = image_source([IMAGES, IMAGES[:, :5]], 5)
    np.testing.assert_array_equal(source[[6, 8]], IMAGES[[1, 3], :5])
    with pytest.raises(ValueError, match=r"different sizes.*\(5, 6\), \(7, 6\)"):
        source[[0, 6]]


class Shrinking:
    """A data set that has fewer batches each time it is read."""

    num_batches = 4

    def __iter__(self):
        self.num_batches -= 1
        return iter([IMAGES + number for number in range(self.num_batches)])


def test_images_that_do_not_come_again():
    source = image_source(Shrinking(), 5)
    with pytest.raises(ValueError, match=r"Image 12 is missing.*Received: \d+ images"):
        source[[12]]


def test_a_section_of_batches():
    given = GivenBatches([(np.arange(3), IMAGES[:3]), (np.arange(3, 5), IMAGES[3:])])
    found = list(given.section(2, 4).batches())
    assert [indices.tolist() for indices, _ in found] == [[2], [3]]
    np.testing.assert_array_equal(np.concatenate([images for _, images in found]), IMAGES[2:4])


@pytest.fixture
def photographs(tmp_path):
    for number, pixels in enumerate(IMAGES.astype("uint8")):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return tmp_path


def model_of(size):
    return keras.Sequential([keras.Input((*size, 3)), keras.layers.Conv2D(2, 3, name="conv")])


def test_two_preprocessings(photographs):
    folder = ImageFolder(photographs, (7, 6), "tf")
    with pytest.raises(ValueError, match=r"'tf'.*Received: preprocessing='caffe'"):
        standardize_images(model_of((7, 6)), folder, "caffe")


def test_a_folder_for_a_model_of_any_size(photographs):
    with pytest.raises(ValueError, match="ImageFolder with a size"):
        standardize_images(model_of((None, None)), photographs)


def test_all_images_where_one_is_broken(photographs):
    (photographs / "2.png").write_bytes(b"no photograph")
    source = standardize_images(model_of((7, 6)), photographs)
    with pytest.raises(ValueError, match=r"cannot be read.*Received: .*2\.png"):
        source.all()
