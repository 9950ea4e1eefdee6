"""A labelled data set as JPEG bytes in one `.npz` file."""

import itertools
import os
from typing import NamedTuple

import numpy as np

from kerasvis.data.labelled.labelled_images import LabelledImages
from kerasvis.data.photographs import decode_photograph, standardize_channels
from kerasvis.storage.counted import counted
from kerasvis.storage.files import read_npz

_ARRAYS = ("words", *(f"{s}_{a}" for s in ("train", "val") for a in ("bytes", "offsets", "labels")))


class JpegArchive(NamedTuple):
    """Training and validation images with their classes.

    Attributes:
        train: `LabelledImages`.
        validation: likewise.
        class_names: tuple of the classes' names, in label order.
    """

    train: LabelledImages
    validation: LabelledImages
    class_names: tuple[str, ...]


def load_jpeg_archive(
    filepath: str | os.PathLike, size: tuple[int, int] | None = None, channels: int = 3
) -> JpegArchive:
    """Reads and decodes an archive of JPEG images.

    For each of the splits `train` and `val`, the file contains `<split>_bytes` (uint8, all JPEG
    files concatenated), `<split>_offsets` (where each begins, and the end) and `<split>_labels`.
    `words` are the class names. Images are decoded as by `read_photograph`.

    Args:
        filepath: path of the `.npz` file.
        size: `(height, width)` in pixels to which images are resized and centre-cropped; None for
            images of one size.
        channels: 1 for luminance, 3 for RGB, 4 for RGBA.

    Returns:
        A `JpegArchive`.

    Raises:
        ValueError: if there is no such file, it is not such an archive, a label is out of range, or
            an image cannot be decoded.
    """
    channels = standardize_channels(channels)
    arrays = read_npz(filepath, "labelled JPEG images", _ARRAYS)
    train, validation = (
        _decode_split(arrays, s, filepath, (size, channels)) for s in ("train", "val")
    )
    if train.pixels.shape[1:] != validation.pixels.shape[1:]:
        raise ValueError(
            "The train and val images of the archive differ in size: give a size for both. "
            f"Received: filepath={os.fspath(filepath)!r}"
        )
    return JpegArchive(train, validation, tuple(str(word) for word in arrays["words"]))


def _decode_split(arrays, split, filepath, form):
    data, offsets = arrays[f"{split}_bytes"].tobytes(), arrays[f"{split}_offsets"]
    num_images, num_classes = max(len(offsets) - 1, 0), len(arrays["words"])
    labels = arrays[f"{split}_labels"].astype("int64")
    if num_images == 0:
        raise ValueError(
            f"The archive has no {split} images: give one with some. "
            f"Received: filepath={os.fspath(filepath)!r}"
        )
    if len(labels) != num_images:
        raise ValueError(
            f"Each {split} image of {filepath} needs one label. Received: "
            f"{counted(len(labels), 'label')} for {counted(num_images, 'image')}"
        )
    if not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(
            f"The {split} labels of {filepath} must be from 0 to {num_classes - 1}. "
            f"Received: labels from {labels.min()} to {labels.max()}"
        )
    pixels = [
        _decode(data[begin:end], f"{split} image {i} of {filepath}", *form)
        for i, (begin, end) in enumerate(itertools.pairwise(offsets.tolist()))
    ]
    if len({image.shape for image in pixels}) > 1:
        raise ValueError(
            f"The {split} images of the archive differ in size: give a size for all of them. "
            f"Received: filepath={os.fspath(filepath)!r}"
        )
    return LabelledImages(np.stack(pixels), labels)


def _decode(encoded, name, size, channels):
    try:
        return decode_photograph(encoded, size, channels)
    except ValueError as error:
        raise ValueError(
            f"An image cannot be decoded ({error}): replace or remove it. Received: {name}"
        ) from error
