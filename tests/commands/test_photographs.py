from pathlib import Path

import pytest
from PIL import Image

from kerasvis.commands.photographs import find_photographs, read_photographs


@pytest.fixture
def files(tmp_path):
    (tmp_path / "folder").mkdir()
    names = ["z.png", "folder/b.png", "folder/a.png"]
    for number, name in enumerate(names):
        Image.new("RGB", (8, 6), (number, 0, 0)).save(tmp_path / name)
    return [tmp_path / name for name in names]


def test_all_come_in_the_order_in_which_they_were_named(files):
    last, b, a = files
    read = read_photographs([last, "demo:coffee", a.parent], (6, 8))
    assert list(read) == [last, Path("coffee"), a, b]
    assert [read[path][0, 0, 0] for path in (last, a, b)] == [0, 2, 1]
    assert read[Path("coffee")].shape == (6, 8, 3)


def test_each_comes_once(files):
    assert find_photographs([files[0], files[1].parent, files[1]]) == [files[0], files[2], files[1]]


def test_mistakes(tmp_path):
    with pytest.raises(ValueError, match=r"no such photograph: give files.*none\.jpg"):
        read_photographs([tmp_path / "none.jpg"], (6, 8))
    with pytest.raises(ValueError, match=r"give one of .*coffee.* Received: --images=demo:cup"):
        read_photographs(["demo:cup"], (6, 8))
    with pytest.raises(ValueError, match="is empty: give one that holds photographs"):
        find_photographs([tmp_path])
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"cannot be read: not an image .*broken\.jpg"):
        read_photographs([tmp_path], (6, 8))
