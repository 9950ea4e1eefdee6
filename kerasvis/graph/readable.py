"""Whether a model has a graph of layers, and the errors if it has none."""

import os

import keras


def is_nested_model(layer):
    """Whether `layer` is a model whose graph can be opened."""
    return isinstance(layer, keras.Model) and has_graph(layer)


def has_graph(model):
    """Whether a model has a graph of layers that can be read."""
    is_sequential = isinstance(model, keras.Sequential)
    is_functional = is_sequential or hasattr(model, "operations")
    runs_its_graph = type(model).call.__module__.startswith("keras.")  # no user-defined `call`
    return is_functional and runs_its_graph and bool(getattr(model, "inputs", None))


def check_model(model):
    """Raises a ValueError unless it is a Keras model."""
    if isinstance(model, keras.Model):
        return
    remedy = "load it, keras.models.load_model(path)"
    if not isinstance(model, str | os.PathLike):
        remedy = "give the model, or build one"
    raise ValueError(f"A keras.Model was expected: {remedy}. Received: model={described(model)}")


def check_readable(model):
    """Raises a ValueError if the model has no graph of layers."""
    check_model(model)
    if has_graph(model):
        return
    reason, remedy = "is subclassed", "give a functional or Sequential model"
    if isinstance(model, keras.Sequential) and model.built:
        reason, remedy = "holds a layer that Keras cannot trace", "write the layer with keras.ops"
    elif isinstance(model, keras.Sequential):
        reason = "has no input shape yet"
        remedy = "build it, model.build((None, height, width, channels)), or begin it with Input"
    elif hasattr(model, "operations"):
        reason, remedy = "has a call() of its own", "give the functional model without it"
    raise ValueError(
        f"The model {model.name!r} has no graph of layers, as it {reason}: {remedy}. Received: "
        f"model={described(model)}"
    )


def described(model):
    """A model, or what was given in its place, for a message."""
    if isinstance(model, str | int | float | os.PathLike | None):
        return str(model) if model is None else repr(model)
    name = f" {model.name}" if isinstance(model, keras.Layer) else ""
    return f"<{type(model).__name__}{name}>"
