"""Runs that are killed, and disks that are full: what was saved stays whole."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kerasvis.storage.files import TEMPORARY
from kerasvis.storage.locks import LOCK
from kerasvis.storage.parts import JOURNAL
from kerasvis.training import AnnealOnPlateau, Checkpoint, Recipe, fit
from tests.marks import slow
from tests.training.small_runs import small_convnet, small_images, small_recipe

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
import tensorflow as tf
import keras, numpy as np
from tests.training.small_runs import small_convnet, small_images, small_recipe
from kerasvis.training import fit

class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        print("step", flush=True)

model = small_convnet()
fit(model, small_images(37), small_images(11, seed=1), small_recipe(), callbacks=[Slow()],
    directory=sys.argv[1], verbose=0)
np.savez(sys.argv[1] + "/end.npz", *model.get_weights())
"""


def start(directory):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(directory)],
        cwd=ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def kill_after(steps, directory):
    """SIGKILL in the middle of the run."""
    with start(directory) as process:
        for _ in range(steps):
            assert process.stdout.readline() == "step\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_sigkill_twice(tmp_path):
    model = small_convnet()
    history = fit(model, small_images(37), small_images(11, seed=1), small_recipe(), verbose=0)
    kill_after(5, tmp_path)
    finished = len(Checkpoint(tmp_path).history["loss"])
    kill_after(4, tmp_path)
    assert len(Checkpoint(tmp_path).history["loss"]) > finished
    with start(tmp_path) as process:
        process.stdout.read()
    assert process.returncode == 0
    resumed = Checkpoint(tmp_path).history
    for name in set(resumed) - {"seconds", "waiting_for_data"}:
        np.testing.assert_allclose(resumed[name], history.history[name], rtol=1e-5)
    with np.load(tmp_path / "end.npz") as end:
        for array, expected in zip(end.values(), model.get_weights(), strict=True):
            np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-6)
    rows = (tmp_path / "history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "1", "2", "3", "4", "5"]


class Killed(BaseException):
    """Stands for SIGKILL between two calls of the operating system."""


@pytest.fixture
def kill_at_replace(monkeypatch):
    """Ends the process, as it were, before or after the file is put in its place once more."""

    def kill_at_replace(name, number, after):
        replace, replaced = os.replace, []

        def killing(source, target):
            replaced.append(Path(target).name)
            if replaced[-1] == name and replaced.count(name) == number:
                if after:
                    replace(source, target)
                monkeypatch.setattr(os, "replace", replace)
                raise Killed
            replace(source, target)

        monkeypatch.setattr(os, "replace", killing)

    return kill_at_replace


@pytest.fixture(scope="module")
def two_epochs():
    """Images, a recipe, and the history of what it does."""
    data = small_images(20), small_images(5, seed=1)
    recipe = small_recipe(epochs=2)
    return data, recipe, fit(small_convnet(), *data, recipe, verbose=0).history


@pytest.mark.parametrize("after", [False, slow(True)])
@pytest.mark.parametrize(
    ("name", "number"),
    [slow(JOURNAL, 1), ("state.npz", 1), slow("state.npz", 2), slow("history.csv", 3)],
)
def test_killed_while_saving(tmp_path, kill_at_replace, two_epochs, name, number, after):
    data, recipe, whole = two_epochs
    kill_at_replace(name, number, after)
    with pytest.raises(Killed):
        fit(small_convnet(), *data, recipe, directory=tmp_path, verbose=0)
    again = fit(small_convnet(), *data, recipe, directory=tmp_path, verbose=0).history
    assert again["loss"] == whole["loss"]
    assert again["learning_rate"] == whole["learning_rate"]
    rows = (tmp_path / "history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "1", "2"]
    left = {path.name for path in (tmp_path / "checkpoint").iterdir()}
    assert left == {JOURNAL, LOCK, "state.npz"}


def small_disk(folder, kilobytes):
    """Mounts a disk of that size, where the system allows it."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("Disks cannot be mounted here: run as root to test a full one.")


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    small_disk(folder, 512)
    yield folder
    for _ in range(20):  # busy for a moment, where a file was just closed
        if subprocess.run(["umount", str(folder)], check=False).returncode == 0:
            break
        time.sleep(0.1)


@pytest.mark.slow
def test_a_full_disk(disk):
    data = small_images(20), small_images(5, seed=1)
    fit(small_convnet(), *data, small_recipe(epochs=1), directory=disk / "one", verbose=0)
    before = {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()}
    (disk / "filler").write_bytes(bytes(_free(disk) - 4096))
    sentence = r"cannot be written \(No space left on device\): make room there"
    with pytest.raises(OSError, match=sentence):
        fit(small_convnet(), *data, small_recipe(epochs=2), directory=disk / "two", verbose=0)
    for path, content in before.items():
        assert path.read_bytes() == content
    assert not list(disk.rglob(f"*{TEMPORARY}*"))
    (disk / "filler").unlink()
    history = fit(small_convnet(), *data, small_recipe(epochs=2), directory=disk / "two", verbose=0)
    assert len(history.history["loss"]) == 2


def _free(folder):
    status = os.statvfs(folder)
    return status.f_bavail * status.f_bsize


def test_a_read_only_disk(disk):
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    data = small_images(20), small_images(5, seed=1)
    with pytest.raises(OSError, match=r"one.* cannot be written to \(Read-only file system\): "):
        fit(small_convnet(), *data, small_recipe(), directory=disk / "one", verbose=0)


def test_an_epoch_that_cannot_be_saved(tmp_path, monkeypatch):
    """What `test_a_full_disk` shows, wherever it is run."""
    data = small_images(20), small_images(5, seed=1)
    replace = os.replace

    def full(source, target):
        if Path(target).name == "state.npz" and Path(target).exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=r"state\.npz cannot be written \(No space left on device\)"):
        fit(small_convnet(), *data, small_recipe(epochs=2), directory=tmp_path, verbose=0)
    monkeypatch.undo()
    assert not list(tmp_path.rglob(f"*{TEMPORARY}*"))
    assert len(Checkpoint(tmp_path).history["loss"]) == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda filepath: Recipe().save(filepath),
        lambda filepath: _annealed_once(filepath),
    ],
)
def test_a_folder_that_is_not_there(tmp_path, write):
    with pytest.raises(OSError, match=r"gone/file\.json cannot be written \(No such file or dir"):
        write(tmp_path / "gone" / "file.json")


def _annealed_once(filepath):
    annealing = AnnealOnPlateau(filepath=filepath)
    model = small_convnet()
    model.compile("sgd")
    annealing.set_model(model)
    annealing.on_epoch_end(0, {"val_top_1": 0.5})
