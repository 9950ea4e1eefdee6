"""Derivatives by automatic differentiation, which is different for each backend of Keras."""

from collections.abc import Callable, Sequence
from typing import Any

import keras


def vector_jacobian_product(
    function: Callable, inputs: Sequence[Any], signal: Any
) -> list[Any | None]:
    """Multiplies a signal by the derivative of a function.

    Args:
        function: function from the inputs to one tensor.
        inputs: float tensors at which the derivative is taken.
        signal: tensor of the shape and dtype of the output.

    Returns:
        For each input, the derivative of `sum(signal * output)` with respect to it; None if there
        is none, for example because the function rounds the input.
    """
    return output_and_pullback(function, inputs)[1](signal)


def has_derivative(function: Callable, inputs: Sequence[Any]) -> bool:
    """Whether a function has a derivative by any of its inputs.

    Args:
        function: from the inputs to one tensor.
        inputs: float tensors at which it is tried.

    Returns:
        False where there is none by any input, as of whole numbers. True as well where the function
        cannot be called on such tensors, which tells nothing.
    """
    try:
        output, pullback = output_and_pullback(function, inputs)
        return any(part is not None for part in pullback(keras.ops.ones_like(output)))
    except Exception:  # whatever a layer of the user's raises on numbers that are no images
        return True


def output_and_pullback(function: Callable, inputs: Sequence[Any]) -> tuple[Any, Callable]:
    """The output of a function, and a function for its vector-Jacobian products.

    Args:
        function: function from the inputs to one tensor.
        inputs: float tensors.

    Returns:
        `(output, pullback)`: `pullback(signal)` returns the same as `vector_jacobian_product`.
    """
    return _BY_BACKEND[keras.backend.backend()](function, list(inputs))


def _by_tensorflow(function, inputs):
    import tensorflow as tf

    inputs = [tf.identity(x) for x in inputs]  # a tensor that is given twice has two derivatives
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        output = function(*inputs)
    return output, lambda signal: tape.gradient(output, inputs, signal)


def _by_torch(function, inputs):
    import torch

    with torch.enable_grad():
        inputs = [x.detach().requires_grad_() for x in inputs]
        output = function(*inputs)

    def pullback(signal):
        if not output.requires_grad:
            return [None] * len(inputs)
        return list(torch.autograd.grad(output, inputs, signal, allow_unused=True))

    return output.detach(), pullback


def _by_jax(function, inputs):
    import jax

    output, pullback = jax.vjp(function, *inputs)
    return output, lambda signal: list(pullback(signal))


_BY_BACKEND = {"tensorflow": _by_tensorflow, "torch": _by_torch, "jax": _by_jax}
