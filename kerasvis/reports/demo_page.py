"""The start page of `kerasvis demo`, with links to all of its results."""

import importlib.resources
import os
from pathlib import Path

from kerasvis.reports import pages
from kerasvis.storage.files import write_bytes, write_text


def write_demo_page(directory: str | os.PathLike) -> Path:
    """Writes the start page of a demonstration, to be opened from disk.

    Args:
        directory: folder with the results of `kerasvis demo`: `gallery`, `explanation`,
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
