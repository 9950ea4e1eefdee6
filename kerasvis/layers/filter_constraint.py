"""The filter RMS constraint, which keeps any convolution filter from dominating."""

from typing import Any

import keras
from keras import ops

_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


@keras.saving.register_keras_serializable(package="kerasvis")
class RMSLimit(keras.constraints.Constraint):
    """Rescales every convolution filter whose RMS exceeds a limit to that limit.

    A filter is a slice of the kernel along its last axis; its RMS is the root of the mean of its
    squared weights. Filters within the limit stay bit for bit the same. Keras applies the
    constraint after every step of the optimiser.

    Args:
        limit: largest RMS of a filter. The paper's 0.1 is meant for pixels in about [-128, 128].

    Call arguments:
        kernel: tensor `(rows, columns, input channels, filters)`, or any other with filters last.

    Returns:
        Tensor of the same shape and dtype.

    Raises:
        ValueError: if `limit` is not positive.

    Reference:
        Zeiler & Fergus 2013, Section 3.

    Example:
        >>> import keras, numpy as np
        >>> import kerasvis as kv
        >>> layer = keras.layers.Conv2D(96, 7, kernel_constraint=kv.layers.RMSLimit(0.1))
        >>> kernel = np.ones((3, 3, 3, 2)) * [0.2, 0.05]
        >>> np.array(layer.kernel_constraint(kernel))[0, 0, 0].round(6)
        array([0.1 , 0.05])
    """

    def __init__(self, limit: float = 0.1):
        if not limit > 0:
            raise ValueError(
                f"Give the largest RMS of a filter, above 0. Received: limit={limit!r}"
            )
        self.limit = float(limit)

    def __call__(self, kernel: Any) -> Any:
        kernel = ops.convert_to_tensor(kernel)
        rms = filter_rms(kernel)
        too_large = rms > self.limit
        scale = self.limit / ops.where(too_large, rms, self.limit)
        limited = ops.cast(ops.cast(kernel, rms.dtype) * scale, kernel.dtype)
        return ops.where(too_large, limited, kernel)

    def get_config(self) -> dict:
        return {"limit": self.limit}


def filter_rms(kernel: Any) -> Any:
    """The RMS of every filter of a convolution.

    Args:
        kernel: tensor `(..., filters)`.

    Returns:
        Tensor `(filters,)`, float32 or wider.
    """
    kernel = ops.convert_to_tensor(kernel)
    wide = keras.backend.result_type(kernel.dtype, "float32")
    axes = tuple(range(len(kernel.shape) - 1))
    return ops.sqrt(ops.mean(ops.square(ops.cast(kernel, wide)), axis=axes))


def limit_filters(model: keras.Model, limit: float | None = 0.1) -> tuple[str, ...]:
    """Adds an `RMSLimit` to every convolution of a built model.

    Depthwise, separable and transposed convolutions, which the paper does not use, do not change:
    the axes of their kernels differ.

    Args:
        model: a built `keras.Model`; layers of nested models are found.
        limit: largest RMS of a filter; None removes the constraints.

    Returns:
        Tuple of the names of the constrained layers.

    Raises:
        ValueError: if the model is not built, has no convolution, or has one with another
            constraint.
    """
    convolutions = [layer for layer in model._flatten_layers() if isinstance(layer, _CONVOLUTIONS)]
    if not convolutions:
        raise ValueError(
            f"The model {model.name!r} has no convolution whose filters could be limited: give a "
            "convnet, or leave out the limit."
        )
    for layer in convolutions:
        _check(layer)
    for layer in convolutions:
        layer.kernel_constraint = None if limit is None else RMSLimit(limit)
        layer.kernel.constraint = layer.kernel_constraint
    return () if limit is None else tuple(layer.name for layer in convolutions)


def _check(layer):
    if not layer.built:
        raise ValueError(
            f"The layer {layer.name!r} has no kernel yet: build the model before its filters are "
            "limited."
        )
    if not isinstance(layer.kernel_constraint, RMSLimit | None):
        raise ValueError(
            f"The layer {layer.name!r} has the constraint {type(layer.kernel_constraint).__name__} "
            "already: remove it, or leave out the RMS limit."
        )
