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
    return _BY_BACKEND[keras.backend.backend()](function, list(inputs), signal)


def _by_tensorflow(function, inputs, signal):
    import tensorflow as tf

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        output = function(*inputs)
    return tape.gradient(output, inputs, signal)


def _by_torch(function, inputs, signal):
    import torch

    with torch.enable_grad():
        inputs = [x.detach().requires_grad_() for x in inputs]
        output = function(*inputs)
        if not output.requires_grad:
            return [None] * len(inputs)
        return list(torch.autograd.grad(output, inputs, signal, allow_unused=True))


def _by_jax(function, inputs, signal):
    import jax

    return list(jax.vjp(function, *inputs)[1](signal))


_BY_BACKEND = {"tensorflow": _by_tensorflow, "torch": _by_torch, "jax": _by_jax}
