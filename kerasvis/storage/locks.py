"""A lock that lets only one run at a time write to a folder."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import filelock

LOCK = ".kerasvis-lock"


@contextlib.contextmanager
def locked(directory: str | os.PathLike) -> Iterator[None]:
    """Holds the lock on a folder, which is created if necessary.

    The operating system releases the lock when the process ends, however it ends. An empty file is
    left behind if the folder contains anything else. A thread can lock the same folder again.

    Args:
        directory: path of the folder.

    Raises:
        OSError: if another run holds the lock, or the folder cannot be created or written to.

    Example:
        >>> from kerasvis.storage.locks import locked
        >>> with locked("gallery"):
        ...     pass  # nobody else writes into the folder
    """
    directory = Path(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(directory / LOCK, timeout=0, is_singleton=True)
        lock.acquire()
    except filelock.Timeout as error:
        raise OSError(
            f"Another run is writing into the folder {directory}: wait until it has ended, or give "
            "another folder."
        ) from error
    except OSError as error:
        raise OSError(
            f"The folder {directory} cannot be written to ({error.strerror or error}): make room "
            "there, or give another folder."
        ) from error
    try:
        yield
    finally:
        lock.release()
        if not lock.is_locked and os.listdir(directory) == [LOCK]:
            os.unlink(directory / LOCK)
