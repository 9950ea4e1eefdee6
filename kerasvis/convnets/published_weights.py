"""Converts published weights for the convnets of this package.

The archives contain `<layer>/kernel` (rows, columns, input channels, filters) and `<layer>/bias`,
trained on inputs with another channel order and scale. The convnets here take raw RGB pixels, so
the first layer's kernel is converted to return the same outputs on these.
"""

import numpy as np

from kerasvis.convnets.alexnet import AlexNet
from kerasvis.convnets.squeezenet import SqueezeNet
from kerasvis.storage.files import read_npz

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB, of pixels / 255, in the training of AlexNet's trunk
IMAGENET_STD = (0.229, 0.224, 0.225)
ALEXNET_TRUNK_FILTERS = (64, 192, 384, 256, 256)


def squeezenet_from_published(arrays):
    """SqueezeNet v1.1 with its published weights.

    The published weights expect BGR pixels minus a mean for each channel. Here the channels of
    conv1's kernel are reversed.

    Args:
        arrays: `{name: array}`, as from `read_arrays`.

    Returns:
        A `keras.Model`, as from `SqueezeNet()`, that takes raw RGB pixels.

    Raises:
        ValueError: if arrays are missing, unknown, or of another shape.
    """
    model = SqueezeNet()
    check_arrays(model, arrays)
    kernel = arrays["conv1/kernel"]
    return with_arrays(model, arrays | {"conv1/kernel": kernel[:, :, ::-1]})


def alexnet_trunk_from_published(arrays):
    """The convolution layers of the single-tower AlexNet with their published weights.

    The published weights expect RGB pixels / 255, minus a mean, divided by a standard deviation.
    Here conv1's kernel includes the scale, and the layer `pixel_mean` the mean. (conv1 pads with
    zeros, which represent the mean in both cases.)

    Args:
        arrays: `{name: array}`, as from `read_arrays`.

    Returns:
        A `keras.Model`, as from `AlexNet(include_top=False, normalization=None)`, that takes raw
        RGB pixels.

    Raises:
        ValueError: if arrays are missing, unknown, or of another shape.
    """
    model = AlexNet(include_top=False, filters=ALEXNET_TRUNK_FILTERS, normalization=None)
    check_arrays(model, arrays)
    scale = 255.0 * np.array(IMAGENET_STD)
    kernel = arrays["conv1/kernel"] / scale[:, None]
    mean = model.get_layer("pixel_mean").mean
    mean.assign(np.broadcast_to(255.0 * np.array(IMAGENET_MEAN), mean.shape))
    return with_arrays(model, arrays | {"conv1/kernel": kernel})


FROM_PUBLISHED = {
    "squeezenet": squeezenet_from_published,
    "alexnet": alexnet_trunk_from_published,
}


def read_arrays(filepath):
    """Reads the arrays of an `.npz` archive: `{name: array}`.

    Raises:
        ValueError: if there is no such file, or it is not an archive of arrays.
    """
    return read_npz(filepath, "published weights, <layer>/kernel and <layer>/bias of each layer")


def check_arrays(model, arrays):
    """Raises an error unless the arrays are those of the model's convolutions."""
    shapes = {name: tuple(weight.shape) for name, weight in convolution_weights(model).items()}
    missing, unknown = sorted(shapes.keys() - arrays), sorted(arrays.keys() - shapes)
    if missing:
        raise ValueError(
            f"{missing[0]} is missing from the weights: give those of {model.name}. Received: "
            f"{len(shapes) - len(missing)} of {len(shapes)} arrays"
        )
    if unknown:
        raise ValueError(
            f"{model.name} has no weights {unknown[0]}: give those of {model.name}. "
            f"Received: {', '.join(unknown[:3])}{', ...' if len(unknown) > 3 else ''}"
        )
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(
                f"The shape of {name} is {shape} in {model.name}: give the weights of "
                f"{model.name}. Received: shape {arrays[name].shape}"
            )


def with_arrays(model, arrays):
    """The model, with the weights of its convolutions set to the arrays."""
    for name, weight in convolution_weights(model).items():
        weight.assign(arrays[name])
    return model


def convolution_weights(model):
    """`{"<layer>/kernel" or "<layer>/bias": weight}`."""
    return {
        f"{layer.name}/{kind}": getattr(layer, kind)
        for layer in model.layers
        if hasattr(layer, "kernel")
        for kind in ("kernel", "bias")
    }
