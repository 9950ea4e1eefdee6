"""Files that are written whole or not at all."""

import contextlib
import os
from pathlib import Path


@contextlib.contextmanager
def whole_file(filepath):
    """Gives the path of a file to write, beside `filepath`; puts it in its place at the end.

    Raises:
        OSError: if it cannot be written; what was at `filepath` before is still there.
    """
    filepath = Path(filepath)
    # Keras and NumPy look at the suffix, so that of the file has to stay.
    beside = filepath.with_name("writing-" + filepath.name)
    try:
        yield beside
        os.replace(beside, filepath)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise OSError(
            f"{filepath} cannot be written ({error.strerror or error}): make room there or give "
            "another folder, and start again; what was saved before is whole."
        ) from error


def write_text(filepath, text):
    """Writes a UTF-8 text file, whole or not at all."""
    with whole_file(filepath) as beside:
        beside.write_text(text, encoding="utf-8")
