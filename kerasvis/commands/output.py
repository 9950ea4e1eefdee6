"""The output of a command: checked before any work, created when there is something to write."""

import contextlib
import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kerasvis.storage.written_names import LIST, add_written_names, written_names

if TYPE_CHECKING:
    from kerasvis.figures.figure import Figure

FORMULA = ("=", "+", "-", "@")  # beginnings of formulas in a spreadsheet


class OutputFolder:
    """A folder to write into: checked at once, created when writing begins.

    Args:
        folder: the folder, which need not exist.
        option: name of the option.
        inputs: files and folders that are read; none of them may be in the folder, where they could
            be replaced.
        files: names of the files and folders that will be written into it.

    Raises:
        ValueError: if it cannot be made or written into, or an input lies in it.
    """

    def __init__(
        self,
        folder: Path,
        option: str = "--out",
        *,
        inputs: Iterable[str | Path] = (),
        files: Iterable[str] = (),
    ):
        self.folder, self.option = folder, option
        self.files: list[str] = []
        self._received = f"Received: {option}={folder}"
        for path in map(Path, inputs):
            if path.exists() and holds(folder, path):
                raise ValueError(
                    f"The output folder contains the input {path}, which could be replaced: give "
                    f"another {option}. {self._received}"
                )
        if reason := why_not_writable(folder):
            raise ValueError(
                f"The output folder cannot be written to ({reason}): give another {option}. "
                f"{self._received}"
            )
        self.expect(files)

    def expect(self, files: Iterable[str]) -> None:
        """Registers more files and folders that will be written.

        Raises:
            ValueError: if there is something of that name that is not a result of an earlier run.
        """
        for name in files:
            path = self.folder / name
            is_in_the_way = path.exists() and name not in written_names(self.folder)
            if is_in_the_way or (path.suffix and path.is_dir()):
                kind = "folder" if path.is_dir() else "file"
                raise ValueError(
                    f"The output folder contains a {kind} {name} that is not a result of an "
                    f"earlier run and would be replaced: move it, or give another {self.option}. "
                    f"{self._received}"
                )
            self.files.append(name)

    def of_earlier_runs(self) -> list[str]:
        """Names of existing results that this run does not write, formatted by `shown_name`."""
        from kerasvis.data.file_names import shown_name  # here, as it starts NumPy

        names = written_names(self.folder) - {*self.files}
        return sorted(shown_name(name) for name in names if (self.folder / name).exists())

    @contextlib.contextmanager
    def made(self, *more: str) -> Iterator[Path]:
        """Creates the folder and locks it; after an error, a folder without results is removed.

        Args:
            more: names of results that may exist already; their writer registers them.

        Raises:
            OSError: if another run is writing into the folder, or it cannot be written to.
        """
        from kerasvis.storage.files import remove_temporary_files  # here, as it starts NumPy
        from kerasvis.storage.locks import locked

        missing = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        try:
            with locked(self.folder):
                remove_temporary_files(self.folder)
                before, known = set(os.listdir(self.folder)), written_names(self.folder)
                add_written_names(self.folder, [*self.files, *more])
                try:
                    yield self.folder
                except BaseException:
                    if set(os.listdir(self.folder)) <= {*before, LIST}:
                        self._list_only(known)
                    raise
        except BaseException:
            for path in missing:
                with contextlib.suppress(OSError):  # it contains something
                    path.rmdir()
            raise

    def _list_only(self, known: frozenset[str]) -> None:
        """Restores the list of results after a run that wrote nothing."""
        (self.folder / LIST).unlink(missing_ok=True)
        add_written_names(self.folder, known)


def check_output_file(filepath: Path, suffix: str, option: str = "--out") -> OutputFolder:
    """The folder of a file that will be written, or replaced.

    Raises:
        ValueError: if its name does not end in `suffix`, it is a folder, or its folder cannot be
            written into.
    """
    received = f"Received: {option}={filepath}"
    if filepath.suffix != suffix:
        raise ValueError(f"The output file must end in {suffix}: give such a name. {received}")
    if filepath.is_dir():
        raise ValueError(f"The output file is a folder: give another name. {received}")
    return OutputFolder(filepath.parent, option)


def holds(folder: Path, path: Path) -> bool:
    """Whether files written into `folder` could replace `path`, or a file in it."""
    folder, path = (Path(os.path.realpath(each)) for each in (folder, path))  # also in a loop
    return folder == path or folder in path.parents


def why_not_writable(folder: Path) -> str | None:
    """Why a folder cannot be made or written into, or None."""
    try:
        places = (folder, *folder.absolute().parents)
        existing = next(path for path in places if os.path.lexists(path))
        if not existing.exists():
            return f"{existing} is a broken link"
        if not existing.is_dir():
            return f"{existing} is a file"
    except (OSError, StopIteration) as error:
        return getattr(error, "strerror", None) or "there is no such place"
    return None if os.access(existing, os.W_OK | os.X_OK) else f"{existing} is read-only"


def result_names(files: Iterable[str], taken: Iterable[str] = ()) -> tuple[str, ...]:
    """A unique name for each file's results, without an ending and not among `taken`."""
    from kerasvis.data.file_names import unique_names

    taken = tuple(taken)
    return unique_names([*taken, *files])[len(taken) :]


def layer_names(layers: Iterable[str], taken: Iterable[str] = ()) -> tuple[str, ...]:
    """The name of each layer's results, as `result_names`; layers' names may contain dots."""
    return result_names([f"{layer.replace('/', '-')}.npz" for layer in layers], taken)


def save_figure(figure: "Figure", filepath: Path) -> None:
    """Writes a PNG atomically."""
    from kerasvis.storage.files import atomic

    with atomic(filepath) as temporary:
        figure.savefig(temporary, format="png")


def write_csv(header: Sequence, rows: Iterable[Sequence], filepath: Path) -> None:
    """Writes a table atomically.

    Text that a spreadsheet would take for a formula gets an apostrophe in front, by which it shows
    the text; control characters are escaped.
    """
    from kerasvis.storage.files import write_text

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([[_as_text(value) for value in row] for row in rows])
    write_text(filepath, text.getvalue())


def _as_text(value: object) -> object:
    from kerasvis.data.file_names import shown_name

    if not isinstance(value, str):
        return value
    is_formula = value.startswith(FORMULA) and not _is_number(value)
    return ("'" if is_formula else "") + shown_name(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
