"""Images that come in batches: a `tf.data.Dataset`, a `PyDataset`, a list or another iterable."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from kerasvis.data.array_like import as_array, shape_of
from kerasvis.data.chosen_images import ChosenImages
from kerasvis.data.images import START, Images
from kerasvis.storage.counted import counted
from kerasvis.storage.fingerprints import digest
from kerasvis.storage.short import short

_MAX_FETCHED_BYTES = 2**30  # of cached images of a stream, so that it is read less often


class StreamImages(Images):
    """A stream of batches of images, with or without labels.

    Args:
        open_batches: function that returns an iterator over arrays `(images, rows, columns,
            channels)`, starting at the first.
        can_be_fetched: whether `open_batches` returns the same batches whenever it is called.
        ends: whether the batches are known to end.
    """

    def __init__(self, open_batches: Callable, can_be_fetched: bool, ends: bool = True):
        super().__init__()
        self._open, self._ends = open_batches, ends
        self.can_be_fetched = can_be_fetched
        self._reading = self._read()
        self._first = next(self._reading, None)
        if self._first is None:
            raise ValueError(
                "Give a data set with at least one image. Received: a data set without images"
            )
        self.image_shape = self._first.shape[1:]
        self._fetched: dict[int, np.ndarray] = {}

    def _read(self):
        return (batch for batch in self._open() if batch.shape[:1] != (0,))

    def batches(self, progress=START):
        """Yields `(image indices, images)`; completed batches are read and dropped."""
        reading, self._reading = self._reading, None
        if reading is None:  # the iterator of the first batch is used up
            reading = self._read()
            next(reading, None)
        begin = progress.next_index
        every = itertools.chain([self._first], reading)
        for number, batch in enumerate(itertools.islice(every, progress.num_batches, None)):
            if number and not self._ends and np.array_equal(batch, self._first):
                raise _no_end("begins again with its first batch, so it may have no end", self)
            yield np.arange(begin, begin + len(batch)), batch
            begin += len(batch)
        self.num_images = begin

    def count(self):
        if self.num_images is None:
            self.num_images = sum(map(len, self._read()))
        return self.num_images

    def __getitem__(self, indices):
        indices = np.ravel(indices).tolist()
        missing = sorted(set(indices) - self._fetched.keys())
        if missing:
            self._fetch(missing)
        images = [self._fetched[index] for index in indices]
        if len({image.shape for image in images}) > 1:
            raise ValueError(
                "The images have different sizes: resize them to one, so that they can be shown "
                f"together. Received: {sorted({image.shape[:2] for image in images})}"
            )
        return np.stack(images)

    def chosen(self, indices):
        return ChosenImages(self, indices)

    def prefetch(self, indices):
        room = _MAX_FETCHED_BYTES // self._first[0].nbytes
        missing = sorted(set(np.ravel(indices).tolist()) - self._fetched.keys())[:room]
        if missing:
            self._fetch(missing)

    def _fetch(self, missing):
        if sum(image.nbytes for image in self._fetched.values()) > _MAX_FETCHED_BYTES:
            self._fetched = {}
        wanted, begin = iter(missing), 0
        index = next(wanted)
        for batch in self._read():
            while index is not None and index < begin + len(batch):
                self._fetched[index] = np.array(batch[index - begin])
                index = next(wanted, None)
            if index is None:
                return
            begin += len(batch)
        raise ValueError(
            f"Image {index} is missing when the data set is read again: give a data set with the "
            f"same images whenever it is read. Received: {counted(begin, 'image')}"
        )

    def check_repeats(self):
        """Raises a ValueError for a stream that may not end, or cannot be read again unchanged."""
        if not self._ends:
            raise _no_end("does not say whether it has an end", self)
        again = next(self._read(), None) if self.can_be_fetched else None
        if again is None or not np.array_equal(again, self._first):
            raise ValueError(
                "The images with the strongest activations are fetched again, but this data set "
                "can be read only once, or its images or their order change whenever it is read: "
                "give an array, an ImageFolder, or a data set without shuffling or augmentation. "
                f"Received: images={self._open!r}"
            )

    def sample(self):
        return self._first

    def fingerprint(self):
        return {"first batch": digest([self._first])}


def stream_of(images: Any, batch_size: int, steps: int | None) -> StreamImages:
    """The stream of a user's batches; see `kerasvis.data.image_source.image_source`."""
    if hasattr(images, "element_spec"):  # a tf.data.Dataset
        known = int(images.cardinality())
        num_batches = {-1: np.inf, -2: None}.get(known, known)
        open_elements, again = images.__iter__, True
    elif hasattr(images, "num_batches") and hasattr(images, "__getitem__"):  # a PyDataset
        num_batches, again = images.num_batches, True
        open_elements = lambda: map(images.__getitem__, itertools.count())  # noqa: E731
    elif hasattr(images, "__iter__") and not isinstance(images, str | bytes | dict):
        num_batches = len(images) if hasattr(images, "__len__") else None
        open_elements, again = images.__iter__, iter(images) is not images
    else:
        raise ValueError(
            "Give an array (images, rows, columns, channels), an ImageFolder, a tf.data.Dataset, "
            f"a PyDataset or a list of batches. Received: images={short(images)}"
        )
    if num_batches == np.inf and steps is None:
        raise _no_end("has no end", images)
    lengths = [number for number in (num_batches, steps) if number is not None]
    num_steps = min(lengths) if lengths else None

    def open_batches():
        return _batches(itertools.islice(open_elements(), num_steps), batch_size)

    return StreamImages(open_batches, again, ends=num_steps is not None)


def _no_end(whether, images):
    return ValueError(
        f"The data set {whether}: give steps=, the number of batches to read, or a data set that "
        f"is not repeated. Received: images={short(images)}"
    )


def _batches(elements, batch_size):
    """Arrays `(images, rows, columns, channels)`; single images are stacked."""
    waiting = []
    for element in elements:
        images = _images_of(element)
        if images.ndim != 3:
            yield images
            continue
        waiting.append(images)
        if len(waiting) == batch_size:
            yield np.stack(waiting)
            waiting = []
    if waiting:
        yield np.stack(waiting)


def _images_of(element):
    """The images of an element, without labels, weights or names."""
    if isinstance(element, tuple | list) and len(element):
        element = element[0]
    if isinstance(element, dict):
        element = _entry_of_images(element)
    return as_array(element)


def _entry_of_images(entries):
    for name in ("image", "images"):
        if name in entries:
            return entries[name]
    found = [value for value in entries.values() if len(shape_of(value)) in (3, 4)]
    if len(found) == 1:
        return found[0]
    raise ValueError(
        "The data set's elements are dictionaries, and it is ambiguous which entry contains the "
        "images: map it to them, as in dataset.map(lambda batch: batch['image']). "
        f"Received: entries {', '.join(map(str, entries))}"
    )
