"""Saves the completed parts of a long computation, so that an interrupted run can resume.

The policy is the same for every folder of parts:

- All parts are computed from the same model, images and settings. A run with others raises an error
  that names what differs, before anything is computed or changed.
- A part is trusted if its checksum is right. Missing and damaged parts are computed again.
- Only one run can write at a time; a second one raises an error.
- Temporary files that a killed run left behind are removed by the next run.

A hidden file, `JOURNAL`, states what the parts are computed from, and has a line with the name and
checksum of each part. A part's line is written before its file is put in place, so that every file
has a line at any time. Every line begins with a checksum of its own.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from kerasvis.storage.files import (
    atomic,
    read_npz,
    remove_temporary_files,
    save_npz,
    write_errors,
    write_if_changed,
)
from kerasvis.storage.fingerprints import SIZE, as_json, digest, file_digest
from kerasvis.storage.locks import locked
from kerasvis.storage.results import Result

JOURNAL = ".kerasvis-parts"
IS_DIGEST = re.compile(f"[0-9a-f]{{{2 * SIZE}}}")
LONGEST_SHOWN = 60  # characters of a setting in the message on what differs

SomeResult = TypeVar("SomeResult", bound=Result)


class Parts:
    """The parts of one computation, in a folder.

    A part is a file. Its name is a path within the folder; it contains arrays, a `Result`, or
    whatever is written in a block of `writing`. A part may be rewritten, like the state of a scan;
    if the process is killed meanwhile, the part has either its old or its new content.

    Args:
        directory: path of the folder, which is created if necessary and may contain other files;
            None to compute everything and save nothing.
        computed_from: function without arguments that returns `{name: value}` of everything that
            the parts depend on, for example `{"model": digest, "images": digest, "seed": 3}`.
            Values are compared as `kerasvis.storage.fingerprints.as_json` represents them; names
            and short values appear in the message on what differs. Without a folder, it is not
            called. None, for a reader only, accepts parts of any computation.
        is_writer: whether this process writes. Of several processes that work together, one does;
            the others read the existing parts, and do not lock the folder.

    Raises:
        ValueError: on entering the `with` block, if the folder contains the parts of another
            computation, or its journal is damaged.
        OSError: likewise, if another run is writing to the folder, or it cannot be written to.

    Example:
        >>> import numpy as np
        >>> from kerasvis.storage.parts import Parts
        >>> with Parts("parts", lambda: {"images": np.arange(3), "factor": 2}) as parts:
        ...     doubled = parts.arrays("first.npz", lambda: {"doubled": np.arange(3) * 2})
        >>> with Parts("parts", lambda: {"images": np.arange(3), "factor": 2}) as parts:
        ...     parts.arrays("first.npz", lambda: 1 / 0)  # read, not computed again
        {'doubled': array([0, 2, 4])}
    """

    def __init__(
        self,
        directory: str | os.PathLike | None,
        computed_from: Callable[[], Mapping[str, Any]] | None,
        *,
        is_writer: bool = True,
    ):
        self.directory = None if directory is None else Path(directory)
        self._computed_from, self._is_writer = computed_from, is_writer
        self._checksums: dict[str, set[str]] = {}  # {name of a part: those its file may have}
        self._of: dict[str, Any] = {}  # {name of a part: what only this part is computed from}
        self._cleaned: set[Path] = set()

    def __enter__(self) -> Self:
        if self.directory is not None:
            self._header = None if self._computed_from is None else as_json(self._computed_from())
            self._may_go = not self.directory.exists()  # if nothing is written to it
            with ExitStack() as stack:
                if self._is_writer:
                    stack.enter_context(locked(self.directory))
                self._read_journal()
                if self._is_writer:
                    self._write_journal()
                self._clean(self.directory)
                self._stack = stack.pop_all()
        return self

    def __exit__(self, exception_type: type | None, *exception: object) -> None:
        if self.directory is None or not self._is_writer:
            return
        with self._stack:
            if not self._checksums:
                self._journal.unlink(missing_ok=True)
            elif exception_type is None:
                self._write_journal()  # the same bytes however often the run was interrupted
        if self._may_go and not os.listdir(self.directory):
            self.directory.rmdir()

    def path(self, name: str) -> Path:
        """The path of a part, whether its file exists or not."""
        if self.directory is None:
            raise RuntimeError("Parts without a folder have no files.")
        return self.directory / name

    def is_complete(self, name: str) -> bool:
        """Whether the file of a part exists and is undamaged."""
        if self.directory is None:
            return False
        self._clean(self.path(name).parent)
        try:
            return file_digest(self.path(name)) in self._checksums.get(name, ())
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return False

    def names(self, beginning: str = "") -> list[str]:
        """Names of the parts that were written, in order; only those with this beginning."""
        return sorted(name for name in self._checksums if name.startswith(beginning))

    def is_damaged(self, name: str) -> bool:
        """Whether a part was written, but its file is now missing or damaged."""
        return name in self._checksums and not self.is_complete(name)

    def arrays(
        self, name: str, compute: Callable[[], Mapping[str, np.ndarray]]
    ) -> Mapping[str, np.ndarray]:
        """The arrays of a part: read if it is complete, otherwise computed and written.

        Args:
            name: name of the part, ending in `.npz`.
            compute: function without arguments that returns `{name: array}`.

        Raises:
            OSError: if the part cannot be written.
        """
        if (arrays := self.load(name)) is not None:
            return arrays
        computed = compute()
        self.save(name, computed)
        return computed

    def result(
        self,
        name: str,
        kind: type[SomeResult],
        compute: Callable[[], SomeResult],
        of: Mapping[str, Any] | None = None,
    ) -> SomeResult:
        """The `Result` of a part: read if it is complete, otherwise computed and written.

        Args:
            name: name of the part, ending in `.npz`; `kind.load` reads its file.
            kind: the class of the result.
            compute: function without arguments that returns it.
            of: `{name: value}` of what only this part is computed from, for example its image if
                each image has a part.

        Raises:
            ValueError: if the existing part was computed from another `of`.
            OSError: if the part cannot be written.
        """
        self.check_part(name, of or {})
        arrays = self.load(name)
        if arrays is not None:
            try:
                return kind.from_arrays(arrays)
            except ValueError:  # written by another version of the package: computed again
                pass
        result = compute()
        self.save(name, result.to_arrays())
        return result

    def check_part(self, name: str, of: Mapping[str, Any]) -> None:
        """Checks what an existing part was computed from, as `result` does.

        Raises:
            ValueError: if it was computed from another `of`.
        """
        if self.directory is None:
            return
        of = as_json(of)
        differences = differing(self._of.get(name, of), of)
        if differences and self.path(name).exists():
            raise ValueError(
                f"{self.path(name)} was computed from another {' and another '.join(differences)}: "
                "give the same again, delete the file, or give another folder. Received: "
                f"directory={str(self.directory)!r}"
            )
        self._of[name] = of

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays of a part, or None if it is missing or damaged."""
        return read_npz(self.path(name), f"the part {name}") if self.is_complete(name) else None

    def save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Writes the arrays of a part; without a folder, does nothing.

        Raises:
            OSError: if it cannot be written; the existing file stays intact.
        """
        if self.directory is not None:
            with self.writing(name) as temporary:
                save_npz(temporary, arrays)

    def write(self, name: str, content: bytes) -> None:
        """Writes a part of any kind; see `writing`."""
        with self.writing(name) as temporary:
            temporary.write_bytes(content)

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Yields a temporary path to write a part to; at the end of the block, it is complete.

        Raises:
            OSError: if it cannot be written; the existing file stays intact.
        """
        path = self.path(name)
        with write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._clean(path.parent)
        with atomic(path) as temporary:
            yield temporary
            checksum = file_digest(temporary)
            self._add(name, checksum)
        self._checksums[name] = {checksum}

    def record(self, name: str) -> None:
        """Makes a file that was written atomically by other means a part, with its present content.

        Raises:
            OSError: if it cannot be read, or the journal cannot be written.
        """
        if self.directory is not None:
            with write_errors(self._journal):
                self._add(name, file_digest(self.path(name)))

    def _add(self, name, checksum):
        self._checksums.setdefault(name, set()).add(checksum)
        with open(self._journal, "ab") as file:
            file.write(_line([name, checksum, self._of.get(name, {})]))

    def discard(self, name: str) -> None:
        """Deletes a part that is no longer needed, like the state of a finished scan.

        Raises:
            OSError: if it cannot be deleted.
        """
        if self.directory is not None:
            self.path(name).unlink(missing_ok=True)
            self._checksums.pop(name, None)
            self._of.pop(name, None)

    def remove(self) -> None:
        """Deletes all parts, once their result is written; on exit, also the folder if it is empty.

        Raises:
            OSError: if a file cannot be deleted.
        """
        for name in self._checksums:
            self.path(name).unlink(missing_ok=True)
        self._checksums, self._of, self._may_go = {}, {}, True

    @property
    def _journal(self):
        return self.directory / JOURNAL

    def _read_journal(self):
        if self._journal.exists():
            header, *lines = self._journal.read_bytes().split(b"\n")
            self._check(header)
            for line in lines:
                with suppress(ValueError):  # the line is damaged or incomplete
                    name, checksum, self._of[name] = _content(line)
                    self._checksums.setdefault(name, set()).add(checksum)

    def _write_journal(self):
        """Rewrites the journal, sorted and without outdated or damaged lines."""
        parts = [
            [name, checksum, self._of.get(name, {})]
            for name, checksums in sorted(self._checksums.items())
            for checksum in sorted(checksums)
        ]
        write_if_changed(self._journal, b"".join(map(_line, [self._header, *parts])))

    def _check(self, header):
        received = f"Received: directory={str(self.directory)!r}"
        try:
            earlier = _content(header)
        except ValueError as error:
            raise ValueError(
                f"{self._journal} is damaged, so it is unknown what the files in the folder were "
                f"computed from: delete the folder, or give another one. {received}"
            ) from error
        differences = [] if self._header is None else differing(earlier, self._header)
        if differences:
            raise ValueError(
                f"The folder {self.directory} contains files that were computed from other "
                f"{' and other '.join(differences)}: give the same again, delete the folder, or "
                f"give another one. {received}"
            )

    def _clean(self, folder):
        if self._is_writer and folder not in self._cleaned:
            self._cleaned.add(folder)
            remove_temporary_files(folder)


def differing(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names, and short values, of what differs; of nested values, only the first difference."""
    names = [name for name in {**now, **earlier} if earlier.get(name) != now.get(name)]
    return [name + _shown(earlier.get(name), now.get(name)) for name in names]


def _shown(earlier, now):
    if isinstance(earlier, dict) and isinstance(now, dict):
        return f", {differing(earlier, now)[0]}"
    if any(isinstance(value, str) and IS_DIGEST.fullmatch(value) for value in (earlier, now)):
        return ""
    texts = [json.dumps(value, ensure_ascii=False) for value in (earlier, now)]
    is_short = max(map(len, texts)) <= LONGEST_SHOWN
    return f" ({texts[0]} there, {texts[1]} here)" if is_short else ""


def _line(content):
    text = json.dumps(content, sort_keys=True)
    return f"{digest([text])} {text}\n".encode()


def _content(line):
    """The parsed content of a journal's line; raises a ValueError if it is damaged."""
    checksum, _, text = line.decode("ascii").partition(" ")
    if checksum != digest([text]):
        raise ValueError("the line is damaged")
    return json.loads(text)
