import numpy as np
import pytest
from PIL import Image

from kerasvis.commands.image_arguments import check_images, find_photographs, read_photographs


@pytest.fixture
def files(tmp_path):
    (tmp_path / "folder").mkdir()
    names = ["z.png", "folder/b.png", "folder/a.png"]
    for number, name in enumerate(names):
        Image.new("RGB", (8, 6), (number, 0, 0)).save(tmp_path / name)
    return [tmp_path / name for name in names]


def test_all_come_in_the_order_in_which_they_were_named(files):
    last, _, a = files
    read = read_photographs([last, "demo:coffee", a.parent], (6, 8))
    assert [each.name for each in read] == ["z", "coffee", "a", "b"]
    assert [each.title for each in read] == ["z.png", "coffee", "a.png", "b.png"]
    assert [each.pixels[0, 0, 0] for each in read if each.name != "coffee"] == [0, 2, 1]
    assert read[1].pixels.shape == (6, 8, 3)


def test_two_of_the_same_name_are_told_apart(files, tmp_path):
    last = files[0]
    (tmp_path / "folder" / "z.png").write_bytes(last.read_bytes())
    read = read_photographs([last, tmp_path / "folder"], (6, 8), taken=["a.csv"])
    assert [each.name for each in read] == ["z-1", "a-2", "b", "z-2"]
    assert [each.title for each in read] == [
        str(last),
        "a.png",
        "b.png",
        f"{tmp_path}/folder/z.png",
    ]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels(files, channels):
    one, bundled = read_photographs([files[1], "demo:coffee"], (6, 8), channels)
    for photograph in (one, bundled):
        assert photograph.pixels.shape == (6, 8, channels)
        assert photograph.rgb.shape == (6, 8, 3)
    expected = np.asarray(Image.open(files[1]).convert("L"))
    np.testing.assert_array_equal(read_photographs([files[1]], (6, 8), 1)[0].rgb[..., 2], expected)


def test_each_comes_once(files):
    assert find_photographs([files[0], files[1].parent, files[1]]) == [files[0], files[2], files[1]]


def test_demo_stands_for_all_bundled_photographs():
    names = {str(path) for path in find_photographs(["demo"])}
    assert {"demo:coffee", "demo:flower"} < names
    assert len(names) == 12


def test_mistakes(tmp_path):
    with pytest.raises(ValueError, match=r"no such photograph .* Received: --images=folder/demo"):
        check_images(["demo", "demo:coffee", "folder/demo"])
    with pytest.raises(ValueError, match=r"cannot be read: .*none\.jpg"):
        read_photographs([tmp_path / "none.jpg"], (6, 8))
    with pytest.raises(ValueError, match=r"give one of .*coffee.* Received: --images=demo:cup"):
        read_photographs(["demo:cup"], (6, 8))
    with pytest.raises(ValueError, match=r"Received: --image=demo:cup"):
        read_photographs(["demo:cup"], (6, 8), option="--image")
    with pytest.raises(ValueError, match="is empty: give one with photographs"):
        find_photographs([tmp_path])
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"cannot be read: not an image .*broken\.jpg"):
        read_photographs([tmp_path], (6, 8))


def test_what_cannot_be_read_in_a_folder_is_reported_and_left_out(tmp_path, capsys):
    for name in ("a", "c"):
        Image.fromarray(np.full((8, 9, 3), 100, "uint8")).save(tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_bytes(b"no photograph")
    (tmp_path / "d.png").symlink_to(tmp_path / "gone.png")
    read = read_photographs([tmp_path], (6, 8))
    assert [photograph.name for photograph in read] == ["a", "c"]
    printed = capsys.readouterr().out
    assert "b.png" in printed
    assert "d.png" in printed
    with pytest.raises(ValueError, match=r"b\.png"):
        read_photographs([tmp_path / "a.png", tmp_path / "b.png"], (6, 8))
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "c.png").write_bytes(b"")
    with pytest.raises(ValueError, match="can be read"):
        read_photographs([tmp_path], (6, 8))
