"""Reads small text files that a person wrote, and raises for anything else."""

import json
import os
from pathlib import Path
from typing import Any

LARGEST = 50_000_000  # bytes


def read_text(filepath: str | os.PathLike) -> str:
    """The text of a UTF-8 file, without the byte order mark that spreadsheets write first.

    Raises:
        OSError: if it cannot be read, or is not a regular file.
        ValueError: if it is not UTF-8, or larger than `LARGEST`.
    """
    filepath = Path(filepath)
    status = filepath.stat()
    if not filepath.is_file():
        raise OSError(0, "it is not a file", str(filepath))
    if status.st_size > LARGEST:
        raise ValueError(f"it is larger than {LARGEST:,} bytes")
    return filepath.read_text(encoding="utf-8-sig")


def parse_json(text: str) -> Any:
    """Parses JSON.

    Raises:
        ValueError: if it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
