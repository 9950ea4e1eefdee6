"""A model with a graph of layers, made of one that has none yet."""

import keras

from kerasvis.graph.nodes import check_model, described

OUTPUT = "output"


def is_unbuilt(model: keras.Model) -> bool:
    """Whether it is a Sequential model that does not know the shape of its images yet."""
    return isinstance(model, keras.Sequential) and not model.built and bool(model.layers)


def build_for(model: keras.Sequential, image_shape: tuple) -> None:
    """Builds a Sequential model that was given no `Input`, as `model.build` does.

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
            f"The model {model.name!r} cannot be built for these images: give others, or build it, "
            f"model.build((None, height, width, channels)). Received: images of shape "
            f"{tuple(image_shape)}, {str(error).splitlines()[0]}"
        ) from error


def one_node_model(model: keras.Model, image_shape: tuple) -> keras.Model:
    """A functional model whose only layer is a model without a graph of its own.

    It shares the weights. Its outputs can be watched: `"output"`, the keys of a dict that the model
    returns, or `"output_1"` and so on of several; and the first of them by the model's own name.

    Args:
        model: a subclassed `keras.Model`.
        image_shape: `(rows, columns, channels)` of the images.

    Raises:
        ValueError: if Keras cannot trace it.
    """
    check_model(model)
    images = keras.Input(image_shape, name="images")
    try:
        outputs = model(images)
    except Exception as error:  # whatever code of the user's raises on a symbolic tensor
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
    return keras.Model(images, named if len(named) > 1 else named[0], name=f"{model.name}_outputs")
