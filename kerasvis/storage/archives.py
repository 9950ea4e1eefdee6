"""Checks `.keras` and `.npz` files, which are zip archives of unknown origin, before they are read.

Python's reader never unpacks more of a member than the archive's directory states. Checking these
sizes therefore limits the memory that reading takes.
"""

import os
import zipfile
from typing import Any

from kerasvis.storage.text_files import LARGEST, parse_json

# Keras and `np.savez` do not compress; `np.savez_compressed` reaches 1000 for arrays of zeros.
LARGEST_RATIO = 200
ALWAYS_ACCEPTED = 2**30  # bytes, unpacked


def check_archive(filepath: str | os.PathLike) -> None:
    """Refuses a decompression bomb: more than 1 GiB, and more than 200 times the archive's size.

    Raises:
        ValueError: if the archive is one, or is damaged.
        OSError: if it cannot be read.
    """
    with _opened(filepath) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > max(ALWAYS_ACCEPTED, LARGEST_RATIO * os.path.getsize(filepath)):
        raise ValueError(f"it unpacks to {unpacked:,} bytes, as a decompression bomb does")


def read_json(filepath: str | os.PathLike, name: str) -> Any:
    """Reads a JSON member of an archive.

    Args:
        filepath: path of the archive.
        name: name of the member.

    Raises:
        ValueError: if the member is missing, too large, nested too deeply or not JSON, or the
            archive is damaged.
        OSError: if it cannot be read.
    """
    with _opened(filepath) as archive:
        if name not in archive.namelist():
            raise ValueError(f"it has no {name}")
        size = archive.getinfo(name).file_size
        if size > LARGEST:
            raise ValueError(f"its {name} has {size:,} bytes, more than {LARGEST:,}")
        try:
            return parse_json(archive.read(name).decode("utf-8"))
        except (ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise ValueError(f"its {name} cannot be read: {error}") from error


def _opened(filepath):
    try:
        return zipfile.ZipFile(filepath)
    except (zipfile.BadZipFile, ValueError) as error:
        raise ValueError(f"it is damaged: {error}") from error
