"""SqueezeNet v1.1: an ImageNet classifier of 5 MB, which keras.applications lacks."""

import os
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kerasvis.convnets.stages import check_arguments, check_fits, load_weights, max_pooling

CHANNEL_MEANS = (123.0, 117.0, 104.0)  # RGB, in [0, 255], in the training of published weights
FIRE_MODULES = {  # name: (filters of the squeeze layer, of each expand layer)
    "fire2": (16, 64),
    "fire3": (16, 64),
    "fire4": (32, 128),
    "fire5": (32, 128),
    "fire6": (48, 192),
    "fire7": (48, 192),
    "fire8": (64, 256),
    "fire9": (64, 256),
}
POOLED = {"fire3": 3, "fire5": 5}  # module: number of the pooling after it


def SqueezeNet(  # noqa: N802 - named as keras.applications names its builders
    input_shape: Sequence[int | None] = (227, 227, 3),
    classes: int = 1000,
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    classifier_activation: Any = "softmax",
    name: str = "squeezenet",
) -> keras.Model:
    """SqueezeNet v1.1: three overlapping max pools and eight fire modules.

    The model takes raw RGB pixels in [0, 255]. Its first layer, `channel_means`, subtracts the mean
    of each channel. A fire module squeezes with 1×1 filters, then expands with 1×1 and 3×3 filters
    in parallel: `fire2_squeeze1x1`, `fire2_expand1x1`, `fire2_expand3x3`, and their concatenation,
    `fire2`. `kerasvis convert` converts the published weights.

    Args:
        input_shape: `(rows, columns, 3)` in pixels; rows and columns may be None.
        classes: number of classes.
        include_top: whether to append conv10, its global average and the softmax; without them the
            output is `fire9`.
        weights: path of a `.weights.h5` file, or None for random weights.
        classifier_activation: of the last layer; None returns scores.
        name: name of the model.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: if an argument is out of range, or the input is too small for the model.

    Reference:
        Iandola et al. 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters";
        version 1.1, which pools earlier.

    Example:
        >>> import kerasvis as kv
        >>> kv.convnets.SqueezeNet().get_layer("fire9").output.shape
        (None, 13, 13, 512)
    """
    check_arguments(input_shape, classes)
    if input_shape[2] != 3:
        raise ValueError(
            "Give (rows, columns, 3), because the channel means are those of RGB pixels. "
            f"Received: input_shape={tuple(input_shape)}"
        )
    inputs = keras.Input(input_shape, name="pixels")
    means = [-mean for mean in CHANNEL_MEANS]
    x = layers.Rescaling(1.0, offset=means, name="channel_means")(inputs)
    check_fits(x, 3, "conv1")
    x = layers.Conv2D(64, 3, 2, activation="relu", name="conv1")(x)
    x = max_pooling(x, 1, "valid")
    for module, filters in FIRE_MODULES.items():
        x = fire_module(x, module, *filters)
        if module in POOLED:
            x = max_pooling(x, POOLED[module], "valid")
    if include_top:
        x = layers.Dropout(0.5, name="dropout9")(x)
        x = layers.Conv2D(classes, 1, activation="relu", name="conv10")(x)
        x = layers.GlobalAveragePooling2D(name="pool10")(x)
        x = layers.Activation(classifier_activation, name="softmax")(x)
    return load_weights(keras.Model(inputs, x, name=name), weights)


def fire_module(x, name, squeeze_filters, expand_filters):
    x = layers.Conv2D(squeeze_filters, 1, activation="relu", name=f"{name}_squeeze1x1")(x)
    expand1x1 = layers.Conv2D(expand_filters, 1, activation="relu", name=f"{name}_expand1x1")
    expand3x3 = layers.Conv2D(
        expand_filters, 3, padding="same", activation="relu", name=f"{name}_expand3x3"
    )
    return layers.Concatenate(name=name)([expand1x1(x), expand3x3(x)])
