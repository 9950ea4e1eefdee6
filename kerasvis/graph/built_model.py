"""Makes a model with a graph of layers from one that has none yet."""

import keras

from kerasvis.graph.readable import check_model, check_readable, described, has_graph

OUTPUT = "output"


def readable_model(
    model: keras.Model, image_shape: tuple | None = None, *, needs_graph: bool = True
) -> keras.Model:
    """A model whose graph of layers can be read.

    Args:
        model: a `keras.Model`. A Sequential model without an input shape is built for the images;
            any other model does not change.
        image_shape: `(rows, columns, channels)` of the images, or None if there are no images.
        needs_graph: if False, a subclassed model is also accepted, see `one_node_model`.

    Returns:
        The model, or a functional model around a subclassed one.

    Raises:
        ValueError: if it is not a model, or has no graph and its input shape is unknown.
    """
    check_model(model)
    if is_unbuilt(model) and image_shape is not None:
        build_for(model, image_shape)
    if needs_graph or has_graph(model) or is_unbuilt(model):
        check_readable(model)
        return model
    image_shape = image_shape or _built_for(model)
    if image_shape is None:
        check_readable(model)
    return one_node_model(model, image_shape)


def is_unbuilt(model: keras.Model) -> bool:
    """Whether a model is a Sequential one without an input shape."""
    return isinstance(model, keras.Sequential) and not model.built and bool(model.layers)


def _built_for(model):
    """`(rows, columns, channels)` for which a subclassed model was built; None if it was not."""
    shape = (model.get_build_config() or {}).get("input_shape") if model.built else None
    is_image = isinstance(shape, tuple | list) and len(shape) == 4
    return tuple(shape[1:]) if is_image else None


def build_for(model: keras.Sequential, image_shape: tuple) -> None:
    """Builds a Sequential model that has no `Input`, as `model.build` does.

    Args:
        model: the model, which has no weights yet.
        image_shape: `(rows, columns, channels)` of the images.

    Raises:
        ValueError: if it cannot be built for such images.
    """
    try:
        model.build((None, *image_shape))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"The model {model.name!r} cannot be built for these images: give others, or build it: "
            f"model.build((None, height, width, channels)). Received: images of shape "
            f"{tuple(image_shape)}, {str(error).splitlines()[0]}"
        ) from error


class OneNodeModel(keras.Model):
    """A functional model whose only layer is a model without a graph; see `one_node_model`."""


def one_node_model(model: keras.Model, image_shape: tuple) -> OneNodeModel:
    """A functional model whose only layer is a model without a graph of its own.

    It shares the weights. Its outputs can be analysed by name: `"output"`, or `"output_1"` and so
    on if there are several, or the keys of the dict that the model returns. The name of the model
    itself also refers to the first of them.

    Args:
        model: a subclassed `keras.Model`.
        image_shape: `(rows, columns, channels)` of the images.

    Returns:
        A `OneNodeModel`.

    Raises:
        ValueError: if Keras cannot trace it.
    """
    images = keras.Input(image_shape, name="images")
    try:
        outputs = model(images)
    except Exception as error:  # user code may raise anything on a symbolic tensor
        raise ValueError(
            f"The model {model.name!r} cannot be traced for images {tuple(image_shape)}: write its "
            f"call() with keras.ops, without NumPy. Received: model={described(model)}, "
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        ) from error
    if not isinstance(outputs, dict):
        flat = keras.tree.flatten(outputs)
        names = [OUTPUT] if len(flat) == 1 else [f"{OUTPUT}_{i + 1}" for i in range(len(flat))]
        outputs = dict(zip(names, flat, strict=True))
    named = [keras.layers.Identity(name=name)(tensor) for name, tensor in outputs.items()]
    outputs = named if len(named) > 1 else named[0]
    return OneNodeModel(images, outputs, name=f"{model.name}_outputs")
