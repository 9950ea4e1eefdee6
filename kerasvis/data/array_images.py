"""Images in an array."""

import copy

import numpy as np

from kerasvis.data.array_like import as_array, check_one_size, shape_of
from kerasvis.data.images import START, IndexedImages
from kerasvis.data.section import Chosen, Section
from kerasvis.storage.fingerprints import digest

_NUM_SAMPLES = 64  # images of an array in its fingerprint


class ArrayImages(IndexedImages):
    """An array or tensor of images, in memory or not, or a sequence of images of one size."""

    def __init__(self, images, batch_size):
        super().__init__()
        shape = shape_of(images)
        if len(shape) != 4 or not shape[0]:
            raise ValueError(
                "Give at least one image, as an array (images, rows, columns, channels). "
                f"Received: images of shape {shape}"
            )
        if isinstance(images, list | tuple):
            check_one_size(images)
        self.images, self.batch_size = images, batch_size
        self.num_images, self.image_shape = shape[0], shape[1:]
        self.preprocessing = getattr(images, "preprocessing", None)

    def batches(self, progress=START):
        for begin in range(progress.next_index, self.num_images, self.batch_size):
            end = min(begin + self.batch_size, self.num_images)
            yield np.arange(begin, end), as_array(self.images[begin:end])

    def section(self, begin, end):
        other = copy.copy(self)
        other.images = Section(as_array(self.images[begin:end]), begin)
        other.num_images, other.skipped_reasons = end, {}
        return other

    def chosen(self, indices):
        other = copy.copy(self)
        other.images = Chosen(self.images, indices)
        return other

    def __getitem__(self, indices):
        return np.stack([as_array(self.images[index]) for index in np.ravel(indices).tolist()])

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
