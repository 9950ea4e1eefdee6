"""The command line: all commands, their errors and exit codes; run by `kerasvis.__main__`."""

import _thread
import contextlib
import os
import signal
import sys
import threading
import typing
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn

import cyclopts
from cyclopts import Parameter
from cyclopts.exceptions import (
    CoercionError,
    ConsumeMultipleError,
    MissingArgumentError,
    RepeatArgumentError,
    UnusedCliTokensError,
)

import kerasvis
from kerasvis.commands.ablate import ablate
from kerasvis.commands.compare import compare
from kerasvis.commands.convert import convert
from kerasvis.commands.correspondence import correspondence
from kerasvis.commands.demo import demo
from kerasvis.commands.diagnose import diagnose
from kerasvis.commands.evolution import evolution
from kerasvis.commands.explain import explain
from kerasvis.commands.export import export
from kerasvis.commands.features import features
from kerasvis.commands.fidelity import fidelity
from kerasvis.commands.gallery import gallery
from kerasvis.commands.info import info
from kerasvis.commands.invariance import invariance
from kerasvis.commands.occlusion import occlusion
from kerasvis.commands.train import train
from kerasvis.commands.transfer import transfer
from kerasvis.commands.unit_invariance import unit_invariance
from kerasvis.storage.escaping import escaped

LONGEST_RECEIVED = 80  # characters of a value that an error repeats


def shown_default(value: object) -> str | None:
    """A default as it would be typed; None for defaults that are not shown."""
    if isinstance(value, tuple):
        value = " ".join(map(str, value))
    return str(value) if value or (value == 0 and value is not False) else None


application = cyclopts.App(
    "kerasvis",
    version=kerasvis.__version__,
    help="Show what a trained Keras convnet has learned, after Zeiler & Fergus (2013).",
    default_parameter=Parameter(
        consume_multiple=(1, None),
        negative=(),
        json_list=False,
        json_dict=False,
        allow_repeating=True,
        show_default=shown_default,
    ),
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
)
for command in (
    demo,
    features,
    gallery,
    occlusion,
    explain,
    compare,
    diagnose,
    evolution,
    invariance,
    unit_invariance,
    correspondence,
    fidelity,
    transfer,
    train,
    ablate,
    convert,
    export,
    info,
):
    application.command(command)


@application.command
def completion(shell: typing.Literal["bash", "zsh", "fish"], /) -> None:
    """Print a script with which a shell completes commands and options.

    For bash: `kerasvis completion bash > ~/.local/share/bash-completion/completions/kerasvis`.

    Args:
        shell: bash, zsh or fish.
    """
    print(application.generate_completion(shell=shell))


def run(arguments: Sequence[str]) -> None:
    """Runs a command.

    A user's mistake is reported in one sentence on stderr with exit code 2. An interruption has
    exit code 130.

    Args:
        arguments: the command's name and its options, as on the command line.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # names that cannot be printed are shown escaped
            stream.reconfigure(errors="backslashreplace")
    with noted_interruptions() as interruptions:
        try:
            application(list(arguments))
        except (Exception, KeyboardInterrupt) as error:
            if interruptions or isinstance(error, KeyboardInterrupt):
                print("Interrupted.", file=sys.stderr)
                sys.exit(130)
            end(error)


@contextlib.contextmanager
def noted_interruptions() -> Iterator[list[int]]:
    """A list to which Ctrl-C adds, because TensorFlow may turn the interruption into an error.

    Python ignores an interruption that falls into a destructor or the callback of a weak reference:
    the main thread is interrupted again a moment later.
    """
    noted: list[int] = []
    again: list[threading.Timer] = []
    show_ignored = sys.unraisablehook

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        noted.append(number)
        raise KeyboardInterrupt

    def ignored(unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            again.append(threading.Timer(0.01, _thread.interrupt_main))
            again[-1].start()
        else:
            show_ignored(unraisable)

    is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not is_usual or threading.current_thread() is not threading.main_thread():
        yield noted
        return
    signal.signal(signal.SIGINT, interrupt)
    sys.unraisablehook = ignored
    try:
        yield noted
    finally:
        for timer in again:
            timer.cancel()
        sys.unraisablehook = show_ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)


def end(error: BaseException) -> NoReturn:
    """Ends the process with the sentence of an error; re-raises errors that are not the user's."""
    if isinstance(error, cyclopts.CycloptsError):
        sys.exit(fail(sentence_of(error)))
    if isinstance(error, BrokenPipeError):  # the reader has stopped, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    if isinstance(error, ValueError | OSError | ImportError):
        sys.exit(fail(error))
    if isinstance(error, MemoryError):
        sys.exit(fail(f"There is not enough memory: give a smaller batch or fewer images. {error}"))
    raise error


def fail(error: Exception | str) -> int:
    """Prints the sentence of an error on one line, escaped; returns the exit code."""
    print(escaped(" ".join(str(error).split())), file=sys.stderr)
    return 2


def sentence_of(error: cyclopts.CycloptsError) -> str:
    """What is wrong with the options, what to do, and what was received."""
    option = error.argument.name if error.argument else None
    token = getattr(error, "token", None)
    if isinstance(error, CoercionError) and option and token:
        return f"{option} takes {expected(error)}. Received: {option}={shortened(token.value)}"
    if isinstance(error, MissingArgumentError | ConsumeMultipleError) and option:
        _, near, hint = str(error).partition("Did you mean ")  # of an option that was misspelt
        ending = f". {near}{hint}" if near else "; --help lists the options."
        return f"{number_expected(error, option)}{ending}"
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        unused = shortened(error.unused_tokens[0])
        return f"No option takes {unused!r}; --help lists the options."
    plain = " ".join(str(error).split())
    if isinstance(error, RepeatArgumentError):
        return f"{error.token.keyword} was given twice: give it once, with all of its values."
    return plain if plain.endswith("?") else f"{plain.rstrip('.')}; see --help."


def expected(error: CoercionError) -> str:
    """What an option accepts, as the end of a sentence."""
    if error.msg is not None:
        return str(error.msg)
    if choices := typing.get_args(error.target_type):
        return f"one of {', '.join(map(str, choices))}"
    if error.target_type is bool:
        return "true or false"
    return f"a {error.target_type.__name__}" if error.target_type else "another value"


def number_expected(error: MissingArgumentError | ConsumeMultipleError, option: str) -> str:
    """How many values an option takes."""
    if isinstance(error, ConsumeMultipleError):
        least, most = error.min_required, error.max_allowed
        wanted = f"{least} to {most} values" if most else f"{least} or more values"
        return f"{option} takes {wanted}, not {error.actual_count}"
    count = error.argument.token_count()[0] if error.argument else 1
    if count > 1 and error.tokens_so_far:
        return f"{option} takes {count} values, not {len(error.tokens_so_far)}"
    return f"{option} takes a value" if error.keyword else f"{option} is required"


def shortened(text: str) -> str:
    """A value, shortened if it is long."""
    return text if len(text) <= LONGEST_RECEIVED else f"{text[:LONGEST_RECEIVED]}…"
