"""Writes files atomically: a file has either its old content or all of the new one.

The new content is written to a temporary file in the same folder and flushed to the disk; then the
temporary file replaces the file. The same arrays always give the same bytes. Pickle is never used.
"""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from kerasvis.storage.archives import check_archive

TEMPORARY = "kerasvis-temporary"  # part of the name of every temporary file
IS_TEMPORARY = re.compile(rf"\..*\.[0-9a-f]{{8}}\.{TEMPORARY}.*", re.DOTALL)


@contextlib.contextmanager
def atomic(filepath: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary path to write to; at the end of the block, it replaces `filepath`.

    An exception inside the block, such as an interruption, leaves `filepath` as it was and removes
    the temporary file. Only a killed process leaves one behind.

    Args:
        filepath: path of a file, or of a folder such as a SavedModel.

    Yields:
        The temporary path, in the same folder and with the same suffix.

    Raises:
        OSError: if it cannot be written; existing files stay intact.

    Example:
        >>> from pathlib import Path
        >>> from kerasvis.storage.files import atomic
        >>> with atomic("notes.txt") as temporary:
        ...     _ = temporary.write_text("conv1")
        >>> Path("notes.txt").read_text()
        'conv1'
    """
    filepath = Path(filepath)
    temporary = _temporary_path(filepath)
    try:
        with write_errors(filepath):
            yield temporary
            _flush_to_disk(temporary)
            _replace(temporary, filepath)
    finally:
        _remove(temporary)


@contextlib.contextmanager
def write_errors(filepath: Path) -> Iterator[None]:
    """Turns an OSError inside the block into one that names the file and the remedy."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"{filepath} cannot be written ({error.strerror or error}): make room there or give "
            "another path, and start again. Existing files stay intact."
        ) from error


def remove_temporary_files(folder: str | os.PathLike) -> None:
    """Removes the temporary files that killed runs left in a folder, but not in its subfolders."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for path in Path(folder).iterdir():
            if IS_TEMPORARY.fullmatch(path.name):
                _remove(path)


def write_bytes(filepath: str | os.PathLike, content: bytes) -> None:
    """Writes a file atomically."""
    with atomic(filepath) as temporary:
        temporary.write_bytes(content)


def write_text(filepath: str | os.PathLike, text: str) -> None:
    """Writes a UTF-8 text file atomically."""
    write_bytes(filepath, text.encode("utf-8"))


def write_if_changed(filepath: str | os.PathLike, content: bytes | str) -> bool:
    """Writes a file atomically, and creates its folder, unless the file has this content already.

    Args:
        filepath: path of the file.
        content: bytes, or text, which is encoded as UTF-8. Characters that UTF-8 cannot encode,
            such as undecodable bytes of a file name, become question marks.

    Returns:
        Whether it was written.
    """
    filepath = Path(filepath)
    content = content.encode("utf-8", "replace") if isinstance(content, str) else content
    if filepath.is_file() and filepath.read_bytes() == content:
        return False
    with atomic(filepath) as temporary:
        filepath.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
    return True


def write_npz(
    filepath: str | os.PathLike, arrays: Mapping[str, np.ndarray], compressed: bool = False
) -> None:
    """Writes arrays atomically.

    The bytes depend only on the arrays and their order, as NumPy dates every entry 1980.

    Args:
        filepath: path of the file.
        arrays: `{name: array}`.
        compressed: whether to compress the file, which takes much longer.
    """
    with atomic(filepath) as temporary:
        save_npz(temporary, arrays, compressed)


def save_npz(filepath: Path, arrays: Mapping[str, np.ndarray], compressed: bool = False) -> None:
    """Writes arrays to a temporary path that `atomic` yielded."""
    save = np.savez_compressed if compressed else np.savez
    with open(filepath, "wb") as file:
        save(file, allow_pickle=False, **arrays)


def read_npz(
    filepath: str | os.PathLike, content: str, names: Iterable[str] = ()
) -> dict[str, np.ndarray]:
    """Reads the arrays of a file.

    Args:
        filepath: path of the `.npz` file.
        content: what the file should contain, for the error message.
        names: names of arrays that the file must contain.

    Returns:
        `{name: array}`.

    Raises:
        ValueError: if there is no such file, or it does not contain such arrays.
    """
    received = f"Received: filepath={str(filepath)!r}"
    wrong = f"The file is not an .npz file containing {content}"
    try:
        check_archive(filepath)
        with open(filepath, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise ValueError(
            f"There is no such file: give one that contains {content}. {received}"
        ) from error
    except (PermissionError, IsADirectoryError) as error:
        raise ValueError(
            f"The file cannot be read ({error.strerror}): give one that contains {content}. "
            f"{received}"
        ) from error
    except Exception as error:  # NumPy's reader may raise anything on a file of another kind
        raise ValueError(f"{wrong}: give one that is. {received}") from error
    if missing := [name for name in names if name not in arrays]:
        raise ValueError(f"{wrong}: it has no {missing[0]!r}. {received}")
    return arrays


def _temporary_path(filepath):
    # Keras and NumPy look at the suffix. Names are shortened, as file systems limit their length.
    random = secrets.token_hex(4)
    return filepath.with_name(f".{filepath.stem[:20]}.{random}.{TEMPORARY}{filepath.suffix[:20]}")


def _flush_to_disk(path):
    """Waits until a file, or all files in a folder, are on the disk."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        if not file.is_dir():
            descriptor = os.open(file, os.O_RDWR)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _replace(new, path):
    if not (new.is_dir() and path.is_dir()):
        os.replace(new, path)
        return
    old = _temporary_path(path)  # `os.replace` does not replace a folder that is not empty
    os.replace(path, old)
    try:
        os.replace(new, path)
    except BaseException:
        os.replace(old, path)
        raise
    _remove(old)


def _remove(path):
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
