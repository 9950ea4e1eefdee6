"""What all commands share: a quiet start, how a user's mistake ends, files written atomically."""

import argparse
import contextlib
import csv
import io
import logging
import os
import sys
from pathlib import Path


class UserError(Exception):
    """A mistake of the user's, told in one sentence that says what to do."""


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that tells a wrong argument like every other mistake."""

    def error(self, message):
        raise UserError(f"{message[0].upper()}{message[1:]}; --help lists what can be given.")


def run(main, parser, arguments=None):
    """Parses arguments, by default those of the command line, and runs `main` on them.

    A `UserError` becomes its sentence on stderr and exit code 2, an interruption exit code 130.
    """
    try:
        parsed = parser.parse_args(arguments)
        import_quietly()
        main(parsed)
    except UserError as error:
        sys.exit(fail(error))
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)


def fail(error):
    """Prints the sentence of an error; returns the exit code."""
    print(" ".join(str(error).split()), file=sys.stderr)
    return 2


@contextlib.contextmanager
def as_user_errors(*types):
    """Turns errors of these types, raised inside the `with` statement, into a `UserError`."""
    try:
        yield
    except types as error:
        raise UserError(error) from error


def import_quietly():
    """Imports Keras without the notes on drivers and instruction sets that come along.

    TensorFlow writes some of them before it reads any setting, past Python's `sys.stderr`.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        import keras  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)


def new_folder(path, argument="--out", *, inputs=()):
    """Makes the folder that an argument names, to write into, before any long work.

    Args:
        path: the folder.
        argument: how it was given.
        inputs: files and folders that are read; none of them may lie in the folder, where a file
            that is written could replace them.

    Raises:
        UserError: if it cannot be made or written to, or an input lies in it.
    """
    folder = Path(path)
    for path in map(Path, inputs):
        if path.exists() and holds(folder, path):
            raise UserError(
                f"The output folder {folder} holds the input {path}, which could be replaced: "
                f"give another {argument}."
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".kerasvis-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"The output folder {folder} cannot be written to ({error.strerror}): give another "
            f"{argument}."
        ) from error
    return folder


def holds(folder, path):
    """Whether files written into `folder` could replace `path`, or a file in it."""
    folder, path = folder.resolve(), path.resolve()
    return folder == path or folder in path.parents


def save_figure(figure, filepath):
    """Writes a PNG atomically."""
    from kerasvis.storage.files import atomic

    with atomic(filepath) as temporary:
        figure.savefig(temporary, format="png")


def write_csv(header, rows, filepath):
    """Writes a table atomically."""
    from kerasvis.storage.files import write_text

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(filepath, text.getvalue())
