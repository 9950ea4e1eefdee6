"""Short digests that identify models, images, settings and files."""

import hashlib
import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

LONGEST_LIST = 8  # elements of an array that is compared as a list
SIZE = 16  # bytes of a digest; twice as many hexadecimal digits


def digest(parts: Iterable[Any]) -> str:
    """A short hexadecimal digest of arrays, and of other values by their `str`."""
    hasher = hashlib.blake2b(digest_size=SIZE)
    for part in parts:
        if isinstance(part, np.ndarray):
            hasher.update(f"{part.dtype} {part.shape}".encode())
            hasher.update(np.ascontiguousarray(part).tobytes())
        else:
            hasher.update(f"{part}\n".encode(errors="surrogatepass"))
    return hasher.hexdigest()


def file_digest(filepath: str | os.PathLike) -> str:
    """A short hexadecimal digest of the content of a file.

    Raises:
        OSError: if it cannot be read.
    """
    with open(filepath, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=SIZE)).hexdigest()


def as_json(value: Any) -> Any:
    """A value as plain JSON data, which can be written and compared; equal values give equal data.

    Arrays become digests, or lists if they are short; tuples become lists; anything else that JSON
    cannot represent, NaN and infinity included, becomes its `str`.
    """
    if isinstance(value, np.ndarray | np.generic):
        return as_json(value.tolist()) if value.size <= LONGEST_LIST else digest([value])
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, bool | int | float | str | None) else str(value)
