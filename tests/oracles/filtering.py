"""Filtering down and up, written as loops from the paper.

Zeiler & Fergus 2013, Section 2.1: the deconvnet filters with the transposed versions of the trained
filters: each signal is spread over the locations that its unit was computed from, weighted by the
filter, without a bias.
"""

import numpy as np

from tests.oracles.pooling import window_corner


def filter_down(signal, kernel, size, strides=(1, 1), dilation=(1, 1), groups=1, padding="valid"):
    """The transposed convolution.

    Args:
        signal: `(batch, rows, columns, filters)`.
        kernel: `(rows, columns, channels in a group, filters)`, as of `keras.layers.Conv2D`.
        size: `(rows, columns)` of the feature maps that the convolution received.
        strides, dilation: pairs (rows, columns).
        groups: groups of channels and filters.
        padding: `"valid"` or `"same"`.

    Returns:
        `(batch, *size, channels)`.
    """
    filtered = np.zeros((len(signal), *size, kernel.shape[2] * groups))
    for tap in _taps(signal.shape, kernel.shape, size, strides, dilation, groups, padding):
        image, unit, weight, location, channel = tap
        filtered[(image, *location, channel)] += signal[(image, *unit)] * kernel[weight]
    return filtered


def filter_up(images, kernel, strides=(1, 1), dilation=(1, 1), groups=1, padding="valid"):
    """The convolution itself, `(batch, rows, columns, filters)`, without a bias."""
    size = images.shape[1:3]
    shape = (
        len(images),
        *_filtered_size(size, kernel, strides, dilation, padding),
        kernel.shape[3],
    )
    filtered = np.zeros(shape)
    for tap in _taps(shape, kernel.shape, size, strides, dilation, groups, padding):
        image, unit, weight, location, channel = tap
        filtered[(image, *unit)] += images[(image, *location, channel)] * kernel[weight]
    return filtered


def depthwise_as_grouped(kernel):
    """A depthwise kernel `(rows, columns, channels, multiplier)` as one of a group per channel."""
    rows, columns, channels, multiplier = kernel.shape
    return kernel.reshape(rows, columns, 1, channels * multiplier)


def _filtered_size(size, kernel, strides, dilation, padding):
    if padding == "same":
        return tuple(-(-n // stride) for n, stride in zip(size, strides, strict=True))
    reach = _reach(kernel.shape, dilation)
    return tuple((n - r) // stride + 1 for n, r, stride in zip(size, reach, strides, strict=True))


def _reach(kernel_shape, dilation):
    return tuple((n - 1) * d + 1 for n, d in zip(kernel_shape, dilation, strict=False))


def _taps(shape, kernel_shape, size, strides, dilation, groups, padding):
    """Every multiplication (image, unit, weight, location, channel) that is not with padding."""
    reach = _reach(kernel_shape, dilation)
    num_channels, num_filters = kernel_shape[2:]
    for image, row, column, number in np.ndindex(*shape):
        corner = window_corner(row, column, size, reach, strides, padding)
        first_channel = number // (num_filters // groups) * num_channels
        for i, j, channel in np.ndindex(*kernel_shape[:3]):
            location = (corner[0] + i * dilation[0], corner[1] + j * dilation[1])
            if all(0 <= x < n for x, n in zip(location, size, strict=True)):
                weight = (i, j, channel, number)
                yield image, (row, column, number), weight, location, first_channel + channel
