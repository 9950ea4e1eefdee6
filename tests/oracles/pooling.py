"""Max pooling with switches and unpooling, written as loops from the paper.

Zeiler & Fergus 2013, Section 2.1: pooling records the location of the maximum in each pooling
region; unpooling places each value back at its recorded location, summed where regions overlap.
"""

import math

import numpy as np


def max_pool(inputs, pool_size, strides, padding):
    """Returns `(pooled, switches)` of `(batch, rows, columns, channels)`; NaN is the maximum."""
    num_rows, num_columns = pooled_size(inputs.shape[1:3], pool_size, strides, padding)
    pooled = np.zeros((inputs.shape[0], num_rows, num_columns, inputs.shape[3]), inputs.dtype)
    switches = np.zeros(pooled.shape, "uint8")
    for image, row, column, channel in np.ndindex(pooled.shape):
        best = None
        elements = window_elements(row, column, inputs.shape[1:3], pool_size, strides, padding)
        for position, location in elements:
            value = inputs[image, *location, channel]
            if best is None or value > best or (np.isnan(value) and not np.isnan(best)):
                best = value
                switches[image, row, column, channel] = position
        pooled[image, row, column, channel] = best
    return pooled, switches


def max_unpool(signal, switches, size, pool_size, strides, padding):
    """Returns `(batch, rows, columns, channels)` of the given size (rows, columns)."""
    unpooled = np.zeros((signal.shape[0], *size, signal.shape[3]), signal.dtype)
    for image, row, column, channel in np.ndindex(signal.shape):
        elements = dict(window_elements(row, column, size, pool_size, strides, padding))
        location = elements[switches[image, row, column, channel]]
        unpooled[image, *location, channel] += signal[image, row, column, channel]
    return unpooled


def pooled_size(size, pool_size, strides, padding):
    if padding == "same":
        return tuple(math.ceil(n / stride) for n, stride in zip(size, strides, strict=True))
    axes = zip(size, pool_size, strides, strict=True)
    return tuple((n - window) // stride + 1 for n, window, stride in axes)


def window_elements(row, column, size, pool_size, strides, padding):
    """Pairs (position in the window, location in the image) of the elements that are no padding."""
    top, left = window_corner(row, column, size, pool_size, strides, padding)
    position = 0
    for i in range(top, top + pool_size[0]):
        for j in range(left, left + pool_size[1]):
            if 0 <= i < size[0] and 0 <= j < size[1]:
                yield position, (i, j)
            position += 1


def window_corner(row, column, size, pool_size, strides, padding):
    corner = []
    for index, n, window, stride in zip((row, column), size, pool_size, strides, strict=True):
        before = 0
        if padding == "same":
            total = (math.ceil(n / stride) - 1) * stride + window - n
            before = max(total, 0) // 2
        corner.append(index * stride - before)
    return corner
