"""Photographs sorted into folders, one for each class."""

import concurrent.futures
import dataclasses
import os
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from kerasvis.data.image_folder import SUFFIXES
from kerasvis.data.labelled_images import LabelledImages, hexadecimal_digest, image_indices
from kerasvis.data.photographs import FORMATS, read_photograph

VALIDATION_FOLDERS = ("validation", "val", "test")  # the first one that is there counts
_VERIFICATION_SIZE = (8, 8)  # JPEGs are then decoded at an eighth, which still reads every byte
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations in which rows and columns change places


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledFiles:
    """Photographs that are decoded whenever a batch needs them.

    Attributes:
        filepaths: tuple of `Path`s.
        labels: int64 `(images,)`, indices into the class names.
        size: `(height, width)` of the images in pixels.
    """

    filepaths: tuple
    labels: np.ndarray
    size: tuple[int, int]

    @property
    def num_images(self):
        return len(self.labels)

    @property
    def digest(self):
        """What tells these images from others: the files' names and sizes in bytes, and labels."""
        names = [f"{p.parent.name}/{p.name} {p.stat().st_size}" for p in self.filepaths]
        return hexadecimal_digest(repr((self.size, names)), self.labels)

    def batches(self, batch_size, seed=None):
        """The images once over, as `LabelledImages.batches`; decoded ahead, in parallel.

        A file that has become unreadable since it was verified ends the iteration with an error
        that names it.
        """

        def read(index):
            filepath = self.filepaths[index]
            try:
                return read_photograph(filepath, self.size), self.labels[index]
            except ValueError as error:
                raise ValueError(
                    f"{filepath} cannot be decoded any more ({error}): repair it, and start again."
                ) from error

        def decode(index):
            pixels, label = tf.numpy_function(read, [index], (tf.uint8, tf.int64), stateful=False)
            return tf.ensure_shape(pixels, (*self.size, 3)), tf.ensure_shape(label, ())

        decoded = image_indices(self.num_images, seed).map(
            decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        return decoded.batch(batch_size)

    def verified(self, keep):
        """Decodes every file once.

        Args:
            keep: whether to keep the pixels; if not, files are decoded as small as they can be.

        Returns:
            `LabelledImages` if `keep`, else `LabelledFiles`, of the files that can be decoded, and
            a tuple of `(path, reason)` of the others.
        """
        size = self.size if keep else _VERIFICATION_SIZE

        def read(filepath):
            try:
                pixels = read_photograph(filepath, size)
                return (pixels if keep else None), None
            except ValueError as error:
                return None, str(error)

        with concurrent.futures.ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
            pixels, reasons = zip(*pool.map(read, self.filepaths), strict=True)
        whole = [i for i, reason in enumerate(reasons) if reason is None]
        failed = zip(self.filepaths, reasons, strict=True)
        skipped = tuple((path, reason) for path, reason in failed if reason is not None)
        if not keep:
            return self.taken(whole), skipped
        stacked = np.array([pixels[i] for i in whole], "uint8").reshape(-1, *self.size, 3)
        return LabelledImages(stacked, self.labels[whole]), skipped

    def taken(self, indices):
        """Those at `indices`."""
        filepaths = tuple(self.filepaths[i] for i in indices)
        return LabelledFiles(filepaths, self.labels[indices], self.size)


def find_class_folders(directory):
    """Finds the photographs and the names of their classes; nothing is decoded.

    Args:
        directory: folder with `train/<class>/*` and `<validation>/<class>/*`, where the latter is
            the first there is of `VALIDATION_FOLDERS`; or with `train/<class>/*` or `<class>/*`
            alone. Photographs lie in the class's folder or deeper; names that begin with a dot,
            and files of other kinds, are left out.

    Returns:
        `(class names, train, validation)`: a sorted tuple, and for each of both a dictionary
        `{class name: sorted list of Paths}`; `validation` is None if there is one set only.

    Raises:
        ValueError: if there are no classes, a class has no photograph or is in one set only, or
            photographs lie among the class folders.
    """
    directory = Path(directory)
    train, validation = _roots(directory)
    train_files = _files_of_classes(train)
    if validation is None:
        return tuple(train_files), train_files, None
    validation_files = _files_of_classes(validation)
    for here, there in ((train, validation), (validation, train)):
        lonely = sorted(_folders(here) - _folders(there))
        if lonely:
            raise ValueError(
                f"The class {lonely[0]!r} is in {here}, but not in {there}: give every class "
                "photographs in both, or take it out."
            )
    return tuple(train_files), train_files, validation_files


def common_size(filepaths):
    """`(height, width)` that all photographs have, by their headers; unreadable ones aside.

    Raises:
        ValueError: if they differ, or none can be read.
    """
    sizes = {}
    for filepath in filepaths:
        try:
            with Image.open(filepath, formats=FORMATS) as image:
                sideways = image.getexif().get(0x0112) in _SIDEWAYS
                sizes.setdefault(image.size if sideways else image.size[::-1], filepath)
        except Exception:  # whatever Pillow raises: the file is reported when it is decoded
            continue
        if len(sizes) > 1:
            (first, a), (second, b) = sizes.items()
            raise ValueError(
                f"The photographs differ in size, as {a} ({first[0]}×{first[1]}) and {b} "
                f"({second[0]}×{second[1]}): give the image size to bring them to."
            )
    if not sizes:
        raise ValueError(
            f"None of the {len(filepaths)} photographs, such as {filepaths[0]}, can be decoded: "
            "give a folder of images."
        )
    return next(iter(sizes))


def _roots(directory):
    """The folders that hold the class folders: for training, and for validation or None."""
    folders = _folders(directory)
    validation = next((name for name in VALIDATION_FOLDERS if name in folders), None)
    if folders and folders <= set(VALIDATION_FOLDERS):
        raise ValueError(
            f"The folder {directory} has {' and '.join(sorted(folders))}, but no 'train': give one "
            "with train/<class>, or with one folder for each class."
        )
    if "train" not in folders:
        return directory, None
    if validation is not None:
        return directory / "train", directory / validation
    if _folders(directory / "train"):
        return directory / "train", None
    return directory, None  # trains are one of the classes


def _files_of_classes(root):
    names = sorted(_folders(root))
    strays = sorted(path for path in root.iterdir() if path.is_file() and _is_photograph(path))
    if strays and names:
        raise ValueError(
            f"The photograph {strays[0]} lies among the class folders: move it into the folder of "
            "its class."
        )
    if not names:
        raise ValueError(
            f"The folder {root} has no class folders: give one with a folder of photographs for "
            "each class."
        )
    files = {name: _photographs(root / name) for name in names}
    for name, found in files.items():
        if not found:
            raise ValueError(
                f"The class folder {root / name} holds no photographs ({', '.join(SUFFIXES)}): "
                "put some there, or take it out."
            )
    return files


def _folders(directory):
    return {path.name for path in directory.iterdir() if path.is_dir() and path.name[0] != "."}


def _photographs(directory):
    found = []
    for folder, subfolders, names in os.walk(directory):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        found += [path for path in (Path(folder, name) for name in names) if _is_photograph(path)]
    return sorted(found, key=lambda path: path.as_posix())


def _is_photograph(path):
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
