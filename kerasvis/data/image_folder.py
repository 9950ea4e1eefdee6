"""The photographs of a folder, decoded when they are asked for."""

import collections
import concurrent.futures
import copy
import os
from pathlib import Path

import numpy as np

from kerasvis.data.photographs import read_photograph
from kerasvis.data.preprocessing import Preprocessing

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


class ImageFolder:
    """All photographs under a folder, as images of one size.

    The files are those with the usual suffixes, in subfolders too, sorted by path; names that
    begin with a dot are left out. A file's place in this order is its image index, whether or not
    it can be decoded, so indices do not depend on what else is in order.

    Nothing is decoded before it is asked for. Batches leave out what cannot be decoded (corrupt,
    truncated or empty files, decompression bombs) and report it in `skipped`; asking for such an
    image by its index is an error.

    Args:
        directory: path of the folder.
        size: `(height, width)` of the images in pixels.
        preprocessing: a `Preprocessing`, or the name of its mode.
        strict: whether a file that cannot be decoded is an error in batches too.

    Attributes:
        filepaths: tuple of `Path`s, one per image index.
        skipped_reasons: `{image index: reason}` of the files left out of batches so far.

    Raises:
        ValueError: if there is no such folder, or no photograph in it.

    Example:
        folder = ImageFolder("photographs", size=(224, 224), preprocessing="caffe")
        top = kerasvis.find_top_activations(model, folder, ["conv3"])
        winners = folder.pixels(top["conv3"].image_indices[42])
    """

    def __init__(self, directory, size=None, preprocessing=None, strict=False):
        self.directory = Path(directory)
        self.size = None if size is None else _standardized_size(size)
        self.preprocessing = None if preprocessing is None else Preprocessing.of(preprocessing)
        self.strict = strict
        self.filepaths = _find_photographs(self.directory)
        self.skipped_reasons = {}

    def __len__(self):
        return len(self.filepaths)

    def __getitem__(self, indices):
        """The images at `indices`, an integer, a list of integers or a slice.

        Returns:
            float32 `(images, height, width, 3)`, preprocessed; `(height, width, 3)` for an integer.
        """
        return self._to_images(self.pixels(indices))

    def with_size(self, size, channels=3):
        """The same photographs at another size; what is skipped is shared."""
        other = copy.copy(self)
        other.size = _standardized_size(size)
        return other

    def with_preprocessing(self, preprocessing):
        """The same photographs with another preprocessing; what is skipped is shared."""
        other = copy.copy(self)
        other.preprocessing = Preprocessing.of(preprocessing)
        return other

    def _to_images(self, pixels):
        return (self.preprocessing or Preprocessing()).images(pixels)

    @property
    def skipped(self):
        """`(path, reason)` of the files that batches left out so far, in order."""
        return [(self.filepaths[i], reason) for i, reason in sorted(self.skipped_reasons.items())]

    def pixels(self, indices):
        """The photographs at `indices`, an integer, a list of integers or a slice.

        Returns:
            uint8 `(images, height, width, 3)`, RGB; `(height, width, 3)` for an integer.

        Raises:
            IndexError: if an index is not within the folder, -1 ("no image") included.
            ValueError: if a file cannot be decoded.
        """
        if isinstance(indices, slice):
            indices = range(len(self))[indices]
        indices = np.asarray(indices, "int64")
        decoded = []
        for index in indices.ravel().tolist():
            if not 0 <= index < len(self):
                raise IndexError(
                    f"There is no image {index} in {self.directory}: its {len(self)} images are "
                    "counted from 0."
                )
            pixels, reason = self._decode(index)
            if reason:
                raise self._error(index, reason)
            decoded.append(pixels)
        return np.array(decoded, "uint8").reshape(*indices.shape, *self.size, 3)

    def batches(self, batch_size, start=0):
        """The images that can be decoded, in order, decoded ahead in threads.

        Args:
            batch_size: images per batch; the last one may be smaller.
            start: image index to begin at.

        Yields:
            `(image_indices, images)`: int64 `(images,)` and float32 `(images, height, width, 3)`.

        Raises:
            ValueError: if `strict` and a file cannot be decoded.
        """
        indices, batch = [], []
        for index, (pixels, reason) in self._decode_ahead(start, 2 * batch_size):
            if reason and self.strict:
                raise self._error(index, reason)
            if reason:
                self.skipped_reasons[index] = reason
                continue
            indices.append(index)
            batch.append(pixels)
            if len(batch) == batch_size:
                yield np.array(indices, "int64"), self._to_images(np.stack(batch))
                indices, batch = [], []
        if batch:
            yield np.array(indices, "int64"), self._to_images(np.stack(batch))

    def _decode_ahead(self, start, num_ahead):
        """`(index, (pixels, reason))` in order, with at most `num_ahead` images decoded ahead."""
        pool = concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1))
        waiting = collections.deque()
        try:
            for index in range(start, len(self)):
                waiting.append((index, pool.submit(self._decode, index)))
                if len(waiting) > num_ahead:
                    first, decoding = waiting.popleft()
                    yield first, decoding.result()
            for first, decoding in waiting:
                yield first, decoding.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _decode(self, index):
        """`(pixels, None)`, or `(None, reason)`."""
        try:
            return read_photograph(self.filepaths[index], self.size), None
        except ValueError as error:
            return None, str(error)

    def _error(self, index, reason):
        return ValueError(
            f"{self.filepaths[index]} (image {index}) cannot be decoded ({reason}): repair it or "
            "take it out of the folder."
        )


def _standardized_size(size):
    try:
        height, width = (int(length) for length in size)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise ValueError(
            f"The size of the images was given as {size!r}: give (height, width) in pixels."
        )
    return height, width


def _find_photographs(directory):
    if not directory.exists():
        raise ValueError(f"There is no folder {directory}: give one that holds photographs.")
    if not directory.is_dir():
        raise ValueError(f"{directory} is a file: give the folder that holds the photographs.")
    filepaths = sorted(_visible_files(directory), key=lambda path: path.as_posix())
    photographs = tuple(path for path in filepaths if path.suffix.lower() in SUFFIXES)
    if photographs:
        return photographs
    if not filepaths:
        raise ValueError(f"The folder {directory} is empty: give one that holds photographs.")
    raise ValueError(
        f"The folder {directory} holds no photographs ({', '.join(SUFFIXES)}), but "
        f"{len(filepaths)} files of other kinds, such as {filepaths[0].name}: give one that does."
    )


def _visible_files(directory):
    for folder, subfolders, names in os.walk(directory):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        yield from (Path(folder, name) for name in names if not name.startswith("."))
