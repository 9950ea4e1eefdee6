"""The start page of `kerasvis demo`, with links to all of its results."""

import os
from pathlib import Path

from kerasvis.reports import pages
from kerasvis.reports.static_files import write_static_files
from kerasvis.storage.files import write_text


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
    write_static_files(directory)
    write_text(directory / "index.html", pages.demo_page())
    return directory / "index.html"
