"""Dead filters: weights near zero, and feature maps that never or almost never fire."""

import dataclasses
from typing import Annotated

import keras
import numpy as np
from keras import layers

from kerasvis.storage.fields import Array
from kerasvis.storage.results import Result

# A filter is dead whose RMS is at most this share of the layer's 90th percentile. At a hundredth it
# changes what is seen no more than noise of 1 %. The percentile, not the median or the largest: it
# stays among the living where most filters are dead, or a few dominate. In trained nets the weakest
# first-layer filters are at 20 % of it.
DEAD_RMS_SHARE = 0.01
LIVING_PERCENTILE = 90

# A feature map almost never fires that fires in at most this share of the images.
RARE_SHARE = 0.01
# With fewer images silence says little: by chance, 1 map in 20 of those that fire in 6 % of all
# images is silent in 50.
NUM_IMAGES_NEEDED = 50


@dataclasses.dataclass(frozen=True, eq=False)
class LayerFilters(Result):
    """Which filters of one convolution layer are alive.

    Attributes:
        layer: name of the layer.
        rms: float32 `(filters,)`: RMS of the weights of each filter.
        is_weak: bool `(filters,)`: whether its weights are near zero.
        is_silent: bool `(filters,)`: whether its feature map fires in none of the images.
        is_rare: bool `(filters,)`: whether it fires in at most `RARE_SHARE` of them, silent or not.
        is_watched: whether it was looked at while images passed; False without images, and for a
            layer without a rectification of its own, which nothing keeps from firing.
    """

    layer: str
    rms: Annotated[np.ndarray, Array("float32", "filters")]
    is_weak: Annotated[np.ndarray, Array("bool", "filters")]
    is_silent: Annotated[np.ndarray, Array("bool", "filters")]
    is_rare: Annotated[np.ndarray, Array("bool", "filters")]
    is_watched: bool

    @property
    def is_dead(self):
        """bool `(filters,)`: weights near zero, or a map that never or almost never fires."""
        return self.is_weak | self.is_rare


def filters_of(layer):
    """The filters of a convolution layer, float32 `(height, width, channels, filters)`.

    Those of a depthwise convolution have one channel; those of a separable one are put together of
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
    return (layer.kernel,)  # in Keras also the name of a depthwise convolution's


def weak_filters(rms):
    """Which filters have weights near zero, bool `(filters,)`, from the RMS of each."""
    return rms <= DEAD_RMS_SHARE * np.percentile(rms, LIVING_PERCENTILE)


def most_rare(num_images):
    """In how many of so many images a map is active, at most, that almost never is."""
    return int(RARE_SHARE * num_images)


def layer_filters(name, filters, active=None):
    """Judges the filters of one layer.

    Args:
        name: of the layer.
        filters: from `filters_of`.
        active: the `NumActive` of its rectified maps; None if they were not watched.

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
