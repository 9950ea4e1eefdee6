"""The strongest activation of every feature map in a batch, computed on the device."""

from typing import Any, NamedTuple

import keras
from keras import ops


class ChannelMaxima(NamedTuple):
    """The strongest activation of each feature map of a layer in each image of a batch.

    Attributes:
        values: float32 `(images, feature maps)`; NaN or infinite if any activation of the map is.
        rows: int32 `(images, feature maps)`; of equal activations, the first row by row.
        columns: int32 `(images, feature maps)`.
    """

    values: Any
    rows: Any
    columns: Any


def channel_maxima(outputs: Any, layer: keras.layers.Layer) -> ChannelMaxima:
    """The `ChannelMaxima` of a layer, in one pass over its feature maps.

    The row is found among the maxima of all rows, and the column in that row alone. This uses
    equality and `min`, since `argmax` guarantees nothing about ties.

    Args:
        outputs: tensor `(images, rows, columns, feature maps)`; or `(images, units)`, whose units
            count as feature maps of one element.
        layer: the layer that returned the outputs.
    """
    maps = outputs[:, None, None, :] if len(outputs.shape) == 2 else outputs
    num_maps = maps.shape[3]
    num_rows, num_columns = ops.shape(maps)[1:3]
    row_maxima = ops.max(maps, axis=2)
    values = ops.max(row_maxima, axis=1)
    rows = _first_true(row_maxima == values[:, None, :], num_rows)
    row_size = num_columns * num_maps
    places = ops.reshape(ops.arange(row_size, dtype="int32"), (1, num_columns, num_maps))
    places = ops.reshape(rows[:, None, :] * row_size + places, (-1, row_size))
    images = ops.reshape(maps, (-1, num_rows * row_size))
    winning_rows = ops.take_along_axis(images, places, axis=1)
    winning_rows = ops.reshape(winning_rows, (-1, num_columns, num_maps))
    columns = _first_true(winning_rows == values[:, None, :], num_columns)
    if not _is_bounded_below(layer):  # a second pass, since a maximum hides -inf elsewhere
        minima = ops.min(maps, axis=(1, 2))
        values = ops.where(ops.isfinite(minima), values, minima)
    return ChannelMaxima(ops.cast(values, "float32"), rows, columns)


def _is_bounded_below(layer):
    if isinstance(layer, keras.layers.ReLU):
        return layer.negative_slope == 0
    bounded = (keras.activations.relu, keras.activations.relu6, keras.activations.softmax)
    return getattr(layer, "activation", None) in bounded


def _first_true(condition, length):
    """The first true place along axis 1; the last place if none is true, as for NaN."""
    places = ops.reshape(ops.arange(length, dtype="int32"), (1, -1, 1))
    return ops.min(ops.where(condition, places, length - 1), axis=1)
