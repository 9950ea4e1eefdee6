"""Derivatives by the backend's own differentiation, which Keras has no common name for."""

from collections.abc import Callable, Sequence
from typing import Any

import keras


def vector_jacobian_product(
    function: Callable, inputs: Sequence[Any], signal: Any
) -> list[Any | None]:
    """Pulls a signal back through a function.

    Args:
        function: from the inputs to one tensor.
        inputs: float tensors at which it is derived.
        signal: tensor of the shape and dtype of the output.

    Returns:
        For each input the derivative by it of the sum of `signal` times the output; None where
        there is none, as of whole numbers.
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
    """What a function returns, and what pulls a signal of that shape back through it.

    Args:
        function: from the inputs to one tensor.
        inputs: float tensors.

    Returns:
        `(output, pullback)`: `pullback(signal)` returns what `vector_jacobian_product` does.
    """
    return _BY_BACKEND[keras.backend.backend()](function, list(inputs))


def _by_tensorflow(function, inputs):
    import tensorflow as tf

    inputs = [tf.identity(x) for x in inputs]  # one tensor given twice has two derivatives
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
