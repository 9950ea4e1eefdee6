"""Unpooling: every value returns to the location of its maximum."""

from typing import Any

import keras
import numpy as np
from keras import ops

from kerasvis.layers.pooling_windows import PoolingWindowsLayer
from kerasvis.layers.xla_compilation import compiled_if_large


@keras.saving.register_keras_serializable(package="kerasvis")
class MaxUnpooling2D(PoolingWindowsLayer):
    """Places each value of a pooled signal at the location in its switch; zero elsewhere.

    The mirror of `MaxPooling2DWithSwitches` with the same arguments, and the adjoint of pooling
    with fixed switches.

    Deviation: the paper does not say what happens if overlapping windows place several values at
    one location. They are summed, as in the adjoint.

    A NaN in the signal affects only its own location.

    Args:
        pool_size, strides, padding, data_format: those of the pooling, see
            `MaxPooling2DWithSwitches`.

    Call arguments:
        signal: tensor `(batch, pooled rows, pooled columns, channels)`, the values to place.
        switches: uint8 tensor of the same shape, as pooling returned them.
        reference: tensor `(batch, rows, columns, channels)`, the input of the pooling. Only its
            numbers of rows and columns are used, which the pooled shape does not determine.

    Returns:
        A tensor `(batch, rows, columns, channels)` with the rows and columns of `reference`, the
        batch, channels and dtype of `signal` (floats in the layer's compute dtype).

    Raises:
        ValueError: if an argument is invalid, if Keras is set to `channels_first`, or if the shapes
            of signal, switches and reference do not match.

    Reference:
        Zeiler & Fergus 2013, Section 2.1, "Unpooling".

    Example:
        >>> import numpy as np
        >>> from kerasvis.layers import MaxPooling2DWithSwitches, MaxUnpooling2D
        >>> feature_map = np.array([[1, 5, 0], [2, 3, 0]], "float32").reshape(1, 2, 3, 1)
        >>> pooled, switches = MaxPooling2DWithSwitches(2)(feature_map)
        >>> np.array(MaxUnpooling2D(2)(pooled, switches, feature_map))[0, ..., 0].tolist()
        [[0.0, 5.0, 0.0], [0.0, 0.0, 0.0]]
    """

    def build(self, signal_shape: tuple, switches_shape: tuple, reference_shape: tuple) -> None:
        self.compute_output_shape(signal_shape, switches_shape, reference_shape)

    def call(self, signal: Any, switches: Any, reference: Any) -> Any:
        self.compute_output_shape(signal.shape, switches.shape, reference.shape)
        return unpool(self.windows, signal, switches, reference)

    def compute_output_shape(
        self, signal_shape: tuple, switches_shape: tuple, reference_shape: tuple
    ) -> tuple:
        if not _may_be_equal(signal_shape, switches_shape):
            raise ValueError(
                "The signal and the switches differ in shape: give one switch for each value. "
                f"Received: signal of shape {tuple(signal_shape)}, switches of shape "
                f"{tuple(switches_shape)}"
            )
        pooled_shape = self.windows.pooled_shape(reference_shape)
        if not _may_be_equal(signal_shape[1:3], pooled_shape[1:3]) or len(signal_shape) != 4:
            raise ValueError(
                f"The reference pools to the shape {pooled_shape}, which is not that of the "
                "signal: give the tensor that was pooled, and the pooling layer's pool_size, "
                f"strides and padding. Received: signal of shape {tuple(signal_shape)}, reference "
                f"of shape {tuple(reference_shape)}"
            )
        return (signal_shape[0], *reference_shape[1:3], signal_shape[3])

    def compute_output_spec(self, signal: Any, switches: Any, reference: Any) -> keras.KerasTensor:
        shape = self.compute_output_shape(signal.shape, switches.shape, reference.shape)
        dtype = keras.backend.standardize_dtype(signal.dtype)
        dtype = self.compute_dtype if keras.backend.is_float_dtype(dtype) else dtype
        return keras.KerasTensor(shape, dtype)


@compiled_if_large
def unpool(windows, signal, switches, reference):
    """Sums, in each block, what the windows that overlap it place there."""
    _, height, width, _ = ops.shape(reference)
    num_rows, num_columns = (axis.num_blocks_per_window for axis in (windows.rows, windows.columns))
    blocks = 0
    for row, column in np.ndindex(num_rows, num_columns):
        shift = [(0, 0), (row, num_rows - 1 - row), (column, num_columns - 1 - column), (0, 0)]
        values = ops.pad(signal, shift)[:, :, None, :, None]
        locations = ops.pad(switches, shift)[:, :, None, :, None]
        positions = _positions_in_block(windows, row, column)
        blocks += ops.where(locations == positions, values, ops.zeros_like(values))
    return windows.from_blocks(blocks, height, width)


def _positions_in_block(windows, row, column):
    """For the elements of a window's block (row, column), their positions in the window.

    Returns:
        A uint8 array `(row stride, 1, column stride, 1)`, `NO_SWITCH` outside the window.
    """
    row_stride, column_stride = windows.rows.stride, windows.columns.stride
    positions = [
        windows.position(row * row_stride + i, column * column_stride + j)
        for i, j in np.ndindex(row_stride, column_stride)
    ]
    return np.array(positions, "uint8").reshape(row_stride, 1, column_stride, 1)


def _may_be_equal(shape, other):
    """Whether two static shapes agree wherever both are known."""
    return len(shape) == len(other) and all(
        size is None or other_size is None or size == other_size
        for size, other_size in zip(shape, other, strict=True)
    )
