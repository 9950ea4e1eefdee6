"""Layers and a constraint that a saved model may contain."""

from kerasvis.layers.filter_constraint import RMSLimit as RMSLimit
from kerasvis.layers.fixed_value import FixedValue
from kerasvis.layers.local_response_normalization import LocalResponseNormalization
from kerasvis.layers.max_pooling_with_switches import MaxPooling2DWithSwitches
from kerasvis.layers.max_unpooling import MaxUnpooling2D
from kerasvis.layers.pixel_mean import PixelMean

__all__ = [
    "FixedValue",
    "LocalResponseNormalization",
    "MaxPooling2DWithSwitches",
    "MaxUnpooling2D",
    "PixelMean",
    "RMSLimit",
]
