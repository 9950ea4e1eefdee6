"""Long work resumes from its completed parts; nothing damaged or of another computation is used."""

import dataclasses
import errno
import os
import random
import secrets
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from kerasvis.storage.files import TEMPORARY
from kerasvis.storage.locks import LOCK, locked
from kerasvis.storage.parts import JOURNAL, Parts
from kerasvis.storage.results import Result

ON = {"model": "a" * 32, "images": np.arange(15), "seed": 3, "layers": ("conv1", "conv2")}


class Count:
    """Computes arrays and counts how often."""

    number = 0

    def __call__(self):
        self.number += 1
        return {"a": np.arange(7, dtype="int16"), "b/c": np.full((2, 3), self.number)}


@dataclasses.dataclass(frozen=True, eq=False)
class Found(Result):
    layer: str
    number: int


@pytest.fixture
def count():
    return Count()


def once(directory, compute, name="part.npz", **changed):
    with Parts(directory, lambda: ON | changed) as parts:
        return parts.arrays(name, compute)


def content_of(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_computed_once(tmp_path, count):
    first, again = (once(tmp_path / "new" / "folder", count) for _ in range(2))
    assert count.number == 1
    assert list(first) == list(again) == ["a", "b/c"]
    for name in first:
        assert first[name].dtype == again[name].dtype
        np.testing.assert_array_equal(first[name], again[name])


def test_another_part_is_computed(tmp_path, count):
    for name in ("one.npz", "sub/folder/two.npz", "sub/one.npz", "nämé\udce9 x.npz"):
        once(tmp_path, count, name)
        once(tmp_path, count, name)
    assert count.number == 4


def test_nothing_is_kept_without_a_folder(tmp_path, count, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Parts(None, lambda: 1 / 0) as parts:
        for _ in range(2):
            parts.arrays("part.npz", count)
        parts.save("other.npz", count())
        assert parts.load("other.npz") is None
        parts.remove()
    assert count.number == 3
    assert list(tmp_path.iterdir()) == []


def test_a_result_is_kept(tmp_path):
    result = Found("conv1", 3)
    for compute in (lambda: result, lambda: 1 / 0):
        with Parts(tmp_path, lambda: ON) as parts:
            assert parts.result("result.npz", Found, compute) == result
    assert Found.load(tmp_path / "result.npz") == result


def test_a_result_of_another_class_is_computed(tmp_path, count):
    once(tmp_path, count)
    for compute in (lambda: Found("conv1", 4), lambda: 1 / 0):
        with Parts(tmp_path, lambda: ON) as parts:
            assert parts.result("part.npz", Found, compute).number == 4


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model": "b" * 32}, ["other model:"]),
        ({"images": np.arange(16)}, ["other images:"]),
        ({"seed": 4}, ["other seed (3 there, 4 here)"]),
        ({"layers": ["conv1"]}, ['other layers (["conv1", "conv2"] there, ["conv1"] here)']),
        ({"model": None, "seed": True}, ["other model", "and other seed (3 there, true here)"]),
        ({"k": 1}, ["other k (null there, 1 here)"]),
    ],
)
def test_another_computation_is_refused_and_changes_nothing(tmp_path, count, changed, words):
    once(tmp_path, count)
    before = content_of(tmp_path)
    with pytest.raises(ValueError, match="delete the folder, or give another one") as caught:
        once(tmp_path, count, **changed)
    for word in [str(tmp_path), *words]:
        assert word in str(caught.value)
    assert content_of(tmp_path) == before
    assert count.number == 1


@pytest.mark.parametrize(
    "same",
    [
        {"images": np.arange(15), "layers": ["conv1", "conv2"]},
        {"seed": np.int64(3)},
        dict(reversed(ON.items())),
    ],
)
def test_equal_values_are_the_same_computation(tmp_path, count, same):
    for changed in ({}, same):
        once(tmp_path, count, **changed)
    assert count.number == 1


