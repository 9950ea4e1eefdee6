import os

import pytest

from kerasvis.reports.whole_files import write_whole


def test_writes_bytes_and_text_and_makes_folders(tmp_path):
    assert write_whole(tmp_path / "a" / "b.bin", b"\0\xff")
    assert write_whole(tmp_path / "a" / "c.txt", "Größe")
    assert (tmp_path / "a" / "b.bin").read_bytes() == b"\0\xff"
    assert (tmp_path / "a" / "c.txt").read_bytes() == "Größe".encode()


def test_what_is_no_text_becomes_a_question_mark(tmp_path):
    write_whole(tmp_path / "a.txt", "a\udcffb")
    assert (tmp_path / "a.txt").read_bytes() == b"a?b"


def test_the_same_is_not_written_again(tmp_path):
    file = tmp_path / "a.txt"
    write_whole(file, "same")
    os.utime(file, (1, 1))
    assert not write_whole(file, "same")
    assert file.stat().st_mtime == 1
    assert write_whole(file, "other")
    assert file.read_text() == "other"


def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch):
    file = tmp_path / "a.txt"
    write_whole(file, "before")

    def fail(*paths):
        raise OSError("no room")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no room"):
        write_whole(file, "after")
    assert file.read_text() == "before"
