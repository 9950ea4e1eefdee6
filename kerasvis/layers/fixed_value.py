"""A layer with a constant value, which replaces an input that is held fixed."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="kerasvis")
class FixedValue(keras.layers.Layer):
    """Returns the same value for each image; only the batch size depends on the images.

    Args:
        shape: shape of the value, without the batch axis.
        value: array of that shape; by default zeros, until weights are loaded.
        **kwargs: arguments of `keras.layers.Layer`; `dtype` is that of the value.

    Call arguments:
        images: tensor `(batch, ...)`.

    Returns:
        Tensor `(batch, *shape)`.

    Example:
        >>> import numpy as np
        >>> import kerasvis as kv
        >>> age = kv.layers.FixedValue((1,), [40.0])
        >>> age(np.zeros((2, 8, 8, 3))).numpy().tolist()
        [[40.0], [40.0]]
    """

    def __init__(self, shape: Sequence[int], value: Any = None, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        self.shape = tuple(shape)
        # A weight, so that it is saved with the weights, and not as text in the config.
        self.value = self.add_weight(
            shape=self.shape, initializer="zeros", trainable=False, name="value", autocast=False
        )
        if value is not None:
            self.value.assign(np.asarray(value, self.value.dtype))
        self.built = True

    def call(self, images: Any) -> Any:
        value = ops.convert_to_tensor(self.value)
        return ops.broadcast_to(value[None], (ops.shape(images)[0], *self.shape))

    def compute_output_spec(self, images: Any) -> keras.KerasTensor:
        return keras.KerasTensor((images.shape[0], *self.shape), dtype=self.value.dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "shape": self.shape}
