"""One bit is flipped, or the end cut off, in any file that a run leaves: noticed, or harmless."""

import shutil

import pytest

from tests.attack.attacked import (
    COMMANDS,
    QUICK,
    arguments_of,
    damaged,
    draw_of,
    files_of,
    outcome,
    results_of,
)


def attack(command, inputs, folder, num_attacks, draw):
    """Damages one file at a time and starts the run again; counts the refusals."""
    arguments = arguments_of(command, inputs, folder)
    expected, whole = results_of(command, folder), folder.with_name("whole")
    shutil.copytree(folder, whole)
    num_refused = 0
    for _ in range(num_attacks):
        file = draw.choice(sorted(files_of(folder)))
        (folder / file).write_bytes(damaged((folder / file).read_bytes(), draw))
        ended = outcome(arguments)
        if ended.is_a_sentence:
            num_refused += 1
            shutil.rmtree(folder)
            shutil.copytree(whole, folder)
        else:
            assert ended.code == 0, (file, ended)
            found = results_of(command, folder)
            different = {p for p in {**found, **expected} if found.get(p) != expected.get(p)}
            assert not different, file
    return num_refused


@pytest.mark.parametrize("command", QUICK)
def test_some_files(command, inputs, finished_copy):
    attack(command, inputs, finished_copy(command), 3, draw_of())


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_many_files(command, inputs, finished_copy):
    attack(command, inputs, finished_copy(command), 50, draw_of())
