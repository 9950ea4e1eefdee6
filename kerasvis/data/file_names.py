"""Names of files: how they are displayed, and how result files are named."""

import collections
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from kerasvis.storage.escaping import escaped

MAX_NAME_BYTES = 160  # of a result's name: file systems allow 255, and commands add endings
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\s]+')  # on at least one file system
_RESERVED = re.compile(  # on Windows
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d¹²³])(\..*)?", re.IGNORECASE
)


def shown_name(path: str | os.PathLike) -> str:
    r"""A path as printable text: bytes that are not UTF-8 are escaped.

    Control characters and line breaks are escaped too. Folders are separated by slashes.

    Example:
        >>> from pathlib import Path
        >>> from kerasvis.data.file_names import shown_name
        >>> shown_name(Path("caf\udce9.jpg"))
        'caf\\xe9.jpg'
    """
    text = path.as_posix() if isinstance(path, Path) else os.fspath(path)
    return escaped(text)


def unique_names(paths: Iterable[str | os.PathLike]) -> tuple[str, ...]:
    """A name for the results of each file, without suffix, valid on every file system.

    It is the file's own name, followed by a number if several of `paths` have the same name. Names
    that differ only in case, or in the encoding of accents, count as the same. The names depend on
    the paths and their order alone.

    Args:
        paths: of photographs, each at most once.

    Returns:
        A unique name for each path, of at most `MAX_NAME_BYTES` bytes in UTF-8.

    Example:
        >>> from kerasvis.data.file_names import unique_names
        >>> unique_names(["a/x.png", "b/X.jpg", "y.png"])
        ('x-1', 'X-2', 'y')
    """
    names = [_safe_name(Path(path)) for path in paths]
    times = collections.Counter(map(_key, names))
    taken = {key for key, number in times.items() if number == 1}
    last: collections.Counter = collections.Counter()
    return tuple(name if times[_key(name)] == 1 else _numbered(name, taken, last) for name in names)


def _safe_name(path):
    stem = unicodedata.normalize("NFC", shown_name(path.stem))
    name = _FORBIDDEN.sub("_", stem).strip(". -") or "_"
    name = f"_{name}" if _RESERVED.fullmatch(name) else name
    return _truncated(name, MAX_NAME_BYTES)


def _truncated(name, num_bytes):
    return name.encode()[:num_bytes].decode(errors="ignore").rstrip(". ") or "_"


def _numbered(name, taken, last):
    """The name with the first number that makes it unique; adds it to `taken`.

    `last` contains the last number of each name: all numbers up to it are taken.
    """
    number = last[_key(name)] + 1
    while (key := _key(numbered := _with_number(name, number))) in taken:
        number += 1
    taken.add(key)
    last[_key(name)] = number
    return numbered


def _with_number(name, number):
    return f"{_truncated(name, MAX_NAME_BYTES - len(f'-{number}'))}-{number}"


def _key(name):
    """A key that is equal for names that some file systems do not distinguish."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
