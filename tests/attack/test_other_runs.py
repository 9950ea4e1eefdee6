"""Runs on other things in the same folder: nothing is mixed, nothing stale, nothing lost."""

import shutil

import pytest

from kerasvis.storage.locks import LOCK
from tests.attack.attacked import (
    COMMANDS,
    QUICK,
    arguments_of,
    files_of,
    outcome,
    results_of,
    write_photographs,
)

OTHER_SETTINGS = {
    "features": "--k 3",
    "gallery": "--methods guided",
    "occlusion": "--baseline blur",
    "diagnose": "--second-layer conv2",
    "invariance": "--layers conv2",
    "correspondence": "--baseline blur",
    "fidelity": "--seed 1",
    "transfer": "--seed 1",
    "train": "--seed 1",
    "ablate": "--seed 1",
}
slow = [
    command if command in QUICK else pytest.param(command, marks=pytest.mark.slow)
    for command in COMMANDS
]


@pytest.mark.parametrize("command", slow)
def test_one_run_another_and_the_first_again(command, inputs, finished_copy):
    folder = finished_copy(command)
    before, expected = files_of(folder), results_of(command, folder)
    other = outcome(arguments_of(command, inputs, folder, OTHER_SETTINGS[command]))
    if other.code == 0:
        assert command in {"features", "transfer"}  # which compute all of their results anew
    else:
        assert other.is_a_sentence
        assert files_of(folder) == before
    again = outcome(arguments_of(command, inputs, folder))
    assert again.code == 0
    assert results_of(command, folder) == expected


@pytest.mark.parametrize("command", slow)
def test_photographs_replaced_by_others_of_one_size(command, inputs, finished_copy, tmp_path):
    folder = finished_copy(command)
    before, others = files_of(folder), tmp_path / "inputs"
    shutil.copytree(inputs, others)
    for name in (".", "many", "few", "classes/ant", "classes/bee"):
        if (inputs / name).is_dir():
            number = len(list((inputs / name).glob("*.bmp")))
            size = (44, 44) if "classes" in name else (20, 24)
            write_photographs(others / name, number, seed=9, size=size)
    shutil.move(inputs, tmp_path / "set-aside")
    shutil.move(others, inputs)  # the same paths
    try:
        ended = outcome(arguments_of(command, inputs, folder))
        if ended.code == 0:
            fresh = tmp_path / "fresh" / "out"
            assert outcome(arguments_of(command, inputs, fresh)).code == 0
            assert results_of(command, folder) == results_of(command, fresh)
        else:
            assert ended.is_a_sentence
            assert "image" in ended.errors or "training data" in ended.errors
            assert files_of(folder) == before
    finally:
        shutil.rmtree(inputs)
        shutil.move(tmp_path / "set-aside", inputs)


@pytest.mark.parametrize("command", slow)
def test_two_runs_at_once(command, inputs, finished_copy, other_run):
    folder = finished_copy(command)
    (folder / LOCK).touch()
    before = files_of(folder)
    with other_run(folder):
        ended = outcome(arguments_of(command, inputs, folder))
        assert ended.is_a_sentence
        assert "Another run is writing into" in ended.errors
        assert files_of(folder) == before
