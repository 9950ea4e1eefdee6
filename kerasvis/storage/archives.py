"""Zip archives that come from elsewhere, `.keras` and `.npz` files, looked at before they are read.

Python's reader never unpacks more of a member than the archive's directory states, so that what is
checked here bounds the memory.
"""

import os
import zipfile
from typing import Any

from kerasvis.storage.text_files import LARGEST, parse_json

# Neither Keras nor `np.savez` compresses; `np.savez_compressed` reaches 1000 with zeros alone.
LARGEST_RATIO = 200
ALWAYS_TAKEN = 2**30  # bytes, unpacked


def check_archive(filepath: str | os.PathLike) -> None:
    """Refuses a decompression bomb: above 1 GiB, an archive unpacks to 200 times its size at most.

    Raises:
        ValueError: if the archive is one, or damaged.
        OSError: if it cannot be read.
    """
    with _opened(filepath) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > max(ALWAYS_TAKEN, LARGEST_RATIO * os.path.getsize(filepath)):
        raise ValueError(f"it unpacks to {unpacked:,} bytes, as a decompression bomb does")


def read_json(filepath: str | os.PathLike, name: str) -> Any:
    """What a JSON member of an archive says.

    Args:
        filepath: path of the archive.
        name: of the member.

    Raises:
        ValueError: if it is missing, too large, nested too deeply or no JSON, or the archive is
            damaged.
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
