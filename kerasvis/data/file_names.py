"""Names of files: how a person is shown them, and which names results get."""

import collections
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

MAX_NAME_BYTES = 160  # of a result's name: file systems take 255, and commands add endings to it
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\s]+')  # on one file system or another
_RESERVED = re.compile(  # on Windows
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d¹²³])(\..*)?", re.IGNORECASE
)


def shown_name(path: str | os.PathLike) -> str:
    r"""A path as text that can be printed and written: what is not UTF-8 is escaped.

    Control characters and ends of lines are escaped too. Folders are separated by slashes.

    Example:
        >>> from pathlib import Path
        >>> from kerasvis.data.file_names import shown_name
        >>> shown_name(Path("caf\udce9.jpg"))
        'caf\\xe9.jpg'
    """
    text = path.as_posix() if isinstance(path, Path) else os.fspath(path)
    return "".join(map(_escaped, text))


def _escaped(character):
    if 0xDC80 <= ord(character) <= 0xDCFF:  # a byte that Python could not decode
        return f"\\x{ord(character) - 0xDC00:02x}"
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return character.encode("unicode_escape").decode()
    return character


def unique_names(paths: Iterable[str | os.PathLike]) -> tuple[str, ...]:
    """A name for the results of each file, without suffix, safe on every file system.

    It is the file's own name where no other one of `paths` gives the same; else with a number.
    Names that differ in case only, or by how an accent is written, count as the same. The names
    follow from the paths and their order alone.

    Args:
        paths: of photographs, each at most once.

    Returns:
        One name for each path, of at most `MAX_NAME_BYTES` bytes in UTF-8, no two the same.

    Example:
        >>> from kerasvis.data.file_names import unique_names
        >>> unique_names(["a/x.png", "b/X.jpg", "y.png"])
        ('x-1', 'X-2', 'y')
    """
    names = [_safe_name(Path(path)) for path in paths]
    times = collections.Counter(map(_key, names))
    taken = {key for key, number in times.items() if number == 1}
    last = collections.Counter()
    return tuple(name if times[_key(name)] == 1 else _numbered(name, taken, last) for name in names)


def _safe_name(path):
    stem = unicodedata.normalize("NFC", shown_name(path.stem))
    name = _FORBIDDEN.sub("_", stem).strip(". -") or "_"
    name = f"_{name}" if _RESERVED.fullmatch(name) else name
    return _cut(name, MAX_NAME_BYTES)


def _cut(name, num_bytes):
    return name.encode()[:num_bytes].decode(errors="ignore").rstrip(". ") or "_"


def _numbered(name, taken, last):
    """The name with the first number that makes it one of its own, which is then taken.

    `last` holds the number that its like got last: all below are taken.
    """
    number = last[_key(name)] + 1
    while (key := _key(numbered := _with_number(name, number))) in taken:
        number += 1
    taken.add(key)
    last[_key(name)] = number
    return numbered


def _with_number(name, number):
    return f"{_cut(name, MAX_NAME_BYTES - len(f'-{number}'))}-{number}"


def _key(name):
    """What two names have in common that some file systems take for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
