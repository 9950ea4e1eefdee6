"""XLA compilation of operations that are much faster when fused, on the TensorFlow backend."""

import contextlib
import contextvars
import functools
import math
import platform

import keras

# XLA takes 0.1 to 0.6 s to compile for each new shape; without it, so few values take about 1 ms.
MIN_VALUES = 100_000

_plain_operations = contextvars.ContextVar("plain_operations", default=False)


@contextlib.contextmanager
def plain_operations():
    """A context in which nothing is compiled by XLA, unless the caller compiles it.

    For tracing a graph that will run in a program without XLA.
    """
    token = _plain_operations.set(True)
    try:
        yield
    finally:
        _plain_operations.reset(token)


def compiled_if_large(function):
    """Decorates `function(windows, *tensors)` to be compiled by XLA on the TensorFlow backend.

    Keras compiles neither eager calls, nor models on machines with CPUs only, nor models under
    `tf.distribute`; without compilation, comparing the elements of pooling windows takes five times
    as long as in one fused pass. If the caller compiles, this changes nothing.

    Small tensors, and those of unknown size, are not compiled, as every new size would need another
    compilation; nor is anything on other backends, or on macOS, whose GPU has no XLA. `windows`
    must be hashable.
    """

    @functools.cache  # one function per shape, as TensorFlow warns about retraced functions
    def compiled(windows, *shapes):
        import tensorflow as tf

        return tf.function(functools.partial(function, windows), jit_compile=True, autograph=False)

    @functools.wraps(function)
    def run(windows, *tensors):
        if _may_compile() and _num_known_values(tensors) >= MIN_VALUES:
            shapes = (tuple(tensor.shape) for tensor in tensors)
            return compiled(windows, *shapes)(*tensors)
        return function(windows, *tensors)

    return run


def _may_compile():
    has_xla = keras.backend.backend() == "tensorflow" and platform.system() != "Darwin"
    return has_xla and not _plain_operations.get()


def _num_known_values(tensors):
    """Number of values of the largest tensor; unknown sizes (such as the batch) count as 1."""
    return max(math.prod(size or 1 for size in tensor.shape) for tensor in tensors)
