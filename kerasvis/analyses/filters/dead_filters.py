"""Dead filters: weights near zero, and feature maps that are never or almost never active."""

import dataclasses
from typing import Annotated

import keras
import numpy as np
from keras import layers

from kerasvis.storage.fields import Array
from kerasvis.storage.results import Result

# A filter is dead if its RMS is at most this share of the layer's 90th percentile. At 1 % its
# effect is no larger than noise of 1 %. The percentile is robust where most filters are dead,
# unlike the median, and where a few dominate, unlike the maximum. In trained models the weakest
# first-layer filters are at 20 % of it.
DEAD_RMS_SHARE = 0.01
LIVING_PERCENTILE = 90

# A feature map is almost never active if it is active in at most this share of the images.
RARE_SHARE = 0.01
# With fewer images, inactivity says little: of the feature maps that are active in 6 % of all
# images, 1 in 20 is inactive in a random 50.
NUM_IMAGES_NEEDED = 50


@dataclasses.dataclass(frozen=True, eq=False)
class LayerFilters(Result):
    """Which filters of one convolution layer are alive.

    Attributes:
        layer: name of the layer.
        rms: float32 `(filters,)`: RMS of the weights of each filter.
        is_weak: bool `(filters,)`: whether its weights are near zero.
        is_silent: bool `(filters,)`: whether its feature map is active in none of the images.
        is_rare: bool `(filters,)`: whether it is active in at most `RARE_SHARE` of them, silent
            ones included.
        is_watched: whether its activations on images were counted; False without images, and for a
            layer without rectification, whose feature maps are always active.
    """

    layer: str
    rms: Annotated[np.ndarray, Array("float32", "filters")]
    is_weak: Annotated[np.ndarray, Array("bool", "filters")]
    is_silent: Annotated[np.ndarray, Array("bool", "filters")]
    is_rare: Annotated[np.ndarray, Array("bool", "filters")]
    is_watched: bool

    @property
    def is_dead(self):
        """bool `(filters,)`: weights near zero, or a map that is never or almost never active."""
        return self.is_weak | self.is_rare


def filters_of(layer):
    """The filters of a convolution layer, float32 `(height, width, channels, filters)`.

    Filters of a depthwise convolution have one channel. Those of a separable convolution combine
    its two steps.
    """
    weights = [keras.ops.convert_to_numpy(kernel) for kernel in _kernels(layer)]
    if isinstance(layer, layers.SeparableConv2D):
        depthwise, pointwise = weights
        steps = pointwise.reshape(*depthwise.shape[2:], -1)
        return np.einsum("hwcm,cmf->hwcf", depthwise, steps).astype("float32")
    (kernel,) = weights
    if isinstance(layer, layers.DepthwiseConv2D):
        kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
    return kernel.astype("float32")


def _kernels(layer):
    if isinstance(layer, layers.SeparableConv2D):
        return layer.depthwise_kernel, layer.pointwise_kernel
    return (layer.kernel,)  # also the name of a depthwise convolution's kernel in Keras


def weak_filters(rms):
    """Which filters have weights near zero, bool `(filters,)`, from the RMS of each."""
    return rms <= DEAD_RMS_SHARE * np.percentile(rms, LIVING_PERCENTILE)


def most_rare(num_images):
    """The largest number of images in which a feature map counts as almost never active."""
    return int(RARE_SHARE * num_images)


def layer_filters(name, filters, active=None):
    """Finds the dead filters of one layer.

    Args:
        name: name of the layer.
        filters: from `filters_of`.
        active: the `NumActive` of its rectified maps; None if they were not counted.

    Returns:
        A `LayerFilters`.
    """
    rms = np.sqrt(np.mean(np.square(filters, dtype="float64"), axis=(0, 1, 2))).astype("float32")
    nowhere = np.zeros(len(rms), bool)
    return LayerFilters(
        layer=name,
        rms=rms,
        is_weak=weak_filters(rms),
        is_silent=nowhere if active is None else active.num_active == 0,
        is_rare=nowhere if active is None else active.num_active <= most_rare(active.num_images),
        is_watched=active is not None,
    )
