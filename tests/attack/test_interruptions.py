"""Runs that are killed or interrupted at any moment, and disks that are full."""

import os
import signal
import subprocess
import time

import pytest

from kerasvis.storage.files import TEMPORARY
from tests.attack.attacked import (
    COMMANDS,
    Forked,
    arguments_of,
    draw_of,
    lines_of,
    outcome,
    results_of,
    started,
)

KILLS = 20  # of each command: 200 over all


def seconds_of(start, arguments):
    """How long a run takes."""
    with start(["--help"]) as process:
        process.communicate()  # from now on forks come at once
    begin = time.monotonic()
    with start(arguments) as process:
        _, errors = process.communicate()
    assert process.returncode == 0, errors
    return time.monotonic() - begin


def stopped_at(moment, start, arguments, how):
    """The exit code of a run that gets a signal at some moment, and what it printed to stderr."""
    with start(arguments) as process:
        try:
            _, errors = process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            process.send_signal(how)
            _, errors = process.communicate()
    return process.returncode, errors


def kill(command, inputs, finished, folder, moments, start=Forked):
    """Kills runs in one folder at some moments; the last one ends as if nothing had happened."""
    arguments = arguments_of(command, inputs, folder)
    for moment in moments:
        code, errors = stopped_at(moment, start, arguments, signal.SIGKILL)
        assert code in (0, -signal.SIGKILL), errors
    ended = outcome(arguments)
    assert ended.code == 0, ended
    assert results_of(command, folder) == results_of(command, finished(command))


def test_a_kill(inputs, finished, tmp_path):
    kill("occlusion", inputs, finished, tmp_path / "out", [5], started)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_many_kills(command, inputs, finished, tmp_path):
    draw = draw_of()
    length = seconds_of(Forked, arguments_of(command, inputs, tmp_path / "timed"))
    moments = [draw.uniform(0, length) for _ in range(KILLS)]
    kill(command, inputs, finished, tmp_path / "out", moments)


def check_interrupted(moment, arguments, start=Forked):
    """One line and exit code 130, unless the run had ended."""
    code, errors = stopped_at(moment, start, arguments, signal.SIGINT)
    if code == -signal.SIGINT:  # Python's own end after Ctrl-C within `exec`: 130 in a shell
        code = 130
    assert (code, lines_of(errors)) in [(0, []), (130, ["Interrupted."])], moment
    return code == 130


@pytest.mark.slow
def test_ctrl_c(inputs, tmp_path):
    arguments = arguments_of("occlusion", inputs, tmp_path / "out")
    outcomes = [check_interrupted(moment, arguments, started) for moment in (0.4, 3)]
    assert any(outcomes)
    assert not list(tmp_path.rglob(f"*{TEMPORARY}*"))


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_at_any_moment(command, inputs, tmp_path):
    draw, arguments = draw_of(), arguments_of(command, inputs, tmp_path / "out")
    length = seconds_of(Forked, arguments_of(command, inputs, tmp_path / "timed"))
    # The first comes in its first half: later ones may find a run that ends sooner.
    moments = [length / 2, *(draw.uniform(0.3, length) for _ in range(9))]
    outcomes = [check_interrupted(moment, arguments) for moment in moments]
    assert any(outcomes)
    assert not list(tmp_path.rglob(f"*{TEMPORARY}*"))


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, to be made as large as need be."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("Disks cannot be mounted here: run as root to test a full one.")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize(
    "command",
    [
        command if command in ("correspondence", "gallery") else pytest.param(command, marks=slow)
        for slow in [pytest.mark.slow]
        for command in COMMANDS
    ],
)
def test_a_full_disk(command, inputs, finished, disk):
    """At every size until it suffices: a sentence that names a file, nothing half-written."""
    folder, kilobytes = disk / "out", 16
    arguments = arguments_of(command, inputs, folder)
    while (ended := outcome(arguments)).code:
        assert ended.is_a_sentence, ended
        assert str(folder) in ended.errors
        assert "make room there" in ended.errors
        assert "No space left on device" in ended.errors
        assert not list(disk.rglob(f"*{TEMPORARY}*"))
        kilobytes *= 3
        assert kilobytes < 100_000
        subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", disk], check=True)
    assert kilobytes > 16
    assert results_of(command, folder) == results_of(command, finished(command))