def test_nan_and_tuples_within_settings_are_known_again(tmp_path, count):
    for _ in range(2):
        once(tmp_path, count, baseline=(float("nan"), np.float32(0.1), {"x": tmp_path}))
    assert count.number == 1


def damaged(content, draw):
    """The content with one bit flipped, or cut short."""
    place = draw.randrange(len(content))
    flipped = bytes([content[place] ^ (1 << draw.randrange(8))])
    return content[:place] + draw.choice([b"", flipped + content[place + 1 :]])


@pytest.fixture
def draw():
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    return random.Random(seed)


def test_a_damaged_part_is_computed_again(tmp_path, count, draw):
    once(tmp_path, count)
    content = (tmp_path / "part.npz").read_bytes()
    for _ in range(60):
        (tmp_path / "part.npz").write_bytes(damaged(content, draw))
        count.number = 0
        assert once(tmp_path, count)["b/c"][0, 0] == 1
        assert count.number == 1
        assert (tmp_path / "part.npz").read_bytes() == content


def test_a_damaged_journal_is_refused_or_its_parts_are_computed_again(tmp_path, count, draw):
    once(tmp_path, count)
    content = (tmp_path / JOURNAL).read_bytes()
    sentences = []
    for _ in range(60):
        (tmp_path / JOURNAL).write_bytes(damaged(content, draw))
        count.number = 0
        try:
            assert once(tmp_path, count)["b/c"][0, 0] == 1
        except ValueError as error:
            sentences.append(str(error))
            (tmp_path / JOURNAL).write_bytes(content)
    assert all("delete the folder" in sentence for sentence in sentences)


def test_a_part_of_another_name_or_maker_is_not_trusted(tmp_path, count):
    once(tmp_path, count, "one.npz")
    (tmp_path / "two.npz").write_bytes((tmp_path / "one.npz").read_bytes())
    once(tmp_path, count, "two.npz")
    assert count.number == 2


def test_a_part_may_be_written_again(tmp_path):
    for number in range(3):
        with Parts(tmp_path, lambda: ON) as parts:
            earlier = parts.load("state.npz")
            assert (earlier is None) == (number == 0)
            assert number == 0 or earlier["number"] == number - 1
            parts.save("state.npz", {"number": np.array(number)})
            assert parts.load("state.npz")["number"] == number


def test_any_file_can_be_a_part(tmp_path):
    with Parts(tmp_path, lambda: ON) as parts:
        with parts.writing("tiles/one.webp") as temporary:
            temporary.write_bytes(b"tile")
        assert parts.is_complete("tiles/one.webp")
        assert not parts.is_complete("tiles/two.webp")
        assert not parts.is_complete("tiles")
    (tmp_path / "tiles" / "one.webp").write_bytes(b"tale")
    with Parts(tmp_path, lambda: ON) as parts:
        assert not parts.is_complete("tiles/one.webp")


def test_an_error_leaves_the_earlier_content(tmp_path, count):
    once(tmp_path, count)

    def stop(parts):
        with parts.writing("part.npz") as temporary:
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with Parts(tmp_path, lambda: ON) as parts:
        with pytest.raises(KeyboardInterrupt):
            stop(parts)
        assert parts.load("part.npz")["b/c"][0, 0] == 1
    assert sorted(os.listdir(tmp_path)) == sorted([LOCK, JOURNAL, "part.npz"])


def test_everything_is_removed_but_what_others_made(tmp_path, count):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("mine")
    for folder in ("folder", "new"):
        with Parts(tmp_path / folder, lambda: ON) as parts:
            parts.arrays("part.npz", count)
            parts.remove()
    assert {path.name for path in tmp_path.rglob("*")} == {"folder", "notes.txt", LOCK}


def test_a_run_that_writes_nothing_leaves_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "new"):
        with pytest.raises(KeyboardInterrupt), Parts(tmp_path / folder, lambda: ON):
            raise KeyboardInterrupt
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]


