"""Divides images into ranges of whole batches, which are computed independently.

```
 images:     0 ............ 32 ............ 64 .......... 87
 batches:    |   |   |   |   |   |   |   |   |   |   |   |
 ranges:     |               |               |           |
```

The batches are those of a single run over all images, so each range gives bit for bit the same
values as in that run.
"""

import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Self

import numpy as np

from kerasvis.data.images import START, BatchedImages, Images, IndexedImages, Progress


class ImageRange:
    """Consecutive batches of images, which can be sent to another machine.

    Args:
        source: the images.
        begins: image index at which each batch begins, ascending.
        end: image index after the last one.
    """

    def __init__(self, source: "IndexedImages | GivenBatches", begins: Sequence[int], end: int):
        self.source, self.begins, self.end = source, tuple(begins), end

    @property
    def begin(self) -> int:
        """Index of the first image."""
        return self.begins[0]

    @property
    def num_images(self) -> int:
        """Number of images, including those that cannot be decoded."""
        return self.end - self.begin

    @property
    def num_batches(self) -> int:
        """Number of batches."""
        return len(self.begins)

    def batches(self) -> Generator[tuple[np.ndarray, np.ndarray]]:
        """Yields `(image indices, images)`."""
        return self.source.batches(Progress(0, self.begin))

    def halves(self) -> tuple[Self, Self]:
        """Two ranges with half of the batches each, of a range with at least two."""
        middle = len(self.begins) // 2
        return self._of(self.begins[:middle], self.begins[middle]), self._of(
            self.begins[middle:], self.end
        )

    def probes(self) -> tuple[Self, Self]:
        """Two batches with half of the images each; their last bits may differ from the batch's."""
        middle = (self.begin + self.end) // 2
        return self._of([self.begin], middle), self._of([middle], self.end)

    def describe(self) -> str:
        """How error messages name these images."""
        if self.num_images == 1:
            return self.source.describe(self.begin)
        return f"Images {self.begin} to {self.end - 1}"

    def _of(self, begins, end):
        return ImageRange(self.source.section(begins[0], end), begins, end)


class GivenBatches(BatchedImages):
    """Batches of a stream, in memory.

    Args:
        batches: list of `(image indices, images)`, at least one.
    """

    def __init__(self, batches):
        super().__init__()
        self._batches = list(batches)
        self.image_shape = self._batches[0][1].shape[1:]
        self.num_images = int(self._batches[-1][0][-1]) + 1

    def batches(self, progress=START):
        for indices, images in self._batches:
            if indices[0] >= progress.next_index:
                yield indices, images

    def section(self, begin, end):
        inside = []
        for indices, images in self._batches:
            is_inside = (indices >= begin) & (indices < end)
            if is_inside.any():
                inside.append((indices[is_inside], images[is_inside]))
        return GivenBatches(inside)


def image_ranges(
    source: Images, batches_per_range: int, progress: Progress, done: Iterable[tuple[int, int]] = ()
) -> Iterator[ImageRange]:
    """Divides the remaining images into ranges.

    Args:
        source: the `Images`.
        batches_per_range: maximum number of batches in a range.
        progress: the `Progress` of the completed images, from the first one on; see `aligned`.
        done: `(begin, end)` of further ranges that are completed.

    Yields:
        The `ImageRange`s, in order. Those of a stream are read here, when they are requested.
    """
    is_done = _IsInside(done)
    if isinstance(source, IndexedImages):
        batches = _sections(source, progress)
    else:
        read = source.batches(progress)
        batches = ((int(batch[0][0]), int(batch[0][-1]) + 1, batch) for batch in read)
    waiting = []
    for begin, end, batch in batches:
        if not is_done(begin):
            waiting.append((begin, end, batch))
        if waiting and (len(waiting) == batches_per_range or is_done(begin)):
            yield _range_of(source, waiting)
            waiting = []
    if waiting:
        yield _range_of(source, waiting)


def aligned(source: Images, progress: Progress) -> Progress:
    """The `Progress` up to the next batch: images left out at the end of a batch are completed."""
    if not isinstance(source, IndexedImages):
        return progress
    next_index = math.ceil(progress.next_index / source.batch_size) * source.batch_size
    return Progress(progress.num_batches, min(next_index, source.num_images))


def num_batches(source: Images) -> int | None:
    """The number of batches of images; None if it is unknown before they are read."""
    if not isinstance(source, IndexedImages):
        return None
    return math.ceil(source.num_images / source.batch_size)


def _sections(source, progress):
    size = source.batch_size
    for begin in range(progress.next_index, source.num_images, size):
        yield begin, min(begin + size, source.num_images), None


def _range_of(source, waiting):
    begins, ends, batches = zip(*waiting, strict=True)
    if isinstance(source, IndexedImages):
        section = source.section(begins[0], ends[-1])
    else:
        section = GivenBatches(batches)
    return ImageRange(section, begins, ends[-1])


class _IsInside:
    """A function that tells whether an image index is in one of several ranges."""

    def __init__(self, ranges):
        self._begins, self._ends = np.array([(0, 0), *sorted(ranges)]).T

    def __call__(self, index):
        return index < self._ends[np.searchsorted(self._begins, index, "right") - 1]
