"""Where a command writes: checked before any work, made when there is something to write."""

import contextlib
import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path


def check_output_folder(
    folder: Path,
    option: str = "--out",
    *,
    inputs: Iterable[str | Path] = (),
    files: Iterable[str] = (),
) -> None:
    """Refuses a folder that cannot be written into; nothing is made.

    Args:
        folder: the folder, which need not exist.
        option: by which it was given.
        inputs: files and folders that are read; none of them may lie in the folder, where a file
            that is written could replace them.
        files: names of the files that will be written into it.

    Raises:
        ValueError: if it cannot be made or written into, or an input lies in it.
    """
    for path in map(Path, inputs):
        if path.exists() and holds(folder, path):
            raise ValueError(
                f"The output folder holds the input {path}, which could be replaced: give another "
                f"{option}. Received: {option}={folder}"
            )
    if reason := why_not_writable(folder):
        raise ValueError(
            f"The output folder cannot be written to ({reason}): give another {option}. Received: "
            f"{option}={folder}"
        )
    for name in files:
        if (folder / name).is_dir():
            raise ValueError(
                f"The output folder holds a folder {name}, where a file of that name is to be: "
                f"take it away, or give another {option}. Received: {option}={folder}"
            )


def check_output_file(filepath: Path, suffix: str, option: str = "--out") -> None:
    """Refuses a file that cannot be written; nothing is made.

    Raises:
        ValueError: if its name does not end in `suffix`, it is a folder, or its folder cannot be
            written into.
    """
    if filepath.suffix != suffix:
        raise ValueError(
            f"The output file has to end in {suffix}: give such a name. Received: "
            f"{option}={filepath}"
        )
    check_output_folder(filepath.parent, option, files=[filepath.name])


def holds(folder: Path, path: Path) -> bool:
    """Whether files written into `folder` could replace `path`, or a file in it."""
    folder, path = folder.resolve(), path.resolve()
    return folder == path or folder in path.parents


def why_not_writable(folder: Path) -> str | None:
    """Why a folder cannot be made or written into, or None."""
    try:
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not existing.is_dir():
            return f"{existing} is a file"
    except (OSError, StopIteration) as error:
        return getattr(error, "strerror", None) or "there is no such place"
    return None if os.access(existing, os.W_OK | os.X_OK) else f"{existing} is read-only"


@contextlib.contextmanager
def output_folder(folder: Path) -> Iterator[Path]:
    """Makes a folder to write into; where nothing came into it, an error takes it away again."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    except BaseException:
        with contextlib.suppress(OSError):  # rmdir refuses what holds anything
            for path in missing:
                path.rmdir()
        raise


def result_names(files: Iterable[str], taken: Iterable[str] = ()) -> tuple[str, ...]:
    """The name of each file's results, without an ending: no two alike, none of those `taken`."""
    from kerasvis.data.file_names import unique_names

    taken = tuple(taken)
    return unique_names([*taken, *files])[len(taken) :]


def layer_names(layers: Iterable[str], taken: Iterable[str] = ()) -> tuple[str, ...]:
    """The name of each layer's results, as `result_names`; layers' names may hold dots."""
    return result_names([f"{layer.replace('/', '-')}.npz" for layer in layers], taken)


def save_figure(figure, filepath: Path) -> None:
    """Writes a PNG atomically."""
    from kerasvis.storage.files import atomic

    with atomic(filepath) as temporary:
        figure.savefig(temporary, format="png")


def write_csv(header: Sequence, rows: Iterable[Sequence], filepath: Path) -> None:
    """Writes a table atomically."""
    from kerasvis.storage.files import write_text

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(filepath, text.getvalue())
