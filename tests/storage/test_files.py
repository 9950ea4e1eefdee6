"""Files are written as a whole or not at all, whatever happens in between."""

import errno
import io
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kerasvis.storage.files import (
    TEMPORARY,
    atomic,
    read_npz,
    write_bytes,
    write_if_changed,
    write_npz,
    write_text,
)

ARRAYS = {"ones": np.ones((2, 3), "float32"), "a/b": np.array("text"), "none": np.zeros((0, 4))}


def write_folder(filepath):
    with atomic(filepath) as temporary:
        (temporary / "inner").mkdir(parents=True)
        (temporary / "inner" / "file").write_text("new")


WRITERS = {
    "npz": lambda path: write_npz(path, ARRAYS),
    "compressed": lambda path: write_npz(path, ARRAYS, compressed=True),
    "text": lambda path: write_text(path, "new"),
    "bytes": lambda path: write_bytes(path, b"new"),
    "changed": lambda path: write_if_changed(path, "new"),
}


def content_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_arrays_come_back_as_they_were(tmp_path):
    write_npz(tmp_path / "a.npz", ARRAYS)
    arrays = read_npz(tmp_path / "a.npz", "arrays", ["ones"])
    assert list(arrays) == list(ARRAYS)
    for name, array in arrays.items():
        assert array.dtype == ARRAYS[name].dtype
        np.testing.assert_array_equal(array, ARRAYS[name])


def test_the_same_arrays_are_the_same_bytes(tmp_path):
    for name in "ab":
        write_npz(tmp_path / name, ARRAYS)
        time.sleep(0.01)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_text_and_bytes(tmp_path):
    write_text(tmp_path / "text", "Größe\n")
    write_bytes(tmp_path / "bytes", b"\0\xff")
    assert (tmp_path / "text").read_bytes() == "Größe\n".encode()
    assert (tmp_path / "bytes").read_bytes() == b"\0\xff"


def test_the_same_content_is_not_written_again(tmp_path):
    file = tmp_path / "folder" / "a.txt"
    assert write_if_changed(file, "same")
    os.utime(file, (1, 1))
    assert not write_if_changed(file, b"same")
    assert file.stat().st_mtime == 1
    assert write_if_changed(file, "a\udcffb")  # part of a file name that is not UTF-8
    assert file.read_bytes() == b"a?b"


@pytest.mark.parametrize("name", ["plain", ".hidden.npz", "ä" * 120 + ".npz", "a" * 255])
def test_any_name(tmp_path, name):
    write_npz(tmp_path / name, ARRAYS)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_temporary_path_is_in_the_same_folder_and_keeps_the_suffix(tmp_path):
    with atomic(tmp_path / "model.v1.keras") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".keras"
        assert TEMPORARY in temporary.name
        temporary.touch()


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with atomic(tmp_path / "a") as first, atomic(tmp_path / "a") as second:
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "a").read_text() == "first"  # which ended last
    assert len(list(tmp_path.iterdir())) == 1


def test_a_new_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_an_exception_leaves_what_was_there(tmp_path, exists, error):
    if exists:
        (tmp_path / "a").write_text("before")
    before = content_of(tmp_path)

    def write_half():
        with atomic(tmp_path / "a") as temporary:
            temporary.write_text("half of")
            raise error

    with pytest.raises(error):
        write_half()
    assert content_of(tmp_path) == before


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_disk_that_fails(tmp_path, monkeypatch, writer, call):
    file = tmp_path / "a.npz"
    file.write_bytes(b"before")

    def fail(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fail)
    sentence = r"a\.npz cannot be written \(No space left on device\): make room.*stay intact"
    with pytest.raises(OSError, match=sentence):
        WRITERS[writer](file)
    assert content_of(tmp_path) == {file: b"before"}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_folder_in_its_place(tmp_path, writer):
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(OSError, match=r"a cannot be written \("):
        WRITERS[writer](tmp_path / "a")
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "b"]


def test_nothing_written_is_an_error(tmp_path):
    with (
        pytest.raises(OSError, match=r"a cannot be written \(No such file"),
        atomic(tmp_path / "a"),
    ):
        pass


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match=r"gone/a cannot be written \(No such file"):
        write_text(tmp_path / "gone" / "a", "new")


@pytest.mark.parametrize("earlier", [None, "empty", "full"])
def test_a_folder_is_replaced(tmp_path, earlier):
    if earlier:
        (tmp_path / "saved").mkdir()
    if earlier == "full":
        (tmp_path / "saved" / "old").touch()
    write_folder(tmp_path / "saved")
    assert content_of(tmp_path) == {tmp_path / "saved" / "inner" / "file": b"new"}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_stays_if_its_successor_fails(tmp_path, monkeypatch):
    write_folder(tmp_path / "saved")
    before, replace = content_of(tmp_path), os.replace

    def fail_at_second(source, target):
        if Path(target).name == "saved" and TEMPORARY in Path(source).name:
            monkeypatch.undo()
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_at_second)
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "saved")
    assert content_of(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == 1


PROGRAM = """
import sys
import numpy as np
from kerasvis.storage.files import write_npz
for number in range(10**6):
    write_npz(sys.argv[1], {"a": np.full(500_000, number)})
    print(number, flush=True)
"""


def test_killed_at_any_moment(tmp_path):
    """The file is always whole; what a kill leaves behind is known by its name."""
    file = tmp_path / "a.npz"
    for moment in (0.0, 0.002, 0.005, 0.011):
        command = [sys.executable, "-c", PROGRAM, str(file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            time.sleep(moment)
            process.send_signal(signal.SIGKILL)
        array = read_npz(file, "arrays", ["a"])["a"]
        assert len(array) == 500_000
        assert (array == array[0]).all()
    assert all(TEMPORARY in path.name for path in tmp_path.iterdir() if path != file)


class Pickled:
    """What ends the process if it is read by pickle."""

    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was run')",)


def saved(save, *arguments, **arrays):
    file = io.BytesIO()
    save(file, *arguments, **arrays)
    return file.getvalue()


WHOLE = saved(np.savez, ones=np.ones(1000))
OTHER_FILES = {
    "empty": b"",
    "text": b"something else",
    "cut short": WHOLE[: len(WHOLE) // 2],
    "cut at the end": WHOLE[:-5],
    "changed": WHOLE.replace(np.float64(1).tobytes(), np.float64(2).tobytes(), 1),
    "objects": saved(np.savez, ones=np.array([Pickled()], object)),
    "a pickle": pickle.dumps(Pickled()),
    "one array": saved(np.save, np.ones(3)),
}


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_whatever_is_not_such_a_file_is_refused(tmp_path, kind):
    (tmp_path / "a.npz").write_bytes(OTHER_FILES[kind])
    with pytest.raises(
        ValueError, match=r"not an \.npz file containing ones: give one .* Received"
    ):
        read_npz(tmp_path / "a.npz", "ones", ["ones"])


def test_what_is_wrong_is_told(tmp_path):
    write_npz(tmp_path / "a.npz", ARRAYS)
    received = rf"Received: filepath='{tmp_path}/.*'$"
    with pytest.raises(ValueError, match=r"it has no 'two'\. " + received):
        read_npz(tmp_path / "a.npz", "two arrays", ["ones", "two"])
    with pytest.raises(ValueError, match=r"There is no such file: .* contains ones\. " + received):
        read_npz(tmp_path / "none.npz", "ones")
    with pytest.raises(ValueError, match=r"cannot be read \(Is a directory\).*" + received):
        read_npz(tmp_path / "..", "ones")
