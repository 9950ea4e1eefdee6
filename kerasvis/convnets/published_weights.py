"""Weights that others published, brought into the convnets here.

The archives hold `<layer>/kernel` (rows, columns, input channels, filters) and `<layer>/bias`, as
their authors trained them: on inputs of another order and scale. The convnets here take raw RGB
pixels, so the first layer's kernel is rewritten to give the same answers on those.
"""

import numpy as np

from kerasvis.convnets.alexnet import AlexNet
from kerasvis.convnets.squeezenet import SqueezeNet
from kerasvis.storage.files import read_npz

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB, of pixels / 255, as AlexNet's trunk was trained
IMAGENET_STD = (0.229, 0.224, 0.225)
ALEXNET_TRUNK_FILTERS = (64, 192, 384, 256, 256)


def squeezenet_from_published(arrays):
    """SqueezeNet v1.1 with its published weights.

    They take BGR pixels minus a mean for each channel; here the order of the channels is turned
    round in conv1's kernel.

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

    They take RGB pixels / 255 minus a mean over a standard deviation; here the factors go into
    conv1's kernel, and the mean into the layer `pixel_mean`. (conv1 pads with zeros, which is the
    mean on either side.)

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
    """The arrays of an `.npz` archive: `{name: array}`.

    Raises:
        ValueError: if there is no such file, or it is not an archive of arrays.
    """
    return read_npz(filepath, "published weights, <layer>/kernel and <layer>/bias of each layer")


def check_arrays(model, arrays):
    """Refuses arrays that are not those of the model's convolutions, each of its shape."""
    shapes = {name: tuple(weight.shape) for name, weight in convolution_weights(model).items()}
    missing, unknown = sorted(shapes.keys() - arrays), sorted(arrays.keys() - shapes)
    if missing:
        raise ValueError(
            f"{missing[0]} is missing from the weights ({len(missing)} of {len(shapes)} arrays "
            f"are): give those of {model.name}."
        )
    if unknown:
        raise ValueError(f"{unknown[0]} is none of {model.name}'s weights: give its own.")
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(
                f"{name} has shape {arrays[name].shape}, but {model.name}'s has {shape}: give the "
                "weights of that net."
            )


def with_arrays(model, arrays):
    """The model, its convolutions' weights set to the arrays."""
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
