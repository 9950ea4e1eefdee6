"""Values in errors."""

from typing import Any


def short(value: Any) -> str:
    """A value in an error, shortened if it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 100 else f"{text[:97]}..."
