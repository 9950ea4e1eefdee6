"""Makes a model with one image input and one output from a model with several."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kerasvis.graph.keras_calls import calls_in_order
from kerasvis.graph.outputs import named_outputs, output_tensor
from kerasvis.graph.readable import check_readable
from kerasvis.graph.reading import read_graph
from kerasvis.graph.shapes import image_shape
from kerasvis.layers.fixed_value import FixedValue


def image_model(
    model: keras.Model,
    input: str | None = None,
    fixed: Mapping[str, Any] | Any = None,
    output: str | int | None = None,
) -> keras.Model:
    """A model from one image input to one output, with all other inputs held fixed.

    It is an ordinary functional model with the same layers, names and weights, and can be scanned,
    projected, occluded, saved and loaded. `model` does not change.

    Args:
        model: a functional or Sequential `keras.Model`.
        input: name of the image input; by default the only input with rows, columns and channels
            that is not held fixed.
        fixed: `{name: value}` for the other inputs that the output depends on: a number, or an
            array without the batch axis, which is broadcast to the input's shape. If there is only
            one such input, its value alone is enough.
        output: the output: the name of its layer, its key in a dict, or its number; or the name of
            another layer. Required if there are several outputs.

    Returns:
        A `keras.Model`; `model` itself if there is nothing to fix or to choose.

    Raises:
        ValueError: if there is no such input or output, or there are several and none is chosen; if
            a value is missing or does not fit.

    Example:
        >>> import keras
        >>> import kerasvis as kv
        >>> from keras import layers
        >>> image, age = keras.Input((8, 8, 3), name="image"), keras.Input((1,), name="age")
        >>> x = layers.Concatenate()([layers.Flatten()(layers.Conv2D(2, 3)(image)), age])
        >>> both = keras.Model([image, age], layers.Dense(2)(x))
        >>> kv.image_model(both, fixed={"age": 40}).input_shape
        (None, 8, 8, 3)
    """
    check_readable(model)
    target = _target(model, output)
    image = _image_input(model, input, held=fixed if isinstance(fixed, Mapping) else ())
    needed = [x for x in _inputs_below(model, target) if x is not image]
    if not needed and len(model.inputs) == len(model.outputs) == 1 and target is model.outputs[0]:
        return model
    values = _values(model, needed, fixed)
    tensors = {id(x): _fixed(x, values[x.name])(image) for x in needed}
    for call in calls_in_order(model):
        if any(id(x) in tensors for x in call.input_tensors):
            args, kwargs = keras.tree.map_structure(
                lambda x: tensors.get(id(x), x), (call.arguments.args, call.arguments.kwargs)
            )
            outputs = keras.tree.flatten(call.operation(*args, **kwargs))
            tensors.update(zip(map(id, call.outputs), outputs, strict=True))
    made = keras.Model(image, tensors.get(id(target), target), name=model.name)
    image_shape(made)
    return made


def _target(model, output):
    """The output as a Keras tensor."""
    graph = read_graph(model)
    number = output_tensor(model, graph, output)
    if number in graph.outputs:
        return model.outputs[graph.outputs.index(number)]
    for call in calls_in_order(model):
        if call.operation.name == output:
            return call.outputs[0]
    raise ValueError(
        f"{output!r} lies inside a nested model, where a model cannot end: give an output, "
        f"{', '.join(map(repr, named_outputs(model, graph)))}, or a layer of {model.name!r} "
        f"itself. Received: output={output!r}"
    )


def _image_input(model, name, held):
    images = [x for x in model.inputs if len(x.shape) == 4 and x.name not in held]
    found = [x for x in (images if name is None else model.inputs) if name in (None, x.name)]
    if len(found) != 1 or len(found[0].shape) != 4:
        raise ValueError(
            f"The model {model.name!r} takes {described_inputs(model.inputs)}: choose the one of "
            "images (rows, columns, channels), input='name'. Received: "
            f"input={name!r}"
        )
    return found[0]


def _inputs_below(model, target):
    """The inputs that the target depends on."""
    needed = {id(target)}
    for call in reversed(calls_in_order(model)):
        if any(id(x) in needed for x in call.outputs):
            needed.update(id(x) for x in call.input_tensors)
    return [x for x in model.inputs if id(x) in needed]


def _values(model, needed, fixed):
    """`{name: value}` of the inputs to hold fixed."""
    names = [x.name for x in needed]
    if len(names) == 1 and fixed is not None and not isinstance(fixed, Mapping):
        fixed = {names[0]: fixed}
    fixed = dict(fixed or {})
    known = {x.name for x in model.inputs}
    if missing := [x for x in needed if x.name not in fixed]:
        raise ValueError(
            f"The output of {model.name!r} depends on {described_inputs(missing)}, too: give a "
            f"value to hold, fixed={{{missing[0].name!r}: ...}}. Received: fixed={list(fixed)}"
        )
    if unknown := [name for name in fixed if name not in known]:
        raise ValueError(
            f"The model {model.name!r} takes {described_inputs(model.inputs)}: give values of "
            f"these. Received: fixed={unknown!r}"
        )
    return fixed


def _fixed(tensor, value):
    """The `FixedValue` layer that replaces an input."""
    array = _spread(value, tensor.shape[1:])
    is_whole = array is None or "int" not in tensor.dtype or (array == np.rint(array)).all()
    if array is None or not is_whole:
        raise ValueError(
            f"The input {tensor.name!r} takes {tensor.dtype} numbers of shape {tensor.shape[1:]}: "
            f"give such a value, without the batch axis. Received: fixed={{{tensor.name!r}: "
            f"{str(value)[:80]}}}"
        )
    return FixedValue(array.shape, array, dtype=tensor.dtype, name=tensor.name)


def _spread(value, shape):
    """The value as an array of this shape (None: any length); None if it is not one of numbers."""
    try:
        array = np.asarray(value)
        if None in shape:
            fits = all(a in (None, b) for a, b in zip(shape, array.shape, strict=True))
        else:
            array, fits = np.broadcast_to(array, shape), True
        return array if fits and array.dtype.kind in "biuf" and np.isfinite(array).all() else None
    except (TypeError, ValueError):
        return None


def described_inputs(tensors):
    """Inputs by name and shape, for a message."""
    return " and ".join(f"{x.name!r} {tuple(x.shape[1:])}" for x in tensors)
