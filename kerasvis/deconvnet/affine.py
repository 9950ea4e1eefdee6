"""Layers that scale and shift each channel, mirrored: the projection applies the scale alone."""

import keras
import numpy as np
from keras import ops

from kerasvis.deconvnet.mirror import Mirror


class BatchNormalizationScale(Mirror):
    """Batch normalisation at inference, mirrored: its scale applies, its shift does not."""

    verb = "scale"

    def project(self, signal, record):
        layer = self.mirrored
        scale = ops.rsqrt(self.weight(layer.moving_variance) + layer.epsilon)
        if layer.scale:
            scale = scale * self.weight(layer.gamma)
        shape = [1] * len(signal.shape)
        shape[layer.axis] = signal.shape[layer.axis]
        return signal * ops.reshape(scale, shape)


class RescalingScale(Mirror):
    """Rescaling, mirrored."""

    verb = "scale"

    def project(self, signal, record):
        return signal * ops.convert_to_tensor(np.asarray(self.mirrored.scale), signal.dtype)


class NormalizationScale(Mirror):
    """Normalization by the mean and variance of a data set, mirrored."""

    verb = "scale"

    def project(self, signal, record):
        layer = self.mirrored
        deviation = ops.maximum(ops.sqrt(self.weight(layer.variance)), keras.config.epsilon())
        return signal * deviation if layer.invert else signal / deviation
