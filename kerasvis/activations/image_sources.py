"""Where a scan's images come from: an array, batches, or a folder of photographs.

Each source says how many images it has, reads batches from where a scan stopped, names an image
for an error, and has a fingerprint by which a scan that goes on knows its images again.
"""

import contextlib
import hashlib
import itertools
from typing import NamedTuple

import numpy as np

from kerasvis.activations.shards import Shard
from kerasvis.data.image_folder import ImageFolder

_NUM_SAMPLES = 64  # images of an array that go into its fingerprint


class Progress(NamedTuple):
    """How far a scan has come.

    Attributes:
        num_batches: batches that are done.
        next_index: image index after the last one that is done.
    """

    num_batches: int = 0
    next_index: int = 0


def image_source(images, batch_size):
    """The source for what a user gave as `images`."""
    if isinstance(images, Shard):
        return ShardSource(image_source(images.images, batch_size), images.index, images.num_shards)
    if isinstance(images, ImageFolder):
        return FolderSource(images, batch_size)
    if hasattr(images, "shape"):
        return ArraySource(images, batch_size)
    if hasattr(images, "__iter__") and not isinstance(images, str | bytes | dict):
        return BatchesSource(images)
    raise ValueError(
        f"Images were given as {type(images).__name__}: give an array (images, rows, columns, "
        "channels), a tf.data.Dataset of batches, or an ImageFolder."
    )


class ArraySource:
    """An array of images, in memory or not."""

    def __init__(self, images, batch_size):
        if len(images.shape) != 4 or not images.shape[0]:
            raise ValueError(
                f"Images of shape {tuple(images.shape)} were given: give at least one image, as "
                "(images, rows, columns, channels)."
            )
        self.images, self.batch_size = images, batch_size
        self.num_images = len(images)
        self.skipped_reasons = {}

    def batches(self, progress):
        """Yields `(image indices, images)`."""
        for begin in range(progress.next_index, self.num_images, self.batch_size):
            end = min(begin + self.batch_size, self.num_images)
            yield np.arange(begin, end), np.asarray(self.images[begin:end])

    def describe(self, index):
        return f"Image {index}"

    def fingerprint(self):
        samples = np.unique(np.linspace(0, self.num_images - 1, _NUM_SAMPLES).astype("int64"))
        samples = [np.asarray(self.images[index]) for index in samples.tolist()]
        return digest(["array", self.batch_size, self.num_images, *samples])


class BatchesSource:
    """Batches of images, with or without labels, as a `tf.data.Dataset` gives them."""

    def __init__(self, batches):
        iterator = (batch for batch in map(_images_of, batches) if batch.shape[:1] != (0,))
        self._first = next(iterator, None)
        if self._first is None:
            raise ValueError("The data set holds no images: give at least one.")
        self._batches = itertools.chain([self._first], iterator)
        self.num_images = None
        self.skipped_reasons = {}

    def batches(self, progress):
        """Yields `(image indices, images)`; batches that are done are read and dropped."""
        begin = progress.next_index
        for batch in itertools.islice(self._batches, progress.num_batches, None):
            yield np.arange(begin, begin + len(batch)), batch
            begin += len(batch)

    def describe(self, index):
        return f"Image {index}"

    def fingerprint(self):
        return digest(["batches", self._first])


def _images_of(batch):
    if isinstance(batch, tuple | list) and batch:
        batch = batch[0]  # labels, and perhaps weights, come after the images
    if isinstance(batch, dict):
        raise ValueError(
            f"The data set's batches are dictionaries of {', '.join(map(str, batch))}: map it to "
            "the images, as in dataset.map(lambda batch: batch['image'])."
        )
    return np.asarray(batch)


class FolderSource:
    """The photographs of an `ImageFolder`."""

    def __init__(self, folder, batch_size):
        self.folder, self.batch_size = folder, batch_size
        self.num_images = len(folder)
        self.skipped_reasons = folder.skipped_reasons

    def batches(self, progress):
        """Yields `(image indices, images)`."""
        return self.folder.batches(self.batch_size, start=progress.next_index)

    def describe(self, index):
        return f"Image {index} ({self.folder.filepaths[index]})"

    def why_none(self):
        path, reason = self.folder.skipped[0]
        return f"none of {len(self.folder)} files can be decoded, such as {path} ({reason})."

    def fingerprint(self):
        files = [
            f"{path.relative_to(self.folder.directory).as_posix()} {path.stat().st_size}"
            for path in self.folder.filepaths
        ]
        preprocessing, size = self.folder.preprocessing.mode, self.folder.size
        return digest(["folder", self.batch_size, preprocessing, size, *files])


class ShardSource:
    """Every `num_shards`-th batch of a source, from that numbered `index` on."""

    def __init__(self, source, index, num_shards):
        if not 0 <= index < num_shards:
            raise ValueError(
                f"Shard {index} of {num_shards} was asked for: number the shards from 0 to one "
                "less than there are."
            )
        self.source, self.index, self.num_shards = source, index, num_shards
        self.num_images = None
        self.skipped_reasons = source.skipped_reasons
        self.describe = source.describe

    def batches(self, progress):
        """Yields `(image indices, images)`."""
        done = 0
        if progress.num_batches:
            done = (progress.num_batches - 1) * self.num_shards + self.index + 1
        every = self.source.batches(Progress(done, progress.next_index))
        with contextlib.closing(every):
            for number, batch in enumerate(every, done):
                if number % self.num_shards == self.index:
                    yield batch

    def why_none(self):
        return f"shard {self.index} of {self.num_shards} is empty, as there are fewer batches."

    def fingerprint(self):
        return digest(["shard", self.index, self.num_shards, self.source.fingerprint()])


def digest(parts):
    """A short hexadecimal digest of arrays and of anything with a telling `str`."""
    hasher = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            hasher.update(f"{part.dtype} {part.shape}".encode())
            hasher.update(np.ascontiguousarray(part).tobytes())
        else:
            hasher.update(f"{part}\n".encode())
    return hasher.hexdigest()
