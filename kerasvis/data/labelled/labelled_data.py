"""Training and validation images with their classes, from any source."""

import dataclasses
import functools
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from kerasvis.data.file_names import shown_name
from kerasvis.data.folder_walk import is_folder
from kerasvis.data.labelled.class_folder import LabelledFiles, common_size, find_class_folders
from kerasvis.data.labelled.jpeg_archive import load_jpeg_archive
from kerasvis.storage.counted import counted
from kerasvis.storage.fingerprints import digest

MAX_BYTES_IN_MEMORY = 2 * 10**9  # of decoded pixels, training and validation together

if TYPE_CHECKING:
    import tensorflow as tf


class LabelledSet(Protocol):
    """Images with their classes, in memory or decoded when they are needed."""

    @property
    def num_images(self) -> int:
        """Number of images."""

    @property
    def labels(self) -> np.ndarray:
        """int64 `(images,)`, the class of each."""

    @property
    def digest(self) -> str:
        """Identifies these images: a hash of their content and labels."""

    def batches(self, batch_size: int, seed: Any = None) -> "tf.data.Dataset":
        """One pass over `(pixels, labels)`, in the original order or shuffled by a seed."""


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledData:
    """The images that a convnet is trained on and evaluated with.

    Both sets have `num_images`, `labels` (int64 `(images,)`), `digest` and
    `batches(batch_size, seed=None)`, a `tf.data.Dataset` of `(pixels, labels)` with uint8
    `(batch, height, width, 3)` and int64 `(batch,)`; see `LabelledImages.batches`.

    Attributes:
        train: `LabelledImages`, or a set decoded batch by batch if it is too large for memory.
        validation: likewise.
        class_names: tuple of the classes' names, in label order.
        image_size: `(height, width)` in pixels.
        skipped: tuple of `(path, reason)` of files that cannot be decoded and were left out, and
            of subfolders that cannot be read; paths are formatted by `shown_name`.
    """

    train: LabelledSet
    validation: LabelledSet
    class_names: tuple[str, ...]
    image_size: tuple[int, int]
    skipped: tuple = ()

    @functools.cached_property
    def fingerprint(self) -> str:
        """32 hexadecimal digits that change with the data, their split, classes or size.

        For sets in memory they depend on the pixels; for larger sets on the names and content of
        the files, or the name and version of the data set, and on all labels.
        """
        sets = [self.train.digest, self.validation.digest]
        return digest([self.class_names, tuple(self.image_size), *sets])


def load_labelled(
    data: str | os.PathLike,
    image_size: int | Sequence[int] | None = None,
    *,
    validation_share: float = 0.1,
    seed: int = 0,
    strict: bool = False,
) -> LabelledData:
    """Loads labelled photographs for training, and checks all of them first.

    Every image is converted to RGB, resized and centre-cropped to the image size. Up to
    `MAX_BYTES_IN_MEMORY`, the decoded pixels stay in memory; larger sets are decoded batch by
    batch. Archives always stay in memory.

    Every file of a folder is decoded once first, a large JPEG of a large set at an eighth of its
    size, so that all bytes are read. Files that cannot be decoded (corrupt, truncated or empty
    files, decompression bombs) are left out and reported in `skipped`. The records of TensorFlow
    Datasets were checked when they were written; only their labels are read.

    Args:
        data: one of

            - an image folder: `train/<class>/*` and `validation|val|test/<class>/*` (the first that
              exists; names such as `Training` or `test_set` too), or `train/<class>/*` or
              `<class>/*` alone, which is split; the classes are the sorted names of the folders;
            - an `.npz` archive as `load_jpeg_archive` reads it;
            - otherwise the name of a data set of TensorFlow Datasets, such as `"imagenet2012"`,
              with the splits `train` and `validation` or `test`, or `train` alone, which is split.
        image_size: `(height, width)` in pixels, one number for squares, or None if all images have
            one size.
        validation_share: share of each class's images that are used for validation if the data
            have only one set, in (0, 1); at least one image.
        seed: integer that determines this split.
        strict: whether a file that cannot be decoded is an error.

    Returns:
        A `LabelledData`.

    Raises:
        ValueError: if there are no such data, a class has no readable image in one of the sets, a
            label is out of range, images differ in size and no image_size was given, or `strict`
            and a file cannot be decoded.

    Reference:
        Zeiler & Fergus 2013, Section 3.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> import kerasvis as kv
        >>> for name in ["navy", "yellow"]:
        ...     Path("photographs", name).mkdir(parents=True)
        ...     for number in range(3):
        ...         filepath = f"photographs/{name}/{number}.png"
        ...         Image.new("RGB", (50 + number, 40), name).save(filepath)
        >>> data = kv.data.load_labelled("photographs", image_size=32)
        >>> data.class_names, data.train.num_images, data.validation.num_images
        (('navy', 'yellow'), 4, 2)
        >>> for pixels, labels in data.train.batches(4, seed=(0, 1)):
        ...     print(pixels.shape, sorted(labels.numpy().tolist()))
        (4, 32, 32, 3) [0, 0, 1, 1]
    """
    size = _standardized_size(image_size)
    if not 0 < validation_share < 1:
        raise ValueError(f"Give a share in (0, 1). Received: validation_share={validation_share}")
    path = Path(data)
    if path.suffix == ".npz":
        return _from_archive(path, size)
    found = is_folder(path)
    if found:
        return _from_folder(path, size, validation_share, seed, strict)
    if found is not None:
        raise ValueError(
            "This is a file, but not an .npz archive: give a folder with a folder of photographs "
            "for each class, an archive, or the name of a data set. "
            f"Received: data={shown_name(path)!r}"
        )
    if path.is_absolute() or os.fspath(data).startswith((".", "~")):
        raise ValueError(
            "There is no such folder or archive: give one, or the name of a data set of TensorFlow "
            f"Datasets. Received: data={shown_name(path)!r}"
        )
    return _from_tfds(os.fspath(data), size, validation_share, seed)


