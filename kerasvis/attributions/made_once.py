"""What a method makes of a model for any images, made once for many calls of the method.

A method is a function of images, and compiles a gradient of the model whenever it is called. Where
it is called for one part of the images after the other, all calls can share that.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import keras


def _made(function, model, *arguments):
    return function(model, *arguments)


_make: contextvars.ContextVar[Callable] = contextvars.ContextVar("make", default=_made)


def made_once(function: Callable, model: keras.Model, *arguments: Any) -> Any:
    """`function(model, *arguments)`, or within `sharing` what it returned before.

    Args:
        function: returns what serves all images.
        model: a `keras.Model`.
        *arguments: what can be a key of a dict.
    """
    return _make.get()(function, model, *arguments)


@contextlib.contextmanager
def sharing(made: dict) -> Iterator[None]:
    """Within it, methods share what they make.

    Args:
        made: where it is kept, with the models; empty at first.
    """

    def make(function, model, *arguments):
        key = (function, id(model), arguments)
        if key not in made:
            found = function(model, *arguments)
            if hasattr(found, "fills_batches"):
                found.fills_batches = True
            made[key] = model, found
        return made[key][1]

    with _making(make):
        yield


@contextlib.contextmanager
def uncompiled() -> Iterator[None]:
    """Within it methods compile nothing: for a single image they are faster so."""

    def make(function, model, *arguments):
        found = function(model, *arguments)
        if isinstance(found, keras.Model):
            found.run_eagerly = True
        return found

    with _making(make):
        yield


@contextlib.contextmanager
def _making(make):
    token = _make.set(make)
    try:
        yield
    finally:
        _make.reset(token)
