"""Arrays, tensors and sequences of images, of any library."""

import numpy as np


def is_sequence_of_images(images):
    """Whether it is a list or another sequence of images, not of batches."""
    is_list = isinstance(images, list | tuple)
    is_sequence = hasattr(images, "__len__") and hasattr(images, "__getitem__")
    if not (is_list or is_sequence) or isinstance(images, str | bytes | dict):
        return False
    if hasattr(images, "num_batches") or not len(images):
        return False
    return len(shape_of(images[0])) == 3


def check_one_size(images):
    """Raises a ValueError for images that differ in shape, naming the first one that does."""
    shape = shape_of(images[0])
    for number, image in enumerate(images):
        if shape_of(image) != shape:
            raise ValueError(
                "The images have different sizes: resize them to one, so that they form a batch. "
                f"Received: image 0 of shape {shape}, image {number} of shape {shape_of(image)}"
            )


def is_images_and_labels(images):
    if not isinstance(images, tuple) or len(images) < 2:
        return False
    return len(shape_of(images[0])) == 4 and len(shape_of(images[1])) <= 2


def shape_of(images):
    """The shape of an array, or of a sequence of images; () for anything else."""
    if hasattr(images, "shape"):
        return tuple(images.shape)
    if isinstance(images, list | tuple | dict | str | bytes) and not is_sequence_of_images(images):
        return ()
    if hasattr(images, "__len__") and hasattr(images, "__getitem__"):
        return (len(images), *shape_of(images[0]))
    return ()


def as_array(images):
    """An array from an array or tensor of any library."""
    if isinstance(images, np.ndarray):
        return images
    if hasattr(images, "detach"):  # of PyTorch
        images = images.detach().cpu()
    return np.asarray(images)
