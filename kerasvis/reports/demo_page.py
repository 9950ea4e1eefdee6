"""The first page of `kerasvis demo`, which leads to all that it made."""

import importlib.resources
import os
from pathlib import Path

from kerasvis.reports import pages
from kerasvis.storage.files import write_bytes, write_text


def write_demo_page(directory: str | os.PathLike) -> Path:
    """Writes the first page of a demonstration, to be opened from disk.

    Args:
        directory: folder that holds what `kerasvis demo` made: `gallery`, `explanation`,
            `evolution`, `features` and `occlusion`.

    Returns:
        Path of the page, `index.html`.

    Raises:
        OSError: if it cannot be written.
    """
    directory = Path(directory)
    for file in importlib.resources.files("kerasvis.reports").joinpath("static").iterdir():
        write_bytes(directory / file.name, file.read_bytes())
    write_text(directory / "index.html", pages.demo_page())
    return directory / "index.html"
