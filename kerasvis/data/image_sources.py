"""Sources of images: an array, a stream of batches, or a folder.

Each source knows its number of images, reads batches from where a run stopped, fetches images by
their indices, names images in errors, and has a fingerprint by which a resumed run recognises its
images. It has the preprocessing by which its images were made from pixels, so that `pixels` returns
the photographs.
"""

import copy
import functools
import itertools
import platform
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from kerasvis.data.file_names import shown_name
from kerasvis.data.image_folder import ImageFolder
from kerasvis.data.photographs import content_digests
from kerasvis.data.preprocessing import Preprocessing
from kerasvis.storage.counted import counted
from kerasvis.storage.fingerprints import digest

_NUM_SAMPLES = 64  # images of an array in its fingerprint
_MAX_FETCHED_BYTES = 2**30  # of cached images of a stream, so that it is read less often


class Progress(NamedTuple):
    """The progress of a run over images.

    Attributes:
        num_batches: number of completed batches.
        next_index: image index after the last completed one.
    """

    num_batches: int = 0
    next_index: int = 0


START = Progress()


class Images:
    """The images of an analysis, from any source.

    Attributes:
        num_images: number of images; None if it is unknown until they are read.
        image_shape: `(rows, columns, channels)` of each image; None for a size that is unknown.
        preprocessing: the `Preprocessing` by which the images were made from pixels; None if it is
            unknown.
        skipped_reasons: `{image index: reason}` of the images left out of batches so far.
        can_be_fetched: whether images can be fetched again by their indices.
        has_sections: whether `section` reads its images without those in front of them.
    """

    num_images: int | None = None
    image_shape: tuple[int, int, int] | None = None
    preprocessing: Preprocessing | None = None
    can_be_fetched = True
    has_sections = False

    def __init__(self):
        self.skipped_reasons = {}

    @property
    def image_size(self) -> tuple[int, int]:
        """`(height, width)` of the images in pixels."""
        return self.image_shape[:2]

    def batches(self, progress: Progress = START) -> Iterator:
        """Yields `(image indices, images)`, from where a run stopped."""
        raise NotImplementedError

    def section(self, begin: int, end: int) -> Self:
        """These images from `begin` to before `end` alone, under the indices that they have here.

        It can be pickled and sent to another machine. Read from `begin` on, where a batch begins,
        its batches are those here.
        """
        raise NotImplementedError

    def __getitem__(self, indices) -> np.ndarray:
        """The images at `indices`, an array of integers, as the model takes them.

        Returns:
            `(images, rows, columns, channels)`.
        """
        raise NotImplementedError

    def prefetch(self, indices) -> None:
        """Caches images that will be fetched, as far as memory allows, if fetching is slow."""

    def sample(self) -> np.ndarray:
        """A few images, to infer their range: `(images, rows, columns, channels)`."""
        raise NotImplementedError

    def fingerprint(self) -> dict[str, Any]:
        """What identifies these images: `{what: value}`, their content and batches."""
        raise NotImplementedError

    def pixels(self, indices) -> np.ndarray:
        """uint8 `(images, rows, columns, channels)`, for display; RGB if there are three channels.

        Raises:
            ValueError: if the preprocessing is unknown, or contradicts the values of the images.
        """
        return self.to_pixels(self[indices])

    def to_pixels(self, images: np.ndarray) -> np.ndarray:
        """The pixels of fetched images; see `pixels`."""
        preprocessing = self.known_preprocessing()
        preprocessing.check_range(images)
        return preprocessing.pixels(images)

    def rgb(self, projections: np.ndarray) -> np.ndarray:
        """Projections with their channels in RGB order, if it is known."""
        return projections if self.preprocessing is None else self.preprocessing.rgb(projections)

    def known_preprocessing(self) -> Preprocessing:
        """The preprocessing; a ValueError if it is unknown."""
        if self.preprocessing is None:
            values = self.sample()
            raise ValueError(
                "The preprocessing of the images is unknown, as their values are not in [0, 255], "
                "[0, 1] or [-1, 1]: give preprocessing='caffe' or another one, or a pair of "
                f"functions (forward, inverse). Received: images from {values.min():.4g} to "
                f"{values.max():.4g}"
            )
        return self.preprocessing

    def describe(self, index: int) -> str:
        """The name of an image in errors."""
        return f"Image {index}"

    def all(self) -> np.ndarray:
        """All images, in memory; a ValueError for one that cannot be decoded."""
        images = np.concatenate([batch for _, batch in self.batches()])
        if self.skipped_reasons:
            name, reason = self.skipped[0]
            raise ValueError(
                f"An image cannot be read ({reason}): repair it, or leave it out. Received: {name}"
            )
        return images

    def count(self) -> int:
        """The number of images; a stream is read once for it."""
        return self.num_images

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each image."""
        return tuple(f"image {index}" for index in range(self.count()))

    @property
    def skipped(self) -> list:
        """`(name, reason)` of the images left out of batches so far, in order."""
        return [(self.describe(i), reason) for i, reason in sorted(self.skipped_reasons.items())]

    def why_none(self) -> str:
        """Why there was no image, as the end of a sentence."""
        return "there is none."


class ArrayImages(Images):
    """An array or tensor of images, in memory or not, or a sequence of images of one size."""

    has_sections = True

    def __init__(self, images, batch_size):
        super().__init__()
        shape = _shape_of(images)
        if len(shape) != 4 or not shape[0]:
            raise ValueError(
                "Give at least one image, as an array (images, rows, columns, channels). "
                f"Received: images of shape {shape}"
            )
        if isinstance(images, list | tuple):
            _check_one_size(images)
        self.images, self.batch_size = images, batch_size
        self.num_images, self.image_shape = shape[0], shape[1:]
        self.preprocessing = getattr(images, "preprocessing", None)

    def batches(self, progress=START):
        for begin in range(progress.next_index, self.num_images, self.batch_size):
            end = min(begin + self.batch_size, self.num_images)
            yield np.arange(begin, end), _as_array(self.images[begin:end])

    def section(self, begin, end):
        other = copy.copy(self)
        other.images = Section(_as_array(self.images[begin:end]), begin)
        other.num_images, other.skipped_reasons = end, {}
        return other

    def __getitem__(self, indices):
        return np.stack([_as_array(self.images[index]) for index in np.ravel(indices).tolist()])

    def sample(self):
        numbers = np.linspace(0, self.num_images - 1, _NUM_SAMPLES).astype("int64")
        return self[np.unique(numbers)]

    def fingerprint(self):
        content = [self.images] if isinstance(self.images, np.ndarray) else self.sample()
        return {
            "content": digest([self.num_images, *content]),
            "batch_size": self.batch_size,
        }

    @property
    def names(self):
        crops = getattr(self.images, "crops", None)
        return super().names if crops is None else tuple(map(str, crops))


class PixelImages(ArrayImages):
    """uint8 pixels in memory, preprocessed on demand."""

    def __init__(self, pixels, preprocessing, batch_size):
        super().__init__(pixels, batch_size)
        self.preprocessing = preprocessing

    def batches(self, progress=START):
        for indices, pixels in super().batches(progress):
            yield indices, self.preprocessing.images(pixels)

    def __getitem__(self, indices):
        return self.preprocessing.images(super().__getitem__(indices))

    def pixels(self, indices):
        return super().__getitem__(indices)

    def to_pixels(self, images):
        return self.preprocessing.pixels(images)

    def fingerprint(self):
        return super().fingerprint() | {"preprocessing": self.preprocessing.mode}


class FolderImages(Images):
    """The photographs of an `ImageFolder`."""

    has_sections = True

    def __init__(self, folder, batch_size):
        self.folder, self.batch_size = folder, batch_size
        self.num_images = len(folder)
        self.image_shape = folder.shape
        self.preprocessing = folder.preprocessing
        self.skipped_reasons = folder.skipped_reasons

    def batches(self, progress=START):
        # Behind the last image that is done there may be files of its batch that were left out.
        start = -(-progress.next_index // self.batch_size) * self.batch_size
        return self.folder.batches(self.batch_size, start=start)

    def section(self, begin, end):
        folder = copy.copy(self.folder)
        folder.filepaths, folder.skipped_reasons = Section(folder.filepaths[begin:end], begin), {}
        return FolderSection(folder, self.batch_size)

    def __getitem__(self, indices):
        return self.folder[np.ravel(indices)]

    def pixels(self, indices):
        return self.folder.pixels(np.ravel(indices))

    def to_pixels(self, images):
        return self.preprocessing.pixels(images)

    def sample(self):
        return next(self.batches())[1]

    def describe(self, index):
        return f"Image {index} ({shown_name(self.folder.filepaths[index])})"

    @property
    def names(self):
        return tuple(map(shown_name, self.folder.relative_paths))

    @property
    def skipped(self):
        return self.folder.skipped

    def why_none(self):
        path, reason = self.folder.skipped[-1]
        return f"none of {len(self.folder)} files can be decoded, such as {path} ({reason})."

    def fingerprint(self):
        return {
            "content": self._content,
            "batch_size": self.batch_size,
            "preprocessing": getattr(self.preprocessing, "mode", None),
            "shape": self.image_shape and list(self.image_shape),
        }

    @functools.cached_property
    def _content(self):
        return digest([*self.names, *content_digests(self.folder.filepaths)])


class FolderSection(FolderImages):
    """Some photographs in a row of an `ImageFolder`, as a machine finds them that was sent these.

    The paths of the folder are a `Section`.
    """

    def batches(self, progress=START):
        if not self.folder.directory.is_dir():
            raise OSError(
                f"There is no folder {shown_name(self.folder.directory)} on the machine "
                f"{platform.node()}: put the photographs where all machines find them under one "
                "path, or give an array."
            )
        return self.folder.batches(self.batch_size, progress.next_index)


class Section(Sequence):
    """Some items in a row of a sequence, under the places that they have there.

    Args:
        items: the items, as an array or a tuple.
        begin: the place of the first one.
    """

    def __init__(self, items, begin: int):
        self.items, self.begin = items, begin
        if hasattr(items, "shape"):
            self.shape, self.dtype = (len(self), *items.shape[1:]), items.dtype

    def __len__(self):
        return self.begin + len(self.items)

    def __getitem__(self, place):
        if isinstance(place, slice):
            start, stop, _ = place.indices(len(self))
            return self.items[max(0, start - self.begin) : max(0, stop - self.begin)]
        return self.items[place - self.begin]


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
        self._fetched = {}

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
        """An error for a stream that may not end, or returns other images when read again."""
        if not self._ends:
            raise _no_end("does not say whether it has an end", self)
        again = next(self._read(), None) if self.can_be_fetched else None
        if again is None or not np.array_equal(again, self._first):
            raise ValueError(
                "The images with the strongest activations are fetched again, but this data set "
                "can be read once only, or comes in another order or changed whenever it is read: "
                "give an array, an ImageFolder, or a data set without shuffling or augmentation. "
                f"Received: images={self._open!r}"
            )

    def sample(self):
        return self._first

    def fingerprint(self):
        return {"first batch": digest([self._first])}


def image_source(images: Any, batch_size: int, *, steps: int | None = None) -> Images:
    """The `Images` of a user's `images`, unchanged.

    Args:
        images: array or tensor `(images, rows, columns, channels)`; a sequence of images of one
            size; an `ImageFolder`; or batches of images, with or without labels: a
            `tf.data.Dataset`, a `keras.utils.PyDataset`, a list of batches or another iterable.
        batch_size: images per step, for sources that are not batches.
        steps: maximum number of batches to read, for sources of batches.

    Raises:
        ValueError: if it is none of these, has no image, or does not end.
    """
    if isinstance(images, Images):
        return images
    if isinstance(images, ImageFolder):
        return FolderImages(images, batch_size)
    if hasattr(images, "shape") or _is_sequence_of_images(images):
        return ArrayImages(images, batch_size)
    if _is_images_and_labels(images):
        return ArrayImages(images[0], batch_size)
    return _stream(images, batch_size, steps)


def _stream(images, batch_size, steps):
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
    return _as_array(element)


def _entry_of_images(entries):
    for name in ("image", "images"):
        if name in entries:
            return entries[name]
    found = [value for value in entries.values() if len(_shape_of(value)) in (3, 4)]
    if len(found) == 1:
        return found[0]
    raise ValueError(
        "The data set's elements are dictionaries, and it is ambiguous which entry contains the "
        "images: map it to them, as in dataset.map(lambda batch: batch['image']). "
        f"Received: entries {', '.join(map(str, entries))}"
    )


def _is_sequence_of_images(images):
    """Whether it is a list or another sequence of images, not of batches."""
    is_list = isinstance(images, list | tuple)
    is_sequence = hasattr(images, "__len__") and hasattr(images, "__getitem__")
    if not (is_list or is_sequence) or isinstance(images, str | bytes | dict):
        return False
    if hasattr(images, "num_batches") or not len(images):
        return False
    return len(_shape_of(images[0])) == 3


def _check_one_size(images):
    """An error for a list of images that differ in shape, naming the first one that does."""
    shape = _shape_of(images[0])
    for number, image in enumerate(images):
        if _shape_of(image) != shape:
            raise ValueError(
                "The images have different sizes: resize them to one, so that they form a batch. "
                f"Received: image 0 of shape {shape}, image {number} of shape {_shape_of(image)}"
            )


def _is_images_and_labels(images):
    if not isinstance(images, tuple) or len(images) < 2:
        return False
    return len(_shape_of(images[0])) == 4 and len(_shape_of(images[1])) <= 2


def _shape_of(images):
    """The shape of an array, or of a sequence of images; () for anything else."""
    if hasattr(images, "shape"):
        return tuple(images.shape)
    if isinstance(images, list | tuple | dict | str | bytes) and not _is_sequence_of_images(images):
        return ()
    if hasattr(images, "__len__") and hasattr(images, "__getitem__"):
        return (len(images), *_shape_of(images[0]))
    return ()


def _as_array(images):
    """An array from an array or tensor of any library."""
    if isinstance(images, np.ndarray):
        return images
    if hasattr(images, "detach"):  # of PyTorch
        images = images.detach().cpu()
    return np.asarray(images)


def short(value: Any) -> str:
    """A value in an error, shortened if it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 100 else f"{text[:97]}..."
