"""The images of an analysis: what every source of images can do.

A source knows its number of images, reads batches from where a run stopped, fetches images by their
indices, names images in errors, and has a fingerprint by which a resumed run recognises its images.
It has the preprocessing by which its images were made from pixels, so that `pixels` returns the
photographs.
"""

import abc
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from kerasvis.data.preprocessing import Preprocessing


class Progress(NamedTuple):
    """The progress of a run over images.

    Attributes:
        num_batches: number of completed batches.
        next_index: image index after the last completed one.
    """

    num_batches: int = 0
    next_index: int = 0


START = Progress()


class BatchedImages(abc.ABC):
    """Images that are read batch by batch.

    Attributes:
        num_images: number of images; None if it is unknown until they are read.
        image_shape: `(rows, columns, channels)` of each image; None for a size that is unknown.
        skipped_reasons: `{image index: reason}` of the images left out of batches so far.
    """

    num_images: int | None = None
    image_shape: tuple | None = None

    def __init__(self) -> None:
        self.skipped_reasons: dict[int, str] = {}

    @abc.abstractmethod
    def batches(self, progress: Progress = START) -> Generator[tuple[np.ndarray, np.ndarray]]:
        """Yields `(image indices, images)`, from where a run stopped."""

    def describe(self, index: int) -> str:
        """The name of an image in errors."""
        return f"Image {index}"


class FetchedImages(abc.ABC):
    """Images that are fetched by their indices.

    Attributes:
        preprocessing: the `Preprocessing` by which the images were made from pixels; None if it is
            unknown.
    """

    preprocessing: Preprocessing | None = None

    @property
    def image_size(self) -> tuple[int, int]:
        """`(height, width)` of the images in pixels."""
        return self.sample().shape[1:3]

    @abc.abstractmethod
    def __getitem__(self, indices: Any) -> np.ndarray:
        """The images at `indices`, an array of integers, as the model takes them.

        Returns:
            `(images, rows, columns, channels)`.
        """

    @abc.abstractmethod
    def sample(self) -> np.ndarray:
        """A few images, to infer their range: `(images, rows, columns, channels)`."""

    def pixels(self, indices: Any) -> np.ndarray:
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


class Images(BatchedImages, FetchedImages):
    """The images of an analysis, from any source.

    Attributes:
        can_be_fetched: whether images can be fetched again by their indices.
    """

    can_be_fetched = True

    @property
    def image_size(self) -> tuple[int, int]:
        return self.known_shape()[:2]

    def known_shape(self) -> tuple:
        """The shape of each image; a ValueError if it is unknown."""
        if self.image_shape is None:
            raise ValueError("The images have no known size: give an ImageFolder with a size.")
        return self.image_shape

    @abc.abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """What identifies these images: `{what: value}`, their content and batches."""

    @abc.abstractmethod
    def chosen(self, indices: Sequence[int]) -> FetchedImages:
        """Only the images at `indices`, under the same indices.

        They can be pickled and sent to another machine.
        """

    def prefetch(self, indices: Any) -> None:
        """Caches images that will be fetched, as far as memory allows, if fetching is slow."""

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
        if self.num_images is None:
            self.num_images = sum(len(images) for _, images in self.batches())
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


class IndexedImages(Images):
    """Images of which any part can be read without the images before it.

    Attributes:
        batch_size: images per batch.
    """

    num_images: int
    batch_size: int

    @abc.abstractmethod
    def section(self, begin: int, end: int) -> Self:
        """Only the images from `begin` to before `end`, with the same indices as here.

        They can be pickled and sent to another machine. If a batch begins at `begin`, their batches
        are the same as here.
        """
