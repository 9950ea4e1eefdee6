"""The photographs of a folder, decoded on demand."""

import collections
import concurrent.futures
import contextlib
import copy
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from kerasvis.data.file_names import shown_name
from kerasvis.data.folder_walk import SUFFIXES, find_photographs, is_folder
from kerasvis.data.photographs import read_photograph, standardize_channels
from kerasvis.data.preprocessing import Preprocessing
from kerasvis.storage.counted import counted


class ImageFolder:
    """All photographs in a folder and its subfolders, as images of one size.

    Files with the usual suffixes are sorted by path. Names that begin with a dot are left out;
    links are followed, but not to parent folders. A file's position in this order is its image
    index, whether or not it can be decoded, so indices do not depend on damaged files.

    Photographs are decoded on demand. Batches leave out files that cannot be decoded (corrupt,
    truncated or empty files, broken links, pipes, decompression bombs) and report them in
    `skipped`; reading such an image by its index is an error.

    Args:
        directory: path of the folder.
        size: `(height, width)` of the images in pixels; None for the size that the model takes.
        preprocessing: what `Preprocessing.of` takes; None for that of the model.
        strict: whether a file that cannot be decoded, or a subfolder that cannot be read, is an
            error in batches too.
        channels: 1 for luminance, 3 for RGB, 4 for RGBA (opaque if nothing is transparent); None
            for those of the model, and RGB without one.

    Attributes:
        filepaths: tuple of `Path`s, one per image index.
        skipped_reasons: `{image index: reason}` of the files left out of batches so far.
        unread: tuple of `(path, reason)` of subfolders that cannot be read, and of broken links.

    Raises:
        ValueError: if there is no such folder, or no photograph in it; or if the preprocessing
            does not fit the channels.

    Example:
        >>> import keras
        >>> from keras import layers
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> import kerasvis as kv
        >>> Path("photographs").mkdir()
        >>> Image.new("RGB", (50, 40), "navy").save("photographs/blue.png")
        >>> Image.new("RGB", (40, 50), "yellow").save("photographs/yellow.png")
        >>> folder = kv.data.ImageFolder("photographs", size=(24, 32), preprocessing="tf")
        >>> model = keras.Sequential([keras.Input((24, 32, 3)), layers.Conv2D(4, 3, name="a")])
        >>> top = kv.find_top_activations(model, ["a"], folder, k=2, verbose=0)
        >>> folder.pixels(top["a"].image_indices[3]).shape
        (2, 24, 32, 3)
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        size: Sequence[int] | None = None,
        preprocessing: Any = None,
        strict: bool = False,
        channels: int | None = None,
    ):
        self.directory = Path(directory)
        self.size = None if size is None else _standardized_size(size)
        self.preprocessing = None if preprocessing is None else Preprocessing.of(preprocessing)
        self.strict = strict
        self.channels = None if channels is None else standardize_channels(channels)
        self._check_channels()
        contents = _contents(self.directory)
        self.filepaths, self.unread = contents.photographs, contents.unread
        self.skipped_reasons: dict[int, str] = {}

    def __len__(self):
        return len(self.filepaths)

    def __getitem__(self, indices):
        """The images at `indices`, an integer, a list of integers or a slice.

        Returns:
            float32 `(images, height, width, channels)`, preprocessed; without the first axis for an
            integer.
        """
        return self._to_images(self.pixels(indices))

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)` of each image; a ValueError if no size was given."""
        if self.size is None:
            raise ValueError(
                "The images have no size yet: give (height, width) in pixels, such as "
                "size=model.input_shape[1:3]. "
                f"Received: ImageFolder({shown_name(self.directory)!r}, size=None)"
            )
        return (*self.size, self.channels or 3)

    @property
    def relative_paths(self) -> tuple[Path, ...]:
        """The paths of the photographs, relative to the folder."""
        return tuple(path.relative_to(self.directory) for path in self.filepaths)

    def with_size(self, size: Sequence[int], channels: int | None = None) -> Self:
        """The same photographs at another size; `skipped` is shared.

        Args:
            size: `(height, width)` in pixels.
            channels: 1, 3 or 4; None leaves them as they are.
        """
        channels = self.channels if channels is None else standardize_channels(channels)
        return self._changed(size=_standardized_size(size), channels=channels)

    def with_preprocessing(self, preprocessing: Any) -> Self:
        """The same photographs with another preprocessing; `skipped` is shared."""
        return self._changed(preprocessing=Preprocessing.of(preprocessing))

    def _changed(self, **attributes):
        other = copy.copy(self)
        vars(other).update(attributes)
        other._check_channels()
        return other

    def _check_channels(self):
        if self.preprocessing is not None:
            self.preprocessing.check_channels(self.channels or 3)

    def _to_images(self, pixels):
        return (self.preprocessing or Preprocessing()).images(pixels)

    @property
    def skipped(self) -> list[tuple[Path, str]]:
        """`(path, reason)` of what could not be read, and what batches left out so far.

        The paths are formatted by `shown_name`.
        """
        files = [(self.filepaths[i], reason) for i, reason in sorted(self.skipped_reasons.items())]
        return [(Path(shown_name(path)), reason) for path, reason in (*self.unread, *files)]

    def pixels(self, indices: Any) -> np.ndarray:
        """The photographs at `indices`, an integer, a list of integers or a slice.

        Returns:
            uint8 `(images, height, width, channels)`; without the first axis for an integer.

        Raises:
            IndexError: if an index is out of range, including -1 ("no image").
            ValueError: if a file cannot be decoded.
        """
        shape = self.shape
        if isinstance(indices, slice):
            indices = range(len(self))[indices]
        indices = np.asarray(indices, "int64")
        decoded = []
        for index in indices.ravel().tolist():
            if not 0 <= index < len(self):
                raise IndexError(
                    f"The folder {shown_name(self.directory)} has "
                    f"{counted(len(self), 'image')}: give indices from 0 to {len(self) - 1}. "
                    f"Received: image index {index}"
                )
            pixels, reason = self._decode(index)
            if reason:
                raise self._error(index, reason)
            decoded.append(pixels)
        return np.array(decoded, "uint8").reshape(*indices.shape, *shape)

    def batches(self, batch_size: int, start: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The images that can be decoded, in order, decoded ahead in threads.

        Args:
            batch_size: files of each batch, from `start` on, so that what cannot be decoded changes
                no other batch; the last one may be smaller.
            start: image index to begin at.

        Yields:
            `(image_indices, images)`: int64 `(images,)` and float32
            `(images, height, width, channels)`.

        Raises:
            ValueError: if `strict` and a file cannot be decoded, or a subfolder cannot be read.
        """
        self.shape  # noqa: B018 - raises an error for a folder without a size
        if self.strict and self.unread:
            path, reason = self.unread[0]
            raise ValueError(
                f"A subfolder cannot be read ({reason}): repair it or take it out of the folder. "
                f"Received: {shown_name(path)}"
            )
        if self.strict:  # left out by an earlier run that was not strict
            for index, reason in sorted(self.skipped_reasons.items()):
                raise self._error(index, reason)
        decoded = self._decode_ahead(start, 2 * batch_size)
        with contextlib.closing(decoded):
            while files := list(itertools.islice(decoded, batch_size)):
                batch = self._decoded(files)
                if batch:
                    indices, pixels = zip(*batch, strict=True)
                    yield np.array(indices, "int64"), self._to_images(np.stack(pixels))

    def _decoded(self, files):
        """`(index, pixels)` of the files that can be decoded; reports the others."""
        batch = []
        for index, (pixels, reason) in files:
            if reason is None:
                batch.append((index, pixels))
            elif self.strict:
                raise self._error(index, reason)
            else:
                self.skipped_reasons[index] = reason
        return batch

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
            path, channels = self.filepaths[index], self.shape[2]
            return read_photograph(path, self.size, channels=channels), None
        except ValueError as error:
            return None, str(error)

    def _error(self, index, reason):
        return ValueError(
            f"Image {index} cannot be decoded ({reason}): repair it or take it out of the folder. "
            f"Received: {shown_name(self.filepaths[index])}"
        )


def _standardized_size(size):
    try:
        height, width = (int(length) for length in size)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise ValueError(
            f"Give the size of the images as (height, width) in pixels. Received: size={size!r}"
        )
    return height, width


def _contents(directory):
    """The contents of the folder; a ValueError if it contains no photograph."""
    received = f"Received: directory={shown_name(directory)!r}"
    found = is_folder(directory)
    if found is None:
        raise ValueError(f"There is no such folder: give one with photographs. {received}")
    if not found:
        raise ValueError(f"This is a file: give the folder with the photographs. {received}")
    contents = find_photographs(directory)
    if contents.photographs:
        return contents
    if contents.unread:
        path, reason = contents.unread[0]
        raise ValueError(
            f"The folder contains no readable photographs, as {shown_name(path)} cannot be read "
            f"({reason}): give one with photographs. {received}"
        )
    if not contents.others:
        raise ValueError(f"The folder is empty: give one with photographs. {received}")
    raise ValueError(
        f"The folder contains no photographs ({', '.join(SUFFIXES)}), but "
        f"{counted(len(contents.others), 'file')} of other kinds, such as "
        f"{shown_name(contents.others[0].name)}: give one with photographs. {received}"
    )
