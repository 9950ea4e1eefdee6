"""What the paper's convnets share: scaled widths, contrast normalisation, the dense top."""

import keras
from keras import layers

from kerasvis.layers.local_response_normalization import LocalResponseNormalization

PAPER_INITIALIZER = {"class_name": "RandomNormal", "config": {"stddev": 1e-2}}  # Section 3
DROPOUT = 0.5  # Section 3
NORMALIZATIONS = ("local_response", "batch", None)
MAY_BE_LEFT_OUT = (3, 4, 5, 6, 7)  # layers on which the sizes of others do not depend


def check_arguments(input_shape, classes, normalization=None, width=1.0):
    """Refuses what no convnet here can be built from."""
    if len(input_shape) != 3:
        raise ValueError(
            f"input_shape is {tuple(input_shape)}: give (rows, columns, channels), as (224, 224, "
            "3)."
        )
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "Keras is set to channels_first, but kerasvis works on channels_last only: call "
            "keras.config.set_image_data_format('channels_last') first."
        )
    if normalization not in NORMALIZATIONS:
        raise ValueError(
            f"normalization is {normalization!r}: give 'local_response' (the paper), 'batch', or "
            "None."
        )
    if width <= 0:
        raise ValueError(f"width is {width}: give a positive factor, 1.0 for the paper's net.")
    if classes < 1:
        raise ValueError(f"classes is {classes}: give the number of classes, 1 or more.")


def check_layers(filters, without):
    """Refuses numbers of filters, and layers to leave out, of which no net here can be made."""
    if len(filters) != 5:
        raise ValueError(f"filters is {tuple(filters)}: give five numbers, for conv1 to conv5.")
    if any(number not in MAY_BE_LEFT_OUT for number in without):
        raise ValueError(
            f"without is {tuple(without)}: give numbers of layers to leave out, among 3, 4, 5, 6 "
            "and 7."
        )


def check_fits(x, window, name):
    """Refuses feature maps that hold no window of so many cells on either side."""
    height, width = x.shape[1:3]
    if any(size is not None and size < window for size in (height, width)):
        raise ValueError(
            f"The input is too small: {name} has windows of {window}×{window} cells, but feature "
            f"maps of {height}×{width} arrive there: give a larger input_shape, or smaller strides "
            "where the net has them."
        )


def scaled(filters, width):
    """The number of filters at `width` times the paper's, at least 1."""
    return max(1, round(filters * width))


def kept(numbers, without):
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
    """The normalisation of stage `number`: as in the paper after stages 1 and 2, or batch-wise."""
    if normalization == "batch":
        return layers.BatchNormalization(name=f"norm{number}")(x)
    if normalization == "local_response" and number <= 2:
        return LocalResponseNormalization(name=f"norm{number}")(x)
    return x


def dense_top(x, dense_units, without, classes, classifier_activation, kernel_initializer):
    """fc6 and fc7 with dropout, as far as they are not left out, and the softmax."""
    x = layers.Flatten(name="flatten")(x)
    for number in kept((6, 7), without):
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
    """Loads a `.weights.h5` file written by `model.save_weights`, when one is given."""
    if weights is not None:
        model.load_weights(weights)
    return model
