"""Layers of the convnet and its deconvnet."""

from kerasvis.layers.local_response_normalization import LocalResponseNormalization
from kerasvis.layers.max_pooling_with_switches import MaxPooling2DWithSwitches
from kerasvis.layers.max_unpooling import MaxUnpooling2D
from kerasvis.layers.pixel_mean import PixelMean

__all__ = [
    "LocalResponseNormalization",
    "MaxPooling2DWithSwitches",
    "MaxUnpooling2D",
    "PixelMean",
]
