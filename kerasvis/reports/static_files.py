"""The style sheet and the script that all pages share."""

import importlib.resources
from pathlib import Path

from kerasvis.storage.files import write_if_changed


def write_static_files(directory: Path) -> None:
    """Writes the style sheet and the script into a folder of pages.

    Raises:
        OSError: if a file cannot be written; existing files stay intact.
    """
    for file in importlib.resources.files("kerasvis.reports").joinpath("static").iterdir():
        write_if_changed(directory / file.name, file.read_bytes())
