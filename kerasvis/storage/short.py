"""Values in error messages."""

from typing import Any


def short(value: Any) -> str:
    """The `repr` of a value for an error message, shortened if it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 100 else f"{text[:97]}..."
