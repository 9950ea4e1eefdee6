"""Max pooling that records the location of every maximum, as unpooling requires."""

from typing import Any

import keras
import ml_dtypes
import numpy as np
from keras import ops

from kerasvis.layers.max_unpooling import unpool
from kerasvis.layers.pooling_windows import PoolingWindowsLayer
from kerasvis.layers.xla_compilation import compiled_if_large

# Padding the borders separately is faster for large feature maps with small windows (first layers).
MIN_SIZE_TO_SPLIT = 32
MAX_ELEMENTS_TO_SPLIT = 9


@keras.saving.register_keras_serializable(package="kerasvis")
class MaxPooling2DWithSwitches(PoolingWindowsLayer):
    """Max pooling that also returns its switches: where in its window each maximum was.

    Max pooling cannot be inverted, but with the switches recorded in the forward pass,
    `MaxUnpooling2D` can place each value back at its location. A switch is the row-major position
    inside the pooling window, one byte per pooled value; in a window of 3x3 the centre is 4. The
    first maximum in row-major order wins, and padding never does.

    A window that contains NaN gives NaN, and its switch is the location of its first NaN.

    The gradient of `pooled` is `MaxUnpooling2D` of the incoming gradient: each value goes only to
    the location in its switch, which for ties is the first maximum. Without ties, this is the
    gradient of `keras.layers.MaxPooling2D`, whose choice among ties depends on the device.

    Args:
        pool_size: window size, an integer or a pair (rows, columns), at most 15x15.
        strides: steps between windows, an integer or a pair; `pool_size` by default.
        padding: `"valid"` or `"same"`, as in TensorFlow: an odd element is added at the end.
        data_format: `"channels_last"`, the only supported one; it is an argument so that the layer
            accepts the config of a `keras.layers.MaxPooling2D`.

    Call arguments:
        inputs: tensor `(batch, rows, columns, channels)` of any real dtype. Rows and columns may
            be unknown.

    Returns:
        `(pooled, switches)`, both `(batch, pooled rows, pooled columns, channels)`: the maxima, in
        the dtype of the inputs (floats in the layer's compute dtype), and their positions, uint8.

    Raises:
        ValueError: if an argument is invalid, if Keras is set to `channels_first`, or if the inputs
            do not have 4 axes or are smaller than a window.

    Reference:
        Zeiler & Fergus 2013, Section 2.1, "Unpooling".

    Example:
        >>> import numpy as np
        >>> from kerasvis.layers import MaxPooling2DWithSwitches
        >>> feature_map = np.array([[1, 5, 0, 0], [2, 3, 0, 9]], "float32").reshape(1, 2, 4, 1)
        >>> pooled, switches = MaxPooling2DWithSwitches(2)(feature_map)
        >>> np.array(pooled).ravel().tolist(), np.array(switches).ravel().tolist()
        ([5.0, 9.0], [1, 3])
    """

    def build(self, input_shape: tuple) -> None:
        self.windows.pooled_shape(input_shape)

    def call(self, inputs: Any) -> tuple:
        self.windows.pooled_shape(inputs.shape)
        return _pool_with_switches(self.windows, inputs)

    def compute_output_shape(self, input_shape: tuple) -> tuple[tuple, tuple]:
        shape = self.windows.pooled_shape(input_shape)
        return shape, shape

    def compute_output_spec(self, inputs: Any) -> tuple:
        shape = self.windows.pooled_shape(inputs.shape)
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        dtype = self.compute_dtype if keras.backend.is_float_dtype(dtype) else dtype
        return keras.KerasTensor(shape, dtype), keras.KerasTensor(shape, "uint8")


def _pool_with_switches(windows, inputs):
    if keras.backend.backend() != "tensorflow":
        return _pool_strips(windows, inputs)

    # Autodiff gives the same gradient, but stores a mask for each element of the windows.
    @ops.custom_gradient
    def pool(inputs):
        pooled, switches = _pool_strips(windows, inputs)

        def gradient(upstream, _):
            return unpool(windows, upstream, switches, inputs)

        return (pooled, switches), gradient

    return pool(inputs)


@compiled_if_large
def _pool_strips(windows, inputs):
    """Pools strip by strip, see `WindowAxis.strips`, and joins the results."""
    _, height, width, _ = ops.shape(inputs)
    are_split = _are_borders_worth_splitting(windows, height, width)
    row_strips = windows.rows.strips(height, are_split)
    column_strips = windows.columns.strips(width, are_split)
    pooled_strips = [
        _joined([_compare_elements(windows, inputs, rows, columns) for columns in column_strips], 2)
        for rows in row_strips
    ]
    return _joined(pooled_strips, axis=1)


def _are_borders_worth_splitting(windows, height, width):
    """Whether a padded copy of the inputs takes longer than up to nine smaller computations."""
    is_large = all(isinstance(size, int) and size >= MIN_SIZE_TO_SPLIT for size in (height, width))
    return is_large and len([*windows.offsets()]) <= MAX_ELEMENTS_TO_SPLIT


def _joined(pieces, axis):
    if len(pieces) == 1:
        return pieces[0]
    return tuple(ops.concatenate(tensors, axis) for tensors in zip(*pieces, strict=True))


def _compare_elements(windows, inputs, rows, columns):
    """Compares the elements of the windows in two strips, position by position."""
    blocks = windows.to_blocks(inputs, rows, columns, padding_value=_lowest(inputs.dtype))
    pooled = None
    for row, column in windows.offsets():
        first_row, row_in_block = divmod(row, windows.rows.stride)
        first_column, column_in_block = divmod(column, windows.columns.stride)
        values = blocks[
            :,
            first_row : first_row + rows.num_windows,
            row_in_block,
            first_column : first_column + columns.num_windows,
            column_in_block,
        ]
        if pooled is None:
            pooled, switches = values, _first_real_positions(windows, values, rows, columns)
            continue
        # "not <=" rather than ">", so that a NaN wins; after a NaN, nothing else does.
        wins = ops.logical_not(ops.logical_or(values <= pooled, ops.isnan(pooled)))
        # Not `maximum`: on a CPU it loses NaN if compiled by XLA, and denormal numbers otherwise.
        pooled = ops.where(wins, values, pooled)
        switches = ops.where(wins, np.int32(windows.position(row, column)), switches)
    return pooled, ops.cast(switches, "uint8")  # int32 until here: CPUs select it faster


def _first_real_positions(windows, values, rows, columns):
    """The initial switches: the position of every window's first element that is not padding.

    Padding has the lowest value of the dtype; real elements with the same value must win.
    """
    row_offsets = windows.rows.first_real_offsets(rows)[:, None, None]
    column_offsets = windows.columns.first_real_offsets(columns)[:, None]
    positions = row_offsets * windows.columns.pool_size + column_offsets
    return ops.zeros_like(values, dtype="int32") + positions


def _lowest(dtype):
    dtype = keras.backend.standardize_dtype(dtype)
    return -np.inf if keras.backend.is_float_dtype(dtype) else int(ml_dtypes.iinfo(dtype).min)
