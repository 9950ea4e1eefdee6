"""`.npz` files that are written whole or not at all, the same arrays always as the same bytes."""

import os
from pathlib import Path

import numpy as np


def write_npz(filepath, arrays, compressed=False):
    """Writes `{name: array}` beside `filepath`, then puts it in its place.

    The bytes depend on the arrays and their order alone: NumPy dates every entry 1980.

    Args:
        filepath: path of the file.
        arrays: `{name: array}`.
        compressed: whether to save room; it takes much longer.
    """
    filepath = Path(filepath)
    beside = filepath.with_name(filepath.name + ".writing")
    with open(beside, "wb") as file:
        save = np.savez_compressed if compressed else np.savez
        save(file, allow_pickle=False, **arrays)
    os.replace(beside, filepath)


def read_npz(filepath, what, names):
    """Reads the arrays of a file.

    Args:
        filepath: path of the `.npz` file.
        what: what the file should hold, for the error.
        names: names of arrays that have to be there.

    Returns:
        `{name: array}`.

    Raises:
        ValueError: if there is no such file, or it is no archive of such arrays.
    """
    try:
        with open(filepath, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise ValueError(f"There is no file {filepath}: give one that holds {what}.") from error
    except Exception as error:  # whatever a file of some other kind makes NumPy's reader raise
        raise ValueError(f"{filepath} is no .npz file of {what}: give one that is.") from error
    if missing := [name for name in names if name not in arrays]:
        raise ValueError(f"{filepath} is no .npz file of {what}: it has no {missing[0]!r}.")
    return arrays
