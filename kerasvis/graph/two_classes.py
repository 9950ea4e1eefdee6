"""Scores for both classes of a model with a single unit for two classes."""

import keras
import numpy as np
from keras import layers, ops

from kerasvis.graph.keras_calls import call_of
from kerasvis.graph.readable import check_readable, is_nested_model


def two_class_model(model: keras.Model) -> keras.Model:
    """Makes a model with a score for each class from one whose single unit distinguishes two.

    The last dense layer, with kernel w, is replaced by one of the same name with kernel [-w, w].
    The score of class 0 is then the negative of that of class 1, and their probabilities are 1 − p
    and p. All layers below are shared. `kerasvis.attribute` and `kerasvis.compare_methods` accept
    the model, with `Unit(0)` and `Unit(1)` as the classes. The given model does not change.

    Args:
        model: a functional or Sequential `keras.Model` that ends in a `Dense` layer of one unit,
            with or without a sigmoid.

    Returns:
        A `keras.Model` with the same inputs and an output `(batch, 2)`.

    Raises:
        ValueError: if the model ends in anything else.

    Example:
        >>> import keras
        >>> import kerasvis as kv
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
        >>> model.add(keras.layers.Dense(1, activation="sigmoid"))
        >>> kv.two_class_model(model).output_shape
        (None, 2)
    """
    check_readable(model)
    if len(model.outputs) != 1:
        raise ValueError(
            f"The model {model.name!r} has {len(model.outputs)} outputs: choose one, "
            "kerasvis.image_model(model, output='name')."
        )
    inputs = model.inputs[0] if len(model.inputs) == 1 else model.input
    return keras.Model(inputs, _both(model, model.outputs[0]), name=model.name)


def _both(model, tensor):
    """The scores of both classes, which replace a tensor with the score of class 1."""
    call = call_of(tensor)
    layer = call.operation
    if type(layer) is layers.Dense and layer.units == 1 and _is_symmetric(layer.activation):
        return _dense_of_both(layer)(*call.input_tensors)
    if type(layer) is layers.Activation and _is_symmetric(layer.activation):
        return layer(_both(model, *call.input_tensors))
    if is_nested_model(layer) and len(layer.outputs) == 1:
        return two_class_model(layer)(*call.arguments.args, **call.arguments.kwargs)
    raise ValueError(
        f"The model {model.name!r} ends in {layer.name!r} ({type(layer).__name__}), but a Dense "
        "layer of one unit with or without a sigmoid was expected: give a model that ends in one."
    )


def _is_symmetric(activation):
    """Whether it maps a score and its negative to x and −x, or to p and 1 − p."""
    scores = np.linspace(-9, 9, 37).astype("float32")
    sums = ops.convert_to_numpy(activation(ops.convert_to_tensor(scores)))
    sums = sums + sums[::-1]
    return bool(np.abs(sums - sums.mean().round()).max() < 1e-5)


def _dense_of_both(layer):
    both = layers.Dense(
        2, layer.activation, layer.use_bias, dtype=layer.dtype_policy, name=layer.name
    )
    both.build((None, layer.kernel.shape[0]))
    values = [layer.kernel, layer.bias] if layer.use_bias else [layer.kernel]
    values = [ops.convert_to_numpy(value) for value in values]
    both.set_weights([np.concatenate([-value, value], axis=-1) for value in values])
    return both
