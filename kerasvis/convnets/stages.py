"""Common parts of the paper's convnets: scaled widths, contrast normalisation, the dense top."""

import keras
from keras import layers

from kerasvis.layers.local_response_normalization import LocalResponseNormalization

PAPER_INITIALIZER = {"class_name": "RandomNormal", "config": {"stddev": 1e-2}}  # Section 3
DROPOUT = 0.5  # Section 3
NORMALIZATIONS = ("local_response", "batch", None)
OPTIONAL_LAYERS = (3, 4, 5, 6, 7)  # layers that do not affect the sizes of others


def check_arguments(input_shape, classes, normalization=None, width=1.0):
    """Raises an error for arguments from which no convnet can be built."""
    if len(input_shape) != 3:
        raise ValueError(
            "Give (rows, columns, channels), such as (224, 224, 3). "
            f"Received: input_shape={tuple(input_shape)}"
        )
    if (data_format := keras.config.image_data_format()) != "channels_last":
        raise ValueError(
            "kerasvis supports channels_last only: call "
            "keras.config.set_image_data_format('channels_last') first. "
            f"Received: image_data_format={data_format!r}"
        )
    if normalization not in NORMALIZATIONS:
        raise ValueError(
            "Give 'local_response' (the paper), 'batch', or None. "
            f"Received: normalization={normalization!r}"
        )
    if width <= 0:
        raise ValueError(
            f"Give a positive factor, 1.0 for the paper's convnet. Received: width={width}"
        )
    if classes < 1:
        raise ValueError(f"Give the number of classes, 1 or more. Received: classes={classes}")


def check_layers(filters, without):
    """Raises an error for filters, or layers to leave out, with which no convnet can be built."""
    if len(filters) != 5:
        raise ValueError(
            f"Give five numbers, for conv1 to conv5. Received: filters={tuple(filters)}"
        )
    if any(number not in OPTIONAL_LAYERS for number in without):
        raise ValueError(
            "Give the numbers of layers to leave out, among 3, 4, 5, 6 and 7. "
            f"Received: without={tuple(without)}"
        )


def check_fits(x, window, name):
    """Raises an error if feature maps are smaller than the window of the layer `name`."""
    height, width = x.shape[1:3]
    if any(size is not None and size < window for size in (height, width)):
        raise ValueError(
            f"The input is too small, as {name} has windows of {window}×{window}: give a larger "
            "input_shape, or smaller strides if the convnet has them. "
            f"Received: feature maps of {height}×{width} at {name}"
        )


def scaled(filters, width):
    """The number of filters times `width`, at least 1."""
    return max(1, round(filters * width))


def remaining(numbers, without):
    """Numbers of the layers that are not left out."""
    return [number for number in numbers if number not in without]


def convolution(x, number, filters, kernel_size, strides=1, padding="same", **options):
    """Convolution `number` with fused rectification, named as in Figure 3."""
    name = f"conv{number}"
    if padding == "valid":
        check_fits(x, kernel_size, name)
    return layers.Conv2D(
        filters, kernel_size, strides, padding, activation="relu", name=name, **options
    )(x)


def max_pooling(x, number, padding):
    """Max pooling of stage `number`: 3×3, stride 2."""
    name = f"pool{number}"
    if padding == "valid":
        check_fits(x, 3, name)
    return layers.MaxPooling2D(3, 2, padding, name=name)(x)


def contrast_normalization(x, number, normalization):
    """The normalisation of stage `number`: the paper's after stages 1 and 2, or batch-wise."""
    if normalization == "batch":
        return layers.BatchNormalization(name=f"norm{number}")(x)
    if normalization == "local_response" and number <= 2:
        return LocalResponseNormalization(name=f"norm{number}")(x)
    return x


def dense_top(x, dense_units, without, classes, classifier_activation, kernel_initializer):
    """fc6 and fc7 with dropout, unless left out, and the softmax."""
    x = layers.Flatten(name="flatten")(x)
    for number in remaining((6, 7), without):
        x = layers.Dense(
            dense_units,
            activation="relu",
            kernel_initializer=kernel_initializer,
            name=f"fc{number}",
        )(x)
        x = layers.Dropout(DROPOUT, name=f"dropout{number}")(x)
    return layers.Dense(
        classes,
        activation=classifier_activation,
        kernel_initializer=kernel_initializer,
        name="softmax",
    )(x)


def load_weights(model, weights):
    """Loads a `.weights.h5` file written by `model.save_weights`, if one is given."""
    if weights is not None:
        model.load_weights(weights)
    return model
