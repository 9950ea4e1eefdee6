"""Unpooling: every value returns to where it came from.

Reference:
    Zeiler & Fergus 2013, Section 2.1, "Unpooling". Average pooling, which the paper does not use,
    is mirrored by its adjoint, which spreads a value evenly.
"""

import math

from keras import ops

from kerasvis.deconvnet.filtering import crop_to_input, size_of, spaced_out
from kerasvis.deconvnet.mirror import Mirror
from kerasvis.layers import MaxPooling2DWithSwitches, MaxUnpooling2D
from kerasvis.layers.window_geometry import padding_before


class Unpooling(Mirror):
    """Max pooling, mirrored: each value goes to the location in its switch.

    In the forward pass, `pooling` runs in place of the mirrored layer and records the switches.
    """

    verb = "unpool"

    def __init__(self, call):
        super().__init__(call)
        layer = call.layer
        options = {
            "pool_size": layer.pool_size,
            "strides": layer.strides,
            "padding": layer.padding,
        }
        self.pooling = layer
        if not isinstance(layer, MaxPooling2DWithSwitches):
            self.pooling = MaxPooling2DWithSwitches(**options, dtype=layer.dtype_policy)
        self.unpooling = MaxUnpooling2D(**options, dtype=call.dtype)

    def project(self, signal, record):
        return self.unpooling(signal, record.switches[0], record.inputs[0])

    def describe(self):
        return f"{self.verb} {'×'.join(map(str, self.mirrored.pool_size))}"


class AverageUnpooling(Mirror):
    """Average pooling, mirrored: each element of a window, except padding, gets an equal share."""

    verb = "spread"

    def project(self, signal, record):
        layer, size = self.mirrored, size_of(record.inputs[0])
        counts = num_unpadded(layer, size, ops.shape(signal)[1:3])
        shares = signal / ops.cast(counts, signal.dtype)
        spaced = spaced_out(shares, layer.strides, layer.pool_size)
        sums = ops.average_pool(spaced, layer.pool_size, 1, "valid") * math.prod(layer.pool_size)
        return crop_to_input(sums, size, layer, extent=layer.pool_size)

    def describe(self):
        return f"{self.verb} {'×'.join(map(str, self.mirrored.pool_size))}"


def num_unpadded(layer, size, pooled_size):
    """How many elements of each window are not padding: `(rows, columns, 1)`."""
    counts = []
    for window, stride, length, pooled in zip(
        layer.pool_size, layer.strides, size, pooled_size, strict=True
    ):
        before = padding_before(length, window, stride, layer.padding)
        begins = ops.arange(pooled, dtype="int32") * stride - before
        counts.append(ops.minimum(begins + window, length) - ops.maximum(begins, 0))
    return counts[0][:, None, None] * counts[1][:, None]


class GlobalAverageUnpooling(Mirror):
    """Global average pooling, mirrored: each location receives an equal share."""

    verb = "spread"

    def project(self, signal, record):
        inputs = record.inputs[0]
        batch, height, width, channels = ops.shape(inputs)
        share = ops.reshape(signal, (batch, 1, 1, channels))
        share = share / ops.cast(height * width, signal.dtype)
        return ops.broadcast_to(share, (batch, height, width, channels))


class GlobalUnpooling(Mirror):
    """Global max pooling, mirrored: the first maximum of the feature map receives the value."""

    verb = "unpool"

    def project(self, signal, record):
        batch, height, width, channels = ops.shape(record.inputs[0])
        inputs = ops.reshape(record.inputs[0], (batch, height * width, channels))
        switches = ops.cast(ops.argmax(inputs, axis=1), "int32")
        positions = ops.arange(height * width, dtype="int32")
        is_location = ops.equal(positions[:, None], switches[:, None, :])
        values = ops.reshape(signal, (batch, 1, channels))
        unpooled = ops.where(is_location, values, ops.zeros_like(values))
        return ops.reshape(unpooled, (batch, height, width, channels))