def test_files_of_a_killed_run_are_removed(tmp_path, count):
    once(tmp_path, count, "sub/part.npz")
    left = [
        tmp_path / f".part.0123abcd.{TEMPORARY}.npz",
        tmp_path / "sub" / f".part.0123abcd.{TEMPORARY}.npz",
        tmp_path / f".saved_model.0123abcd.{TEMPORARY}",
    ]
    left[2].mkdir()
    for path in (*left[:2], left[2] / "weights"):
        path.write_bytes(b"half")
    others = tmp_path / f"{TEMPORARY}.txt"
    others.write_text("mine")
    once(tmp_path, count, "sub/part.npz")
    assert not any(path.exists() for path in left)
    assert others.read_text() == "mine"
    assert count.number == 1


def test_the_second_run_at_the_same_time_is_refused(tmp_path, count):
    once(tmp_path, count)
    before = content_of(tmp_path)
    program = (
        f"import sys; from kerasvis.storage.locks import locked\n"
        f"with locked({str(tmp_path)!r}): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        with pytest.raises(OSError, match=r"Another run is writing into .*wait until"):
            once(tmp_path, count)
        assert content_of(tmp_path) == before
        process.send_signal(signal.SIGKILL)
        process.wait()
        once(tmp_path, count)  # the lock ended with the process
    assert count.number == 1


def test_a_folder_is_locked_again_within_a_thread(tmp_path, count):
    with locked(tmp_path):
        once(tmp_path, count)
        once(tmp_path, count)
    assert count.number == 1


def test_a_folder_that_cannot_be_made(tmp_path, count):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file.* cannot be written to .*give another folder"):
        once(tmp_path / "file", count)
    assert count.number == 0


PROGRAM = """
import sys, time
import numpy as np
from kerasvis.storage.parts import Parts
with Parts(sys.argv[1], lambda: {"images": "x"}) as parts:
    print("begun", flush=True)
    for number in range(60):
        state = parts.load("state.npz")
        done = 0 if state is None else int(state["sum"])
        parts.arrays(f"{number}.npz", lambda: {"a": np.full(1000, number)})
        parts.save("state.npz", {"sum": np.array(max(done, number))})
"""


def test_killed_at_any_moment(tmp_path):
    """The folder at the end is that of a run in one piece, to the byte; no state goes back."""
    run = [sys.executable, "-c", PROGRAM]
    subprocess.run([*run, tmp_path / "whole"], check=True, stdout=subprocess.DEVNULL)
    furthest = 0
    for moment in (0.0, 0.01, 0.03, 0.05, 0.07, 0.1):
        with subprocess.Popen([*run, tmp_path / "killed"], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(moment)
            process.send_signal(signal.SIGKILL)
        with Parts(tmp_path / "killed", lambda: {"images": "x"}) as parts:
            state = parts.load("state.npz")
            assert furthest == 0 or state is not None
            furthest = 0 if state is None else int(state["sum"])
    subprocess.run([*run, tmp_path / "killed"], check=True, stdout=subprocess.DEVNULL)
    killed, whole = (
        {path.name: content for path, content in content_of(tmp_path / name).items()}
        for name in ("killed", "whole")
    )
    assert killed == whole


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk(small_disk):
    def large():
        return {"a": np.random.default_rng(0).normal(size=3000)}

    def fill(directory):
        with Parts(directory, lambda: ON) as parts:
            for number in range(9):
                parts.arrays(f"{number}.npz", large)

    with pytest.raises(OSError, match=r"\d\.npz cannot be written .*make room") as caught:
        fill(small_disk / "parts")
    assert os.strerror(errno.ENOSPC) in str(caught.value)
    assert not [path for path in small_disk.rglob("*") if TEMPORARY in path.name]
    (small_disk / "parts" / "1.npz").unlink()
    with Parts(small_disk / "parts", lambda: ON) as parts:  # what is complete is used
        parts.arrays("0.npz", lambda: 1 / 0)
        parts.arrays("1.npz", large)
