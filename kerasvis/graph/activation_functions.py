"""Which activation function a layer applies."""

import keras
from keras import layers


def activation_of(layer):
    """The activation function of a layer, or None.

    None also for a ReLU layer with a slope or a threshold.
    """
    if isinstance(layer, layers.ReLU):
        is_plain = layer.negative_slope == 0 and layer.threshold == 0
        return keras.activations.relu if is_plain else None
    activation = getattr(layer, "activation", None)
    is_linear = activation is keras.activations.linear and not isinstance(layer, layers.Activation)
    return None if is_linear else activation


def is_activation_layer(layer):
    """Whether the layer is an activation and nothing else."""
    return isinstance(layer, (layers.Activation, layers.ReLU))
