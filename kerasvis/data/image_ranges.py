"""Images divided into ranges of whole batches, each of which is computed by itself.

```
 images:     0 ............ 32 ............ 64 .......... 87
 batches:    |   |   |   |   |   |   |   |   |   |   |   |
 ranges:     |               |               |           |
```

The batches are those of one run over all images, so that each is computed as there, to the bit.
"""

import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Self

import numpy as np

from kerasvis.data.images import START, BatchedImages, Images, IndexedImages, Progress


class ImageRange:
    """Some batches in a row of images; it can be sent to another machine.

    Args:
        source: the images, of which `section` can be taken.
        begins: image index at which each batch begins, ascending.
        end: image index behind the last one.
    """

    def __init__(self, source: "IndexedImages | GivenBatches", begins: Sequence[int], end: int):
        self.source, self.begins, self.end = source, tuple(begins), end

    @property
    def begin(self) -> int:
        """Index of the first image."""
        return self.begins[0]

    @property
    def num_images(self) -> int:
        """Number of images, those included that cannot be decoded."""
        return self.end - self.begin

    @property
    def num_batches(self) -> int:
        """Number of batches."""
        return len(self.begins)

    def batches(self) -> Generator[tuple[np.ndarray, np.ndarray]]:
        """Yields `(image indices, images)`."""
        return self.source.batches(Progress(0, self.begin))

    def halves(self) -> tuple[Self, Self]:
        """Two ranges, of half the batches each; there are at least two."""
        middle = len(self.begins) // 2
        return self._of(self.begins[:middle], self.begins[middle]), self._of(
            self.begins[middle:], self.end
        )

    def probes(self) -> tuple[Self, Self]:
        """Two batches of half the images, of one batch; its results are not theirs to the bit."""
        middle = (self.begin + self.end) // 2
        return self._of([self.begin], middle), self._of([middle], self.end)

    def describe(self) -> str:
        """What an error calls these images."""
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
    """Divides what is left of images into ranges.

    Args:
        source: the `Images`.
        batches_per_range: batches of each range, at most.
        progress: of what is done from the first image on; see `aligned`.
        done: `(begin, end)` of the ranges behind it that are done.

    Yields:
        The `ImageRange`s, in order. Those of a stream are read here, as they are asked for.
    """
    is_done = _Covered(done)
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
    """The `Progress` up to the next batch: what was left out at the end of one is done, too."""
    if not isinstance(source, IndexedImages):
        return progress
    next_index = math.ceil(progress.next_index / source.batch_size) * source.batch_size
    return Progress(progress.num_batches, min(next_index, source.num_images))


def num_batches(source: Images) -> int | None:
    """How many batches images have; None if it is not known before they are read."""
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


class _Covered:
    """Whether an image index is in one of some ranges."""

    def __init__(self, ranges):
        self._begins, self._ends = np.array([(0, 0), *sorted(ranges)]).T

    def __call__(self, index):
        return index < self._ends[np.searchsorted(self._begins, index, "right") - 1]
