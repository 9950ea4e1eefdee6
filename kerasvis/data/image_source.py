"""The source of a user's images, chosen by their type."""

from typing import Any

from kerasvis.data.array_images import ArrayImages
from kerasvis.data.array_like import is_images_and_labels, is_sequence_of_images
from kerasvis.data.folder_images import FolderImages
from kerasvis.data.image_folder import ImageFolder
from kerasvis.data.images import Images
from kerasvis.data.stream_images import stream_of


def image_source(images: Any, batch_size: int, *, steps: int | None = None) -> Images:
    """The `Images` that read a user's `images`, without changing them.

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
    if hasattr(images, "shape") or is_sequence_of_images(images):
        return ArrayImages(images, batch_size)
    if is_images_and_labels(images):
        return ArrayImages(images[0], batch_size)
    return stream_of(images, batch_size, steps)
