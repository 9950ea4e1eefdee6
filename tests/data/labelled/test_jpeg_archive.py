"""Labelled JPEG images in one `.npz` file."""

import io

import numpy as np
import pytest
from PIL import Image

from kerasvis.data import load_jpeg_archive


def encoded(pixels, format="PNG"):
    """The bytes of an image; PNG, which Pillow tells by itself, keeps the pixels."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return file.getvalue()


def split_arrays(split, files, labels):
    return {
        f"{split}_bytes": np.frombuffer(b"".join(files), "uint8"),
        f"{split}_offsets": np.cumsum([0, *map(len, files)]),
        f"{split}_labels": np.array(labels),
    }


def photograph(seed, size=(8, 10)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), "uint8")


def arrays(train=None, val=None):
    train = train or ([encoded(photograph(i)) for i in range(3)], [0, 1, 1])
    val = val or ([encoded(photograph(i + 3)) for i in range(2)], [1, 0])
    return {
        "words": np.array(["cat", "dog"]),
        **split_arrays("train", *train),
        **split_arrays("val", *val),
    }


def archive(tmp_path, **splits):
    np.savez(tmp_path / "archive.npz", **arrays(**splits))
    return tmp_path / "archive.npz"


def test_what_was_stored_comes_back(tmp_path):
    train, validation, class_names = load_jpeg_archive(archive(tmp_path))
    np.testing.assert_array_equal(train.pixels, [photograph(i) for i in range(3)])
    np.testing.assert_array_equal(validation.pixels, [photograph(i + 3) for i in range(2)])
    assert train.labels.tolist() == [0, 1, 1]
    assert validation.labels.tolist() == [1, 0]
    assert (train.labels.dtype, train.pixels.dtype) == (np.int64, np.uint8)
    assert class_names == ("cat", "dog")


def test_grey_becomes_rgb(tmp_path):
    grey = photograph(0)[..., 0]
    train, _, _ = load_jpeg_archive(archive(tmp_path, train=([encoded(grey)], [0])))
    np.testing.assert_array_equal(train.pixels[0], np.stack([grey] * 3, axis=-1))


def test_images_are_brought_to_a_size(tmp_path):
    wide = np.full((8, 16, 3), 50, "uint8")
    wide[:, :4] = wide[:, -4:] = 200  # what the centre crop has to leave out
    path = archive(tmp_path, train=([encoded(wide), encoded(photograph(1, (5, 7)))], [0, 1]))
    train, validation, _ = load_jpeg_archive(path, size=(8, 8))
    assert (train.pixels[0] == 50).all()
    assert train.pixels.shape == (2, 8, 8, 3)
    assert validation.pixels.shape == (2, 8, 8, 3)


@pytest.mark.parametrize("labels", [[0, 2], [-1, 0]])
def test_label_outside_the_classes(tmp_path, labels):
    path = archive(tmp_path, val=([encoded(photograph(0))] * 2, labels))
    with pytest.raises(
        ValueError,
        match=r"The val labels of .* must be from 0 to 1\. Received: labels from "
        rf"{min(labels)} to {max(labels)}",
    ):
        load_jpeg_archive(path)


FILE = encoded(photograph(0))
BROKEN = {
    "Each train image of .* needs one label. Received: 1 label for 2 images": {
        "train": ([FILE] * 2, [0])
    },
    "The archive has no val images: give one with some": {"val": ([], [])},
    "An image cannot be decoded .*: replace or remove it. Received: train image 1 of": {
        "train": ([FILE, FILE[:60]], [0, 1])
    },
    "cannot be decoded .* Received: val image 0 of": {"val": ([b"", FILE], [0, 1])},
    "The train images of the archive differ in size: give a size for all of them": {
        "train": ([FILE, encoded(photograph(1, (9, 10)))], [0, 1])
    },
    "The train and val images of .* differ in size: give a size for both": {
        "val": ([encoded(photograph(1, (9, 10)))], [0])
    },
}


@pytest.mark.parametrize("sentence", BROKEN)
def test_broken_archive(tmp_path, sentence):
    with pytest.raises(ValueError, match=sentence):
        load_jpeg_archive(archive(tmp_path, **BROKEN[sentence]))


def test_missing_array(tmp_path):
    incomplete = arrays()
    del incomplete["val_offsets"]
    np.savez(tmp_path / "a.npz", **incomplete)
    with pytest.raises(
        ValueError, match=r"not an \.npz file .* labelled JPEG images: it has no 'val_offsets'\."
    ):
        load_jpeg_archive(tmp_path / "a.npz")


def test_no_archive(tmp_path):
    (tmp_path / "a.npz").write_text("a text")
    with pytest.raises(ValueError, match=r"not an \.npz file containing labelled JPEG images"):
        load_jpeg_archive(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"There is no such file: .* labelled JPEG images.*b\.npz"):
        load_jpeg_archive(tmp_path / "b.npz")


@pytest.mark.slow
def test_the_real_one(shared_data):
    found = load_jpeg_archive(shared_data / "tiny-imagenet-30" / "tiny_imagenet_30_jpegs.npz")
    assert found.train.pixels.shape == (15000, 64, 64, 3)
    assert found.validation.pixels.shape == (1500, 64, 64, 3)
    assert np.bincount(found.train.labels).tolist() == [500] * 30
    assert np.bincount(found.validation.labels).tolist() == [50] * 30
    assert len(found.class_names) == 30
