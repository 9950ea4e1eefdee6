"""Which files of a folder are results, so that they are never taken for input.

A folder that holds results may hold photographs, too. A hidden file lists the names of the results
in it; whoever searches the folder for photographs leaves these out.
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
    except (OSError, ValueError, TypeError):  # there is no list, or none that can be read
        return frozenset()


def add_written_names(folder: str | os.PathLike, names: Iterable[str]) -> None:
    """Lists results that will be written into a folder, besides those that are listed already."""
    known = written_names(folder)
    if not known.issuperset(names := frozenset(names)):
        from kerasvis.storage.files import write_text  # here, as it starts NumPy

        write_text(Path(folder) / LIST, json.dumps(sorted(known | names), indent=0) + "\n")
