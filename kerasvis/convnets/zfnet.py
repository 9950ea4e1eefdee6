"""The convnet of the paper (Figure 3)."""

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


def ZFNet(  # noqa: N802 - named as keras.applications names its builders
    input_shape: Sequence[int | None] = (224, 224, 3),
    classes: int = 1000,
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    *,
    filters: Sequence[int] = (96, 256, 384, 384, 256),
    width: float = 1.0,
    dense_units: int = 4096,
    without: Collection[int] = (),
    strides: Sequence[int] = (2, 2),
    normalization: str | None = "local_response",
    kernel_initializer: Any = PAPER_INITIALIZER,
    classifier_activation: Any = "softmax",
    name: str = "zfnet",
) -> keras.Model:
    """The paper's convnet: 7×7 stride 2 in layer 1 where AlexNet has 11×11 stride 4.

    The model takes raw pixels in [0, 255]. Its first layer subtracts the per-pixel mean; set it by
    `model.get_layer("pixel_mean").adapt(pixels)`. Layers are named as in Figure 3: `conv1`,
    `pool1`, `norm1`, ... `fc7`, `softmax`.

    Small inputs: keep the filters and reduce `strides`. At 64×64, `strides=(1, 1)` results in the
    paper's own sizes from layer 2 on (26, 13, 6); `strides=(2, 1)` costs a quarter of it. `width`
    and `dense_units` scale the numbers of filters and of dense units.

    Args:
        input_shape: `(rows, columns, channels)` in pixels.
        classes: number of classes.
        include_top: whether to append fc6, fc7 and the softmax; without them the output is pool5.
        weights: path of a `.weights.h5` file, or None for random weights.
        filters: numbers of filters of conv1 to conv5.
        width: multiplier of `filters`.
        dense_units: units in fc6 and in fc7.
        without: numbers of layers to leave out, among 3 to 7, as in the paper's Section 5.1. This
            includes the batch normalisation of a convolution and the dropout of a dense layer, but
            not pool5.
        strides: strides of conv1 and of conv2.
        normalization: `"local_response"`, the paper's, after pool1 and pool2; `"batch"`, batch
            normalisation there and after conv3, conv4 and conv5, with which small models train in
            minutes; or None.
        kernel_initializer: initializer of all kernels; the paper's has standard deviation 1e-2.
        classifier_activation: activation of the last layer; None returns scores.
        name: name of the model.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: if an argument is out of range, or the input is too small for the model.

    Reference:
        Zeiler & Fergus 2013, Figure 3. The padding of 1 in conv1 follows from the sizes given
        there.

    Example:
        >>> import kerasvis as kv
        >>> kv.convnets.ZFNet(dense_units=8).get_layer("conv5").output.shape
        (None, 13, 13, 256)
    """
    check_arguments(input_shape, classes, normalization, width)
    check_layers(filters, without)
    filters = [scaled(n, width) for n in filters]
    options = {"kernel_initializer": kernel_initializer}

    inputs = keras.Input(input_shape, name="pixels")
    x = PixelMean(name="pixel_mean")(inputs)
    x = layers.ZeroPadding2D(1, name="pad1")(x)
    x = convolution(x, 1, filters[0], 7, strides[0], "valid", **options)
    x = max_pooling(x, 1, "same")
    x = contrast_normalization(x, 1, normalization)
    x = convolution(x, 2, filters[1], 5, strides[1], "valid", **options)
    x = max_pooling(x, 2, "same")
    x = contrast_normalization(x, 2, normalization)
    for number in remaining((3, 4, 5), without):
        x = convolution(x, number, filters[number - 1], 3, **options)
        x = contrast_normalization(x, number, normalization)
    x = max_pooling(x, 5, "valid")
    if include_top:
        x = dense_top(x, dense_units, without, classes, classifier_activation, kernel_initializer)
    return load_weights(keras.Model(inputs, x, name=name), weights)
