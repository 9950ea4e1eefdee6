"""The training and the validation images of labelled data, as one set to split anew."""

import functools

import numpy as np

from kerasvis.data.labelled.labelled_images import LabelledImages

BATCH_SIZE = 256  # images decoded at a time


class AllImages:
    """The images of `data.train`, then those of `data.validation`, in order.

    Args:
        data: a `kerasvis.data.LabelledData`.

    Attributes:
        labels: int64 `(images,)`.
        is_train: bool `(images,)`, whether an image is one of `data.train`.
        class_names: tuple of names, in label order.
        size: `(height, width)` in pixels.
        num_channels: number of channels of the images.
        fingerprint: hexadecimal digits that change with the images.
    """

    def __init__(self, data):
        self._sets = (data.train, data.validation)
        self.labels = np.concatenate([np.asarray(each.labels, "int64") for each in self._sets])
        self.is_train = np.arange(len(self.labels)) < data.train.num_images
        self.class_names, self.size = tuple(data.class_names), tuple(data.image_size)
        pixels = getattr(data.train, "pixels", None)  # of those in memory
        self.num_channels = 3 if pixels is None else pixels.shape[-1]
        self.fingerprint = data.fingerprint

    def __len__(self):
        return len(self.labels)

    def batches(self, batch_size=BATCH_SIZE, begin=0):
        """Yields uint8 `(batch, height, width, channels)`, starting at image `begin`."""
        return self._decoded(np.arange(begin, len(self)), batch_size)

    def at(self, indices):
        """Decodes the images at `indices`, ascending and each once, into `LabelledImages`."""
        indices = np.unique(indices)
        pixels = np.empty((len(indices), *self.size, self.num_channels), "uint8")
        num_decoded = 0
        for batch in self._decoded(indices, BATCH_SIZE):
            pixels[num_decoded : num_decoded + len(batch)] = batch
            num_decoded += len(batch)
        return LabelledImages(pixels, self.labels[indices])

    def _decoded(self, indices, batch_size):
        batches, begin = [], 0
        for images in self._sets:
            own = indices[(begin <= indices) & (indices < begin + images.num_images)] - begin
            if len(own):
                subset = images if len(own) == images.num_images else images.subset(own)
                batches.append(subset.batches(batch_size))
            begin += images.num_images
        pixels = functools.reduce(lambda one, other: one.concatenate(other), batches)
        for batch, _ in pixels.rebatch(batch_size).prefetch(1).as_numpy_iterator():
            yield batch