def _from_archive(path, size):
    train, validation, class_names = load_jpeg_archive(path, size)
    found = LabelledData(train, validation, class_names, train.pixels.shape[1:3])
    _check_classes(found, path)
    return found


def _from_folder(directory, size, share, seed, strict):
    found = find_class_folders(directory)
    class_names = found.class_names
    sets = [_labelled_files(f, size) for f in (found.train, found.validation) if f is not None]
    if size is None:
        size = common_size([path for one in sets for path in one.filepaths])
        sets = [dataclasses.replace(one, size=size) for one in sets]
    keep = _fits_in_memory(sum(one.num_images for one in sets), size)
    verified = [one.verified(keep) for one in sets]
    failed = [failure for _, some in verified for failure in some]
    skipped = tuple((Path(shown_name(path)), why) for path, why in (*found.unread, *failed))
    if strict and skipped:
        raise ValueError(
            f"{counted(len(skipped), 'file')} cannot be read: repair such files or take them out "
            f"of the folder. Received: {skipped[0][0]} ({skipped[0][1]})"
        )
    sets = [one for one, _ in verified]
    if len(sets) == 1:
        _check_can_be_split(sets[0].labels, class_names, directory)
        sets = _split(sets[0], share, seed)
    found = LabelledData(*sets, class_names, size, skipped)
    _check_classes(found, directory)
    return found


def _from_tfds(name, size, share, seed):
    if importlib.util.find_spec("tensorflow_datasets") is None:
        raise ValueError(
            "This is neither a folder nor an archive, and TensorFlow Datasets is not installed: "
            "give a path that exists, or pip install 'keras-deconvnet[tfds]'. "
            f"Received: data={name!r}"
        )
    from kerasvis.data.labelled.tfds_source import (
        open_tfds,  # here, so that the others start without it
    )

    class_names, *sets = open_tfds(name, size)
    sets = [one for one in sets if one is not None]
    if len(sets) == 1:
        sets = _split(sets[0], share, seed)
    size = sets[0].size
    if _fits_in_memory(sum(one.num_images for one in sets), size):
        sets = [one.in_memory() for one in sets]
    return LabelledData(*sets, class_names, size)


def stratified_split(labels, share, seed):
    """Splits a random share off every class.

    Args:
        labels: int64 `(images,)`.
        share: in (0, 1). Both parts get at least one image of a class of two images or more.
        seed: integer; the split of a class depends on it, the class and its number of images.

    Returns:
        Two int64 arrays, the indices of the remaining images and of the share, ascending.
    """
    sampled = [np.zeros(0, "int64")]
    for label in np.unique(labels).tolist():
        indices = np.flatnonzero(labels == label)
        number = min(max(round(share * len(indices)), 1), len(indices) - 1)
        sampled.append(np.random.default_rng([seed, label]).permutation(indices)[:number])
    sampled = np.sort(np.concatenate(sampled))
    return np.setdiff1d(np.arange(len(labels)), sampled), sampled


def _split(images, share, seed):
    return [images.subset(indices) for indices in stratified_split(images.labels, share, seed)]


def _labelled_files(files, size):
    labels = [label for label, paths in enumerate(files.values()) for _ in paths]
    filepaths = tuple(path for paths in files.values() for path in paths)
    return LabelledFiles(filepaths, np.array(labels, "int64"), size)


def _fits_in_memory(num_images, size):
    return num_images * size[0] * size[1] * 3 <= MAX_BYTES_IN_MEMORY


def _check_can_be_split(labels, class_names, directory):
    counts = np.bincount(labels, minlength=len(class_names))
    for name, count in zip(class_names, counts.tolist(), strict=True):
        if count < 2:
            raise ValueError(
                f"The class {name!r} in {directory} needs at least two readable images, one for "
                f"training and one for validation. Received: {counted(count, 'readable image')}"
            )


def _check_classes(data, path):
    for images, name in ((data.train, "training"), (data.validation, "validation")):
        counts = np.bincount(images.labels, minlength=len(data.class_names))
        if missing := np.flatnonzero(counts == 0).tolist():
            raise ValueError(
                f"The class {data.class_names[missing[0]]!r} in {path} has no readable {name} "
                f"image: add some, or remove the class. Received: 0 {name} images of the class"
            )


def _standardized_size(image_size):
    if image_size is None:
        return None
    try:
        both = (image_size,) * 2 if np.ndim(image_size) == 0 else image_size
        height, width = (int(length) for length in both)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise ValueError(
            "Give the image size as (height, width) in pixels, or one number for squares. "
            f"Received: image_size={image_size!r}"
        )
    return height, width
