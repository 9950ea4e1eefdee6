"""Checks that images fit a model."""

from typing import Any

import keras
import numpy as np

from kerasvis.arguments import standardize_images
from kerasvis.graph.shapes import image_shape


def check_images(model: keras.Model, images: Any) -> np.ndarray:
    """Images as an array that a model takes.

    Args:
        model: the `keras.Model`.
        images: what `kerasvis.arguments.standardize_images` takes.

    Raises:
        ValueError: if they do not fit the model.
    """
    if not isinstance(images, np.ndarray):
        images = standardize_images(model, images).all()
    if images.dtype.kind not in "fiub":
        raise ValueError(
            "Give images of numbers, as the model takes them. "
            f"Received: images of dtype {images.dtype}"
        )
    shape = image_shape(model)
    fits = images.ndim == 4 and all(
        size in (None, given) for size, given in zip(shape, images.shape[1:], strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(
            f"The model {model.name!r} takes images (batch, {wanted}): resize the images, and put "
            "a single one into a batch of one, image[None]. "
            f"Received: images of shape {images.shape}"
        )
    return images
