"""Which files of a folder are results, so that they are never mistaken for input.

A folder may contain both results and photographs. A hidden file lists the names of the results, and
a search for photographs skips them.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from kerasvis.storage.text_files import parse_json, read_text

LIST = ".kerasvis-results.json"


def written_names(folder: str | os.PathLike) -> frozenset[str]:
    """Names of the files and folders in a folder that are results; none without a list."""
    try:
        names = parse_json(read_text(Path(folder) / LIST))
        return frozenset(map(str, names))
    except (OSError, ValueError, TypeError):  # the list is missing or cannot be read
        return frozenset()


def add_written_names(folder: str | os.PathLike, names: Iterable[str]) -> None:
    """Adds results that will be written to a folder to its list."""
    known = written_names(folder)
    if not known.issuperset(names := frozenset(names)):
        from kerasvis.storage.files import write_text  # here, since it imports NumPy

        write_text(Path(folder) / LIST, json.dumps(sorted(known | names), indent=0) + "\n")
