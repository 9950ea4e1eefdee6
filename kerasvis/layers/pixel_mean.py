"""Subtraction of the training set's mean image, as part of the model."""

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="kerasvis")
class PixelMean(keras.layers.Layer):
    """Subtracts the per-pixel mean of the training set.

    As part of the model, it allows a saved model to take raw pixels. The mean is a weight that
    training never changes; it is zero until `adapt` is called or weights are loaded.

    Call arguments:
        inputs: tensor `(batch, rows, columns, channels)`, pixels in [0, 255].

    Returns:
        `inputs - mean`, in the layer's compute dtype.

    Reference:
        Zeiler & Fergus 2013, Section 3.

    Example:
        >>> import numpy as np
        >>> import kerasvis as kv
        >>> layer = kv.layers.PixelMean()
        >>> layer.adapt(np.full((10, 4, 6, 3), 100, "uint8"))
        >>> float(layer(np.full((1, 4, 6, 3), 120.0, "float32"))[0, 0, 0, 0])
        20.0
    """

    def build(self, input_shape: tuple) -> None:
        if None in input_shape[1:]:
            raise ValueError(
                "A per-pixel mean needs images of one known size: give the model an input_shape "
                f"without None. Received: input_shape={tuple(input_shape)}"
            )
        self.mean = self.add_weight(
            shape=input_shape[1:], initializer="zeros", trainable=False, name="mean"
        )

    def adapt(self, pixels: np.ndarray, batch_size: int = 1024) -> None:
        """Sets the mean to that of `pixels`, an array `(images, rows, columns, channels)`."""
        if len(pixels) == 0:
            raise ValueError(
                "The mean of no images is not defined: give at least one image. Received: pixels "
                f"of shape {np.shape(pixels)}"
            )
        if not self.built:
            self.build((None, *pixels.shape[1:]))
        batches = range(0, len(pixels), batch_size)
        total = sum(pixels[i : i + batch_size].sum(axis=0, dtype="float64") for i in batches)
        self.mean.assign(np.asarray(total / len(pixels), "float32"))

    def call(self, inputs: Any) -> Any:
        return ops.cast(inputs, self.compute_dtype) - ops.cast(self.mean, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape
