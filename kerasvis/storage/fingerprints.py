"""Short digests by which models, images and settings are known again."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np


def digest(parts: Iterable[Any]) -> str:
    """A short hexadecimal digest of arrays and of anything with a telling `str`."""
    hasher = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            hasher.update(f"{part.dtype} {part.shape}".encode())
            hasher.update(np.ascontiguousarray(part).tobytes())
        else:
            hasher.update(f"{part}\n".encode(errors="surrogateescape"))
    return hasher.hexdigest()
