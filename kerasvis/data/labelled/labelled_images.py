"""Images with their classes, decoded and in memory."""

from typing import Any, NamedTuple

import numpy as np

from kerasvis.data.labelled.autotuning import without_autotuning
from kerasvis.data.tensorflow_only import tf
from kerasvis.storage.fingerprints import digest


class LabelledImages(NamedTuple):
    """Decoded images with their classes.

    Attributes:
        pixels: uint8 `(images, rows, columns, 3)`, RGB.
        labels: int64 `(images,)`, indices into the class names.
    """

    pixels: np.ndarray
    labels: np.ndarray

    @property
    def num_images(self) -> int:
        return len(self.labels)

    @property
    def digest(self) -> str:
        """Identifies these images: a hash of their pixels and labels."""
        return digest([np.asarray(self.pixels), np.asarray(self.labels, "int64")])

    def subset(self, indices: Any) -> "LabelledImages":
        """The images at `indices`."""
        return LabelledImages(self.pixels[indices], self.labels[indices])

    def batches(self, batch_size: int, seed: Any = None) -> "tf.data.Dataset":
        """One pass over the images.

        Args:
            batch_size: images per batch; the last one may be smaller.
            seed: None for the original order; or two integers, or an int tensor `(2,)`, that alone
                determine the order, such as the numbers of a run and of an epoch.

        Returns:
            A `tf.data.Dataset` of `(pixels, labels)`: uint8 `(batch, rows, columns, 3)` and int64
            `(batch,)`. It may also be created inside a function of `tf.data`.
        """

        def rows(indices):
            return self.pixels[indices], self.labels[indices].astype("int64")

        def take(indices):
            # Directly from the arrays: a constant would copy all images.
            pixels, labels = tf.numpy_function(
                rows, [indices], (tf.uint8, tf.int64), stateful=False
            )
            pixels = tf.ensure_shape(pixels, (None, *self.pixels.shape[1:]))
            return pixels, tf.ensure_shape(labels, (None,))

        return image_indices(self.num_images, seed).batch(batch_size).map(take)


def image_indices(num_images, seed=None):
    """A `tf.data.Dataset` of the numbers below `num_images`, in an order determined by `seed`."""
    with tf.device("CPU"):
        order = tf.range(num_images, dtype=tf.int64)
        if seed is not None:
            order = tf.random.experimental.stateless_shuffle(order, seed)
        return without_autotuning(tf.data.Dataset.from_tensor_slices(order))
