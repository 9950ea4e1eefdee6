import contextlib
import shutil
import subprocess
import sys

import pytest

from tests.attack.attacked import ROOT, arguments_of, make_inputs, outcome


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """Folder of inputs; whoever changes them changes a copy."""
    folder = tmp_path_factory.mktemp("inputs")
    make_inputs(folder)
    return folder


@pytest.fixture(scope="session")
def finished(inputs, tmp_path_factory):
    """Function that returns the folder of a finished run of a command, made once."""
    folders = {}

    def finished(command):
        if command not in folders:
            folder = tmp_path_factory.mktemp(command) / "out"
            ended = outcome(arguments_of(command, inputs, folder))
            assert ended.code == 0, ended
            folders[command] = folder
        return folders[command]

    return finished


@pytest.fixture
def finished_copy(finished, tmp_path):
    """The same, a copy to be attacked."""

    def finished_copy(command):
        return shutil.copytree(finished(command), tmp_path / "out")

    return finished_copy


@pytest.fixture
def other_run():
    """Context in which another process writes into a folder, until it is killed."""

    @contextlib.contextmanager
    def other_run(folder):
        program = (
            "import sys; from kerasvis.storage.locks import locked\n"
            f"with locked({str(folder)!r}): print('held', flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", program]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:
            process.stdout.readline()
            yield
            process.kill()

    return other_run
