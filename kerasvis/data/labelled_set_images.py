"""Labelled images that are decoded when they are needed, as the images of an analysis."""

import numpy as np

from kerasvis.data.chosen_images import ChosenImages
from kerasvis.data.images import START, IndexedImages
from kerasvis.storage.fingerprints import digest

_MAX_FETCHED_BYTES = 2**30  # of cached images, so that the set is read less often


class LabelledSetImages(IndexedImages):
    """The images of a labelled set from TFDS or class folders, which can be read in parts.

    Args:
        images: the set, like a `kerasvis.data.LabelledData`, with `part(begin, end)`.
        preprocessing: the `Preprocessing` by which images are made from its pixels.
        batch_size: images per batch.
        begin: index of the first image of the set.
    """

    def __init__(self, images, preprocessing, batch_size, begin=0):
        super().__init__()
        self._set, self._begin, self._fetched = images, begin, {}
        self.preprocessing, self.batch_size = preprocessing, batch_size
        self.num_images = begin + images.num_images
        self.image_shape = (*images.size, 3)

    def batches(self, progress=START):
        begin = max(progress.next_index, self._begin)
        if begin >= self.num_images:
            return
        for pixels, _ in self._part(begin, self.num_images).batches(self.batch_size):
            yield np.arange(begin, begin + len(pixels)), self._images_of(pixels)
            begin += len(pixels)

    def section(self, begin, end):
        part = self._part(begin, end)
        return LabelledSetImages(part, self.preprocessing, self.batch_size, begin)

    def chosen(self, indices):
        return ChosenImages(self, indices)

    def __getitem__(self, indices):
        indices = np.ravel(indices).tolist()
        missing = sorted(set(indices) - self._fetched.keys())
        found = self._fetched | self._read(missing)
        return np.stack([found[index] for index in indices])

    def prefetch(self, indices):
        num_bytes = 4 * int(np.prod(self.image_shape))
        room = max(1, _MAX_FETCHED_BYTES // num_bytes)
        self._fetched = self._read(np.unique(indices)[:room].tolist())

    def sample(self):
        return next(self.batches())[1]

    def fingerprint(self):
        return {
            "content": digest([self._set.digest]),
            "batch_size": self.batch_size,
            "preprocessing": self.preprocessing.mode,
        }

    def _part(self, begin, end):
        is_all = begin == self._begin and end == self.num_images
        return self._set if is_all else self._set.part(begin - self._begin, end - self._begin)

    def _read(self, indices):
        """`{index: image}`, for ascending indices."""
        if not indices:
            return {}
        chosen = self._set.subset(np.array(indices) - self._begin)
        batches = (self._images_of(pixels) for pixels, _ in chosen.batches(self.batch_size))
        return dict(zip(indices, (image for batch in batches for image in batch), strict=True))

    def _images_of(self, pixels):
        return self.preprocessing.images(np.asarray(pixels))
