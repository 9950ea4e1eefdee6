"""Errors that name an option as the user typed it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def told_as(option: str, given: str | Path | None, argument: str = "") -> Iterator[None]:
    """A context whose errors end with the option as typed, not with the object that it names."""
    try:
        yield
    except ValueError as error:
        sentence, is_told, found = str(error).rpartition(" Received: ")
        is_of_argument = found.startswith(argument) and not found.startswith(option)
        if given is None or not is_told or not is_of_argument:
            raise
        raise ValueError(f"{sentence} Received: {option}={given}") from error
