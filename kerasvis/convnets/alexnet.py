"""The convnet that the paper builds on (Krizhevsky et al. 2012)."""

import os
from collections.abc import Collection, Sequence
from typing import Any

import keras
from keras import layers

from kerasvis.convnets.stages import (
    PAPER_INITIALIZER,
    check_arguments,
    check_layers,
    contrast_normalization,
    convolution,
    dense_top,
    load_weights,
    max_pooling,
    remaining,
    scaled,
)
from kerasvis.layers.pixel_mean import PixelMean


def AlexNet(  # noqa: N802 - named as keras.applications names its builders
    input_shape: Sequence[int | None] = (224, 224, 3),
    classes: int = 1000,
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    *,
    filters: Sequence[int] = (96, 256, 384, 384, 256),
    width: float = 1.0,
    dense_units: int = 4096,
    without: Collection[int] = (),
    strides: Sequence[int] = (4, 1),
    normalization: str | None = "local_response",
    kernel_initializer: Any = PAPER_INITIALIZER,
    classifier_activation: Any = "softmax",
    name: str = "alexnet",
) -> keras.Model:
    """AlexNet with dense connections in every layer: 11×11 filters, stride 4, in layer 1.

    The model takes raw pixels in [0, 255]. Its first layer subtracts the per-pixel mean; set it by
    `model.get_layer("pixel_mean").adapt(pixels)`. Layers have the same names as in `ZFNet`. As in
    the original, normalisation comes before pooling.

    Small inputs: reduce `strides`. At 64×64, `strides=(2, 1)` halves the step between
    neighbouring units in every layer; pool5 is 2×2.

    Args:
        input_shape: `(rows, columns, channels)` in pixels.
        filters: numbers of filters of conv1 to conv5. `(64, 192, 384, 256, 256)` with
            `normalization=None` is the single-tower variant, for which ImageNet weights are common.
        strides: strides of conv1 and of conv2.
        normalization: `"local_response"` after conv1 and conv2; `"batch"`, batch normalisation
            after every convolution; or None.
        classes, include_top, weights, width, dense_units: see `ZFNet`.
        without, kernel_initializer, classifier_activation, name: see `ZFNet`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: if an argument is out of range, or the input is too small for the model.

    Reference:
        Krizhevsky et al. 2012; Zeiler & Fergus 2013, Section 3. Deviation: layers 3 to 5 are not
        split over two GPUs; neither are those of the paper's own convnet.

    Example:
        >>> import kerasvis as kv
        >>> kv.convnets.AlexNet(dense_units=8).get_layer("conv1").output.shape
        (None, 55, 55, 96)
    """
    check_arguments(input_shape, classes, normalization, width)
    check_layers(filters, without)
    filters = [scaled(n, width) for n in filters]
    options = {"kernel_initializer": kernel_initializer}

    inputs = keras.Input(input_shape, name="pixels")
    x = PixelMean(name="pixel_mean")(inputs)
    x = layers.ZeroPadding2D(2, name="pad1")(x)
    x = convolution(x, 1, filters[0], 11, strides[0], "valid", **options)
    x = contrast_normalization(x, 1, normalization)
    x = max_pooling(x, 1, "valid")
    x = convolution(x, 2, filters[1], 5, strides[1], **options)
    x = contrast_normalization(x, 2, normalization)
    x = max_pooling(x, 2, "valid")
    for number in remaining((3, 4, 5), without):
        x = convolution(x, number, filters[number - 1], 3, **options)
        x = contrast_normalization(x, number, normalization)
    x = max_pooling(x, 5, "valid")
    if include_top:
        x = dense_top(x, dense_units, without, classes, classifier_activation, kernel_initializer)
    return load_weights(keras.Model(inputs, x, name=name), weights)
