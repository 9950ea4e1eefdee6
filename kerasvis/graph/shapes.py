"""The shapes of the tensors of a graph, for any size of the input."""

import keras

from kerasvis.graph.readable import check_readable
from kerasvis.graph.replaying import replay


def infer_shapes(graph, nodes, model, size=None):
    """Infers tensor shapes without running or changing the model.

    Args:
        graph: the model's `Graph`.
        nodes: the nodes to follow, in order.
        model: the model that was read.
        size: `(height, width)` of the input in pixels; by default the model's own, in which an
            unknown length stays None.

    Returns:
        `{tensor number: shape}`; the batch axis is that of the model's input, usually None.
    """
    inputs = {}
    for number, tensor in zip(graph.inputs, model.inputs, strict=True):
        shape = tensor.shape
        if size is not None and len(shape) == 4:
            shape = (shape[0], *size, shape[3])
        inputs[number] = keras.KerasTensor(shape, dtype=tensor.dtype)

    def specify(node, args, kwargs):
        return node.layer.compute_output_spec(*args, **kwargs)

    return {number: tuple(x.shape) for number, x in replay(nodes, inputs, specify).items()}


def image_shape(model: keras.Model) -> tuple[int | None, ...]:
    """`(rows, columns, channels)` of the model's only input.

    Args:
        model: a `keras.Model`.

    Returns:
        Tuple of numbers; None for a length that is not fixed.

    Raises:
        ValueError: if the model has no graph of layers, more than one input, or an input that is
            not a channels-last image.
    """
    check_readable(model)
    if len(model.inputs) != 1:
        inputs = ", ".join(f"{x.name!r} {tuple(x.shape[1:])}" for x in model.inputs)
        raise ValueError(
            f"The model {model.name!r} has {len(model.inputs)} inputs, {inputs}, but one input of "
            "images was expected: hold the others fixed, model = kerasvis.image_model(model, "
            "fixed={name: value})."
        )
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4:
        raise ValueError(
            f"The model {model.name!r} takes inputs of shape {shape}, but images (batch, rows, "
            "columns, channels) were expected: kerasvis works on convnets with two spatial axes."
        )
    check_channels_last(model)
    return shape[1:]


def check_channels_last(model):
    """Raises a ValueError if a layer of the model is channels-first."""
    for layer in model._flatten_layers():
        if getattr(layer, "data_format", None) == "channels_first":
            raise ValueError(
                f"Layer {layer.name!r} is channels-first, but kerasvis supports channels-last "
                "models only: rebuild the model with data_format='channels_last' (the kernels are "
                "the same)."
            )
