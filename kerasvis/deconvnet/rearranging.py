"""Layers that rearrange values, mirrored: each value moves back."""

import numpy as np
from keras import ops

from kerasvis.deconvnet.mirror import Mirror


class Reshaped(Mirror):
    """Flatten and Reshape, mirrored: back to the recorded shape."""

    verb = "reshape"

    def project(self, signal, record):
        return ops.reshape(signal, ops.shape(record.inputs[0]))


class Permuted(Mirror):
    """Permute, mirrored."""

    verb = "permute"

    def project(self, signal, record):
        return ops.transpose(signal, (0, *(1 + np.argsort(self.mirrored.dims))))


class Uncropped(Mirror):
    """Cropping2D, mirrored: zeros replace the cropped values."""

    verb = "pad"

    def project(self, signal, record):
        return ops.pad(signal, [(0, 0), *self.mirrored.cropping, (0, 0)])


class Unpadded(Mirror):
    """ZeroPadding2D, mirrored: what reaches the padding is cropped."""

    verb = "crop"

    def project(self, signal, record):
        (top, _), (left, _) = self.mirrored.padding
        height, width = ops.shape(record.inputs[0])[1:3]
        return signal[:, top : top + height, left : left + width]


class Downsampled(Mirror):
    """UpSampling2D, mirrored: each location sums the signal of its copies, with their weights."""

    verb = "gather"

    def project(self, signal, record):
        height, width = ops.shape(record.inputs[0])[1:3]
        signal = ops.einsum("bhwc,nh->bnwc", signal, self._weights(height, axis=0))
        return ops.einsum("bhwc,nw->bhnc", signal, self._weights(width, axis=1))

    def _weights(self, length, axis):
        """The weight of each input location in each output location: `(length, output length)`."""
        units = ops.eye(length, dtype=self.compute_dtype)
        shape = (length, length, 1, 1) if axis == 0 else (length, 1, length, 1)
        above = self.mirrored.call(ops.reshape(units, shape))
        return above[:, :, 0, 0] if axis == 0 else above[:, 0, :, 0]
