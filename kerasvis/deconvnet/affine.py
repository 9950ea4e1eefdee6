"""Layers that are affine in their input, channel by channel: the projection applies their scale.

Contrast normalisation is not affine. The deconvnet passes the signal through it unchanged
(`PassUnchanged`); its true gradient is here for the other two rectifications.
"""

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
    """Normalization by the data set's mean and variance, mirrored."""

    verb = "scale"

    def project(self, signal, record):
        layer = self.mirrored
        deviation = ops.maximum(ops.sqrt(self.weight(layer.variance)), keras.config.epsilon())
        return signal * deviation if layer.invert else signal / deviation


class LocalResponseNormalizationGradient(Mirror):
    """The gradient of contrast normalisation, for gradient saliency and guided backpropagation."""

    verb = "denormalize"

    def project(self, signal, record):
        layer = self.mirrored
        inputs = ops.cast(record.inputs[0], signal.dtype)
        radius, num_channels = layer.depth_radius, inputs.shape[-1]
        edges = [(0, 0)] * (len(inputs.shape) - 1) + [(radius, radius)]

        def sum_over_neighbours(x):
            padded = ops.pad(x, edges)
            return sum(padded[..., i : i + num_channels] for i in range(2 * radius + 1))

        activity = layer.bias + layer.alpha * sum_over_neighbours(ops.square(inputs))
        share = signal * ops.power(activity, -layer.beta)
        through_others = sum_over_neighbours(share * inputs / activity)
        return share - 2 * layer.alpha * layer.beta * inputs * through_others
