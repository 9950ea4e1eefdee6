import matplotlib.figure
import pytest
from PIL import Image

from kerasvis.commands.image_arguments import check_images
from kerasvis.commands.output import (
    OutputFolder,
    check_output_file,
    layer_names,
    result_names,
    save_figure,
)
from kerasvis.data import ImageFolder
from kerasvis.storage.written_names import LIST


def test_checking_leaves_nothing_behind(tmp_path):
    OutputFolder(tmp_path / "a" / "b", inputs=[tmp_path / "no such photograph"])
    check_output_file(tmp_path / "a" / "b.keras", ".keras")
    assert not list(tmp_path.iterdir())


def test_a_folder_is_made_when_it_is_written_into(tmp_path):
    with OutputFolder(tmp_path / "a" / "b").made() as folder:
        (folder / "file").touch()
    assert (tmp_path / "a" / "b" / "file").exists()


def test_a_folder_that_stays_empty_is_taken_away_by_an_error(tmp_path):
    (tmp_path / "mine").mkdir()
    for name in ("a/b", "mine/c", "mine"):
        with pytest.raises(ValueError, match="refused"), OutputFolder(tmp_path / name).made():
            raise ValueError("refused")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


def test_an_error_leaves_a_folder_of_earlier_results_as_it_was(tmp_path):
    with OutputFolder(tmp_path, files=["a.png"]).made():
        (tmp_path / "a.png").touch()
    listed = (tmp_path / LIST).read_bytes()
    output = OutputFolder(tmp_path, files=["a.png", "b.png"])
    with pytest.raises(ValueError, match="refused"), output.made():
        raise ValueError("refused")
    assert (tmp_path / LIST).read_bytes() == listed


def test_files_of_the_users_are_never_replaced(tmp_path):
    (tmp_path / "cat.png").touch()
    with pytest.raises(ValueError, match=r"contains a file cat\.png that is not a result"):
        OutputFolder(tmp_path, files=["dog.png", "cat.png"])
    with OutputFolder(tmp_path, files=["dog.png"]).made():
        (tmp_path / "dog.png").touch()
    OutputFolder(tmp_path, files=["dog.png"])


def test_results_are_never_input(tmp_path):
    for name in ("mine.png", "results/a.png", "results/mine.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    (tmp_path / "results" / LIST).write_text('["a.png", "pictures"]')
    (tmp_path / "results" / "pictures").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "results" / "pictures" / "b.png")
    found = ImageFolder(tmp_path).relative_paths
    assert [path.as_posix() for path in found] == ["mine.png", "results/mine.png"]
    check_images([tmp_path / "results" / "mine.png", tmp_path])
    with pytest.raises(ValueError, match="This is a result of an earlier run: give a photograph"):
        check_images([tmp_path / "results" / "a.png"])


@pytest.mark.parametrize("content", ["", "null", "5", "[1, null]", "[" * 99_999, '{"a": 1}'])
def test_a_list_of_results_that_is_none(tmp_path, content):
    (tmp_path / LIST).write_text(content)
    Image.new("RGB", (4, 4)).save(tmp_path / "mine.png")
    assert len(ImageFolder(tmp_path)) == 1
    OutputFolder(tmp_path, files=["a.png"])


def test_what_was_written_before_an_error_stays(tmp_path):
    def write_and_fail():
        with OutputFolder(tmp_path / "a" / "b").made() as folder:
            (folder / "file").touch()
            raise ValueError("late")

    with pytest.raises(ValueError, match="late"):
        write_and_fail()
    assert (tmp_path / "a" / "b" / "file").exists()


@pytest.mark.parametrize("name", ["file", "file/out", "file/a/b"])
def test_a_file_in_the_way(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"file is a file\): give another --out\. Received: --out"):
        OutputFolder(tmp_path / name)


def test_a_folder_that_is_read_only(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(ValueError, match=f"{tmp_path} is read-only"):
        OutputFolder(tmp_path / "a")


def test_a_link_that_leads_nowhere(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("loop", "dangling", "loop/a", "dangling/a/b"):
        with pytest.raises(ValueError, match=r"is a broken link\): give another --out"):
            OutputFolder(tmp_path / name, inputs=[tmp_path])


def test_a_folder_where_a_file_is_to_be(tmp_path):
    (tmp_path / "features.png").mkdir()
    with pytest.raises(ValueError, match=r"contains a folder features\.png that is not a result"):
        OutputFolder(tmp_path, files=["images.csv", "features.png"])
    (tmp_path / "net.keras").mkdir()
    with pytest.raises(ValueError, match="The output file is a folder: give another name"):
        check_output_file(tmp_path / "net.keras", ".keras")
    with pytest.raises(ValueError, match=r"must end in \.keras"):
        check_output_file(tmp_path / "net.h5", ".keras")


def test_a_folder_that_holds_the_inputs(tmp_path):
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    (photographs / "cat.png").touch()
    (tmp_path / "link").symlink_to(photographs)
    for folder in (photographs, tmp_path, photographs / ".." / "photographs", tmp_path / "link"):
        for given in (photographs, photographs / "cat.png"):
            with pytest.raises(ValueError, match="could be replaced: give another --out"):
                OutputFolder(folder, inputs=[given])
    OutputFolder(photographs / "features", inputs=[photographs])
    OutputFolder(tmp_path / "features", inputs=[photographs, "demo"])


def test_names_of_results_are_different_and_none_of_those_taken():
    taken = ("features.png", "images.csv")
    assert layer_names(["conv1", "block/conv.2"], taken) == ("conv1", "block-conv.2")
    assert layer_names(["features", "conv1"], taken) == ("features-2", "conv1")
    assert result_names(["a/x.png", "b/x.jpg", "occlusion.png"], ["occlusion.csv"]) == (
        *("x-1", "x-2"),
        "occlusion-2",
    )


@pytest.mark.parametrize("letter", ["x", "é", "漢", "😀", "/", "\n", "\udcff", "."])
def test_whatever_a_layer_is_called_its_results_can_be_written(tmp_path, letter):
    names = layer_names([letter * 400, letter * 401])
    assert len(set(names)) == 2
    for name in names:
        (tmp_path / f"{name}_top_activations.npz.partial").touch()


def test_a_figure_is_written_atomically(tmp_path):
    class Torn:
        def savefig(self, filepath, **options):
            filepath.write_text("half of it")
            raise OSError("No space left on device")

    save_figure(matplotlib.figure.Figure((1, 1)), tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    assert before.startswith(b"\x89PNG")
    with pytest.raises(OSError, match="No space"):
        save_figure(Torn(), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
