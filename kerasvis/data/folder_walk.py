"""The photographs in a folder, and what could not be read."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kerasvis.data.file_names import shown_name
from kerasvis.data.photographs import reason_of
from kerasvis.storage.written_names import written_names

SUFFIXES = tuple(
    """
    .apng .bmp .gif .jfif .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tif .tiff .webp
    """.split()
)


class FolderContents(NamedTuple):
    """The contents of a folder, each sorted by path; names that begin with a dot are left out.

    Attributes:
        photographs: tuple of `Path`s, files with one of `SUFFIXES`, intact or not.
        others: tuple of `Path`s of the other files.
        folders: tuple of `Path`s.
        unread: tuple of `(path, reason)`: folders that cannot be read, and broken links.
    """

    photographs: tuple[Path, ...]
    others: tuple[Path, ...]
    folders: tuple[Path, ...]
    unread: tuple[tuple[Path, str], ...]


def is_folder(path: str | os.PathLike) -> bool | None:
    """Whether a path is a folder; None if it does not exist.

    Raises:
        ValueError: if this is unknown, such as for a name that is too long.
    """
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ValueError(
            f"The path cannot be read ({reason_of(error)}): give one that this user may read. "
            f"Received: {shown_name(path)}"
        ) from error
    except ValueError:  # characters that no path can have
        return None


def list_folder(directory: str | os.PathLike[str]) -> FolderContents:
    """The direct contents of a folder; links are followed, results of earlier runs left out.

    Raises:
        OSError: if the folder cannot be read.
    """
    photographs: list[Path] = []
    others: list[Path] = []
    folders: list[Path] = []
    unread: list[tuple[Path, str]] = []
    results = written_names(directory)
    with os.scandir(os.fspath(directory)) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = Path(directory, entry.name)
            if entry.name.startswith(".") or entry.name in results:
                continue
            if _is_folder(entry):
                folders.append(path)
            elif path.suffix.lower() in SUFFIXES:
                photographs.append(path)
            elif entry.is_symlink() and (reason := _why_broken(path)):
                unread.append((path, reason))
            else:
                others.append(path)
    return FolderContents(tuple(photographs), tuple(others), tuple(folders), tuple(unread))


def find_photographs(directory: str | os.PathLike) -> FolderContents:
    """The contents of a folder and its subfolders; links are followed, but not to parent folders.

    A folder that is named like a photograph, and contains none, counts as unread.
    """
    photographs: list[Path] = []
    others: list[Path] = []
    folders: list[Path] = []
    unread: list[tuple[Path, str]] = []
    for contents in _walk(Path(directory)):
        photographs += contents.photographs
        others += contents.others
        folders += contents.folders
        unread += contents.unread
    with_photographs = {folder for path in photographs for folder in path.parents}
    reported = {path for path, _ in unread}
    unread += [
        (path, "a folder, not a photograph")
        for path in folders
        if path.suffix.lower() in SUFFIXES and path not in with_photographs | reported
    ]
    return FolderContents(
        tuple(sorted(photographs, key=_in_order)),
        tuple(sorted(others, key=_in_order)),
        tuple(sorted(folders, key=_in_order)),
        tuple(sorted(unread, key=lambda item: _in_order(item[0]))),
    )


def holds_photographs(directory: str | os.PathLike) -> bool:
    """Whether a folder or its subfolders contain a photograph."""
    return any(contents.photographs for contents in _walk(Path(directory)))


def _walk(directory: Path) -> Iterator[FolderContents]:
    waiting: list[tuple[Path, frozenset]] = [(directory, frozenset())]
    while waiting:
        folder, above = waiting.pop()
        try:
            status = os.stat(folder)
            identity = (status.st_dev, status.st_ino)
            if identity in above:  # a link to a parent folder
                continue
            contents = list_folder(folder)
        except OSError as error:
            yield FolderContents((), (), (), ((folder, reason_of(error)),))
            continue
        yield contents
        waiting += [(path, above | {identity}) for path in contents.folders]


def _in_order(path):
    return path.as_posix()


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:  # opening it reports the reason
        return False


def _why_broken(path):
    try:
        os.stat(path)
    except OSError as error:
        return reason_of(error)
    return None
