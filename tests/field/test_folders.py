"""Folders as people have them: links, splits, names, formats, channels."""

import io
import itertools
import os
import re
import socket
import time
import unicodedata

import keras
import numpy as np
import pytest
from PIL import Image, ImageFile

from kerasvis.arguments import standardize_images
from kerasvis.data import ImageFolder, load_jpeg_archive, load_labelled, photographs
from kerasvis.data.demo_photographs import DemoPhotographs
from kerasvis.data.file_names import MAX_NAME_BYTES, shown_name, unique_names
from kerasvis.data.folder_walk import SUFFIXES, find_photographs
from kerasvis.data.image_source import image_source
from kerasvis.data.photographs import decode_photograph, fit_pixels, read_photograph
from kerasvis.data.splits import role_of, roles_of, validation_split
from kerasvis.reports import class_labels, image_names

SIZE = (6, 9)
NOT_UTF8 = os.fsdecode(b"caf\xe9.png")


def save(path, color=(200, 100, 50), size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1], color).save(path)
    return path


def read_all(folder):
    """The indices of the images that batches give."""
    return [index for indices, _ in folder.batches(2) for index in indices.tolist()]


def names_of(folder):
    return [path.as_posix() for path in folder.relative_paths]


# Suffixes


@pytest.mark.parametrize("name", ["a.jfif", "a.jpe", "a.JPE", "a.JFIF", "a.jpg", "a.JPEG"])
def test_every_suffix_of_a_jpeg(tmp_path, name):
    Image.new("RGB", (9, 6), (200, 100, 50)).save(tmp_path / name, "JPEG", quality=100)
    pixels = ImageFolder(tmp_path, SIZE).pixels(0).astype(int)
    assert np.abs(pixels - (200, 100, 50)).max() < 3


@pytest.mark.parametrize(
    ("name", "mode"), [("a.pbm", "1"), ("a.pgm", "L"), ("a.pnm", "RGB"), ("a.apng", "RGB")]
)
def test_rarer_suffixes(tmp_path, name, mode):
    Image.new(mode, (9, 6), 1).save(tmp_path / name, "PNG" if name == "a.apng" else "PPM")
    assert name[1:] in SUFFIXES
    assert ImageFolder(tmp_path, SIZE).pixels(0).shape == (*SIZE, 3)


# Links


def class_folder(root, *names, number=3):
    for name, i in itertools.product(names, range(number)):
        save(root / name / f"{i}.png")
    return root


def test_linked_class_folders_are_followed_alike(tmp_path):
    class_folder(tmp_path / "elsewhere", "dog")
    root = class_folder(tmp_path / "data", "cat")
    (root / "dog").symlink_to(tmp_path / "elsewhere" / "dog")
    assert load_labelled(root, SIZE).class_names == ("cat", "dog")
    folder = ImageFolder(root, SIZE)
    assert class_labels(folder) == ("cat",) * 3 + ("dog",) * 3
    assert names_of(folder) == [f"{c}/{i}.png" for c in ("cat", "dog") for i in range(3)]


def test_linked_files_links_to_links_and_a_linked_root(tmp_path):
    save(tmp_path / "elsewhere" / "x.png")
    root = tmp_path / "data"
    root.mkdir()
    (root / "a.png").symlink_to(tmp_path / "elsewhere" / "x.png")
    (root / "b.png").symlink_to(root / "a.png")
    (tmp_path / "linked").symlink_to(root)
    folder = ImageFolder(tmp_path / "linked", SIZE)
    assert names_of(folder) == ["a.png", "b.png"]
    assert read_all(folder) == [0, 1]


def loop_to_itself(root):
    (root / "a" / "again").symlink_to(root / "a")


def loop_to_the_root(root):
    (root / "a" / "up").symlink_to(root)


def loop_through_a_sibling(root):
    (root / "b").mkdir()
    (root / "a" / "to_b").symlink_to(root / "b")
    (root / "b" / "to_a").symlink_to(root / "a")


@pytest.mark.parametrize("loop", [loop_to_itself, loop_to_the_root, loop_through_a_sibling])
def test_loops_end(tmp_path, loop):
    save(tmp_path / "a" / "0.png")
    loop(tmp_path)
    names = names_of(ImageFolder(tmp_path, SIZE))
    assert names[0] == "a/0.png"
    assert len(names) <= 2
    assert names == names_of(ImageFolder(tmp_path, SIZE))


def test_the_order_does_not_follow_from_that_of_the_disk(tmp_path, monkeypatch):
    class_folder(tmp_path, "b", "a", "c", NOT_UTF8)
    names = names_of(ImageFolder(tmp_path, SIZE))
    scandir = os.scandir

    class Reversed:
        def __init__(self, path):
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(os, "scandir", Reversed)
    assert names_of(ImageFolder(tmp_path, SIZE)) == names == sorted(names)


def dangling_file(root):
    (root / "b.png").symlink_to(root / "nowhere.png")
    return "b.png", "a broken link"


def dangling_class(root):
    (root / "dogs").symlink_to(root / "nowhere")
    return "dogs", "a broken link"


def link_to_itself(root):
    (root / "b.png").symlink_to(root / "b.png")
    return "b.png", "symbolic links"


def folder_link_to_itself(root):
    (root / "b").symlink_to(root / "b")
    return "b", "symbolic links"


def pipe(root):
    os.mkfifo(root / "b.png")
    return "b.png", "pipe"


def linked_pipe(root):
    os.mkfifo(root / "pipe")
    (root / "b.png").symlink_to(root / "pipe")
    return "b.png", "pipe"


def device(root):
    (root / "b.png").symlink_to("/dev/zero")
    return "b.png", "device"


def listening(root):
    here = os.getcwd()
    os.chdir(root)  # the path of a socket has to be short
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("b.png")
    os.chdir(here)
    return "b.png", "socket"


def folder_called_like_a_photograph(root):
    (root / "b.png").mkdir()
    return "b.png", "a folder"


LOST = [
    *(dangling_file, dangling_class, link_to_itself, folder_link_to_itself, pipe, linked_pipe),
    *(device, listening, folder_called_like_a_photograph),
]


@pytest.mark.parametrize("lose", LOST)
def test_what_cannot_be_read_is_skipped_and_reported(tmp_path, lose):
    save(tmp_path / "a.png")
    save(tmp_path / "c.png")
    name, reason = lose(tmp_path)
    folder = ImageFolder(tmp_path, SIZE)
    read = [names_of(folder)[index] for index in read_all(folder)]
    assert read == ["a.png", "c.png"]
    ((path, why),) = folder.skipped
    assert (path, reason in why) == (tmp_path / name, True)
    image_source(folder, 2).fingerprint()


@pytest.mark.parametrize("lose", LOST)
def test_the_same_among_classes(tmp_path, lose):
    class_folder(tmp_path, "x", "y")
    at = tmp_path if lose is dangling_class else tmp_path / "x"
    name, reason = lose(at)
    data = load_labelled(tmp_path, SIZE)
    assert data.class_names == ("x", "y")
    assert data.train.num_images + data.validation.num_images == 6
    ((path, why),) = data.skipped
    assert (path, reason in why) == (at / name, True)
    with pytest.raises(ValueError, match=reason):
        load_labelled(tmp_path, SIZE, strict=True)


def test_photographs_in_a_folder_called_like_one_are_found(tmp_path):
    save(tmp_path / "album.jpg" / "0.png")
    folder = ImageFolder(tmp_path, SIZE)
    assert (names_of(folder), read_all(folder), folder.skipped) == (["album.jpg/0.png"], [0], [])


@pytest.fixture
def forbid(monkeypatch):
    """Takes the right to read from paths; for root, too, whom the file system lets read all."""
    forbidden, scandir, opened = set(), os.scandir, photographs.Image.open

    def refuse(read):
        def refusing(path, *args, **kwargs):
            if str(path) in forbidden:
                raise PermissionError(13, "Permission denied", str(path))
            return read(path, *args, **kwargs)

        return refusing

    monkeypatch.setattr(os, "scandir", refuse(scandir))
    monkeypatch.setattr(photographs.Image, "open", refuse(opened))
    return lambda path: forbidden.add(str(path))


def test_a_subfolder_that_cannot_be_read(tmp_path, forbid):
    class_folder(tmp_path, "a", "b", "a/inner")
    forbid(tmp_path / "a" / "inner")
    folder = ImageFolder(tmp_path, SIZE)
    assert len(read_all(folder)) == 6
    ((path, reason),) = folder.skipped
    assert path == tmp_path / "a" / "inner"
    assert "not allowed" in reason
    assert load_labelled(tmp_path, SIZE).skipped == ((path, reason),)


def test_strict_folders_take_nothing_less(tmp_path, forbid):
    class_folder(tmp_path, "a", "b")
    forbid(tmp_path / "b")
    with pytest.raises(ValueError, match=r"cannot be read .*not allowed.*/b$"):
        next(ImageFolder(tmp_path, SIZE, strict=True).batches(1))


@pytest.mark.parametrize("path", ["x" * 300, "a/" * 3000, "loop", "a\0b", "\ud800", "missing"])
@pytest.mark.parametrize("read", [ImageFolder, load_labelled])
def test_paths_where_nothing_can_be(tmp_path, path, read):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ValueError, match=r"cannot be read \(|There is no such folder"):
        read(tmp_path / path, SIZE)


def test_a_class_or_the_root_that_cannot_be_read(tmp_path, forbid):
    class_folder(tmp_path, "a", "b")
    forbid(tmp_path / "b")
    with pytest.raises(ValueError, match=r"not allowed.*/b$"):
        load_labelled(tmp_path, SIZE)
    forbid(tmp_path)
    for read in (ImageFolder, load_labelled):
        with pytest.raises(ValueError, match="not allowed"):
            read(tmp_path, SIZE)


def test_a_file_that_cannot_be_read(tmp_path, forbid):
    forbid(save(tmp_path / "a.png"))
    save(tmp_path / "b.png")
    folder = ImageFolder(tmp_path, SIZE)
    assert read_all(folder) == [1]
    ((path, reason),) = folder.skipped
    assert (path, reason) == (tmp_path / "a.png", "this user is not allowed to read it")
    with pytest.raises(ValueError, match=r"not allowed.*a\.png$"):
        folder.pixels(0)


# Names


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"caf\xe9.png", r"caf\xe9.png"),
        (b"\xff\xfe.png", r"\xff\xfe.png"),
        (b"\xe2\x82.png", r"\xe2\x82.png"),
        (b"two\nlines.png", r"two\nlines.png"),
        ("two\u2028lines.png".encode(), r"two\u2028lines.png"),
        ("é 雪.png".encode(), "é 雪.png"),
    ],
)
def test_any_name_can_be_shown_and_the_photograph_is_read(tmp_path, name, shown):
    path = tmp_path / "class" / os.fsdecode(name)
    save(tmp_path / "class" / "a.png").rename(path)
    save(tmp_path / "z" / "a.png")
    folder = ImageFolder(tmp_path, SIZE)
    assert read_all(folder) == [0, 1]
    assert image_names(folder)[0] == image_source(folder, 2).names[0] == f"class/{shown}"
    image_names(folder)[0].encode()
    source = image_source(folder, 2)
    source.describe(0).encode()
    assert source.fingerprint() == image_source(ImageFolder(tmp_path, SIZE), 2).fingerprint()
    path.write_bytes(b"")
    folder = ImageFolder(tmp_path, SIZE)
    assert read_all(folder) == [1]
    assert str(folder.skipped[0][0]) == f"{tmp_path}/class/{shown}"


def test_class_folders_whose_names_are_not_utf8(tmp_path):
    class_folder(tmp_path, NOT_UTF8, "b")
    assert load_labelled(tmp_path, SIZE).class_names == ("b", r"caf\xe9.png")
    assert set(class_labels(ImageFolder(tmp_path, SIZE))) == {"b", r"caf\xe9.png"}
    (tmp_path / "b" / "0.png").rename(tmp_path / "b" / NOT_UTF8)
    (tmp_path / "b" / NOT_UTF8).write_bytes(b"")
    ((path, _),) = load_labelled(tmp_path, SIZE).skipped
    assert str(path).endswith(r"b/caf\xe9.png")


def on_a_strict_file_system(name):
    """What a file system that ignores case and normalises accents makes of a name."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


HARD_NAMES = [
    *("a/x.png", "b/x.jpg", "x-1.png", "X.png", "c/x-1.jpg", "x.png", "c/X-2.png", "x-2-1.png"),
    *("é.png", "e\u0301.png", "É.jpg", "ﬁ.png", "fi.png", "ß.png", "SS.png"),
    *("a:b.png", "a*b.png", "a b.png", "a_b.png", "CON.png", "con.jpg", "nul.tar.png", "..png"),
    *(". .png", "-.png", "--help.png", "a..png", "a .png", "a.png", NOT_UTF8, r"caf\xe9.png"),
    *("n" * 250 + ".png", "n" * 249 + "m.png", "雪" * 80 + ".png", "雪" * 80 + "x.png", "lpt1.png"),
    *("COM¹.png", "conin$.png", "two\u2028lines.png"),
    *("new\nline.png", "tab\t.png", 'quo"te.png', "less<more>.png", "~.png", "$HOME.png"),
]


def test_unique_names_are_safe_and_unique():
    names = unique_names(HARD_NAMES)
    assert names == unique_names(tuple(HARD_NAMES))
    assert len({on_a_strict_file_system(name) for name in names}) == len(HARD_NAMES)
    for name in names:
        assert 0 < len(name.encode()) <= MAX_NAME_BYTES
        assert not set(name) & set('<>:"/\\|?*\0\n\t \u2028')
        assert name[0] not in ".-"
        assert name[-1] not in ". "
        assert name.split(".")[0].lower() not in ("con", "nul", "lpt1", "com¹", "conin$")


def test_unique_names_are_the_files_own_where_they_can_be():
    assert unique_names(["d/cat.jpg", "dog.png"]) == ("cat", "dog")
    assert unique_names(["a/x.png", "b/x.jpg"]) == ("x-1", "x-2")
    assert unique_names(["a/x.png", "x-1.png", "b/X.png"]) == ("x-2", "x-1", "X-3")
    assert unique_names([]) == ()


def test_unique_names_of_a_large_data_set():
    paths = [f"{i}/{j}.png" for i in range(4000) for j in range(5)]
    begin = time.perf_counter()
    names = unique_names(paths)
    assert time.perf_counter() - begin < 5  # and not the square of 4,000
    assert len(set(names)) == len(paths)
    assert (names[5], names[-1]) == ("0-2", "4-4000")


def test_unique_names_of_random_paths():
    rng = np.random.default_rng(0)
    letters = list("aA1-_. é")
    paths = ["".join(rng.choice(letters, rng.integers(1, 5))) + ".png" for _ in range(500)]
    names = unique_names([f"{i}/{path}" for i, path in enumerate(paths)])
    assert len({on_a_strict_file_system(name) for name in names}) == 500


# Splits


ROLES = {
    "training": [
        "train",
        "Training",
        "TRAIN",
        "training_set",
        "Train-Images",
        "train2017",
        "seg_train",
        "trainval",
        "Train_Val",
    ],
    "validation": [
        "val",
        "valid",
        "validation",
        "Validation Set",
        "dev",
        "val2017",
        "validation-data",
    ],
    "evaluation": ["eval", "evaluation", "Eval_Set"],
    "holdout": ["holdout", "hold-out", "Hold Out", "held_out"],
    "test": ["test", "Testing", "test_set", "test-images", "TestSet", "seg_test"],
    None: [
        "test tube",
        "tester",
        "trainer",
        "trains",
        "valley",
        "device",
        "contest",
        "bus",
        "set",
        "",
    ],
}


@pytest.mark.parametrize(("role", "name"), [(r, name) for r in ROLES for name in ROLES[r]])
def test_roles_of_folders(role, name):
    assert role_of(name) == role


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        *(("Training", "Testing"), ("Train", "Test"), ("training_set", "test_set")),
        *(("training", "validation"), ("train", "val"), ("TRAIN", "eval"), ("train", "hold-out")),
        *(("seg_train", "seg_test"), ("train2017", "val2017"), ("Train images", "Valid images")),
        *(("cars_train", "cars_test"), ("Pets-Train-v2", "pets-valid-v2"), ("trainval", "test")),
        *(("XTrain", "XTest"), ("caf\udce9_train", "caf\udce9_val"), ("Training", "PrivateTest")),
    ],
)
def test_splits_are_no_classes(tmp_path, train, validation):
    class_folder(tmp_path / train, "cat", "dog")
    class_folder(tmp_path / validation, "cat", "dog", number=1)
    data = load_labelled(tmp_path, SIZE)
    assert data.class_names == ("cat", "dog")
    assert (data.train.num_images, data.validation.num_images) == (6, 2)
    assert set(class_labels(ImageFolder(tmp_path, SIZE))) == {"cat", "dog"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("train", "valid", "test"), "valid"),
        (("Training", "Testing", "Validation"), "Validation"),
        (("train", "test", "eval"), "eval"),
        (("train", "holdout", "dev"), "dev"),
        (("train", "validation", "val"), "validation"),
        (("train", "Test"), "Test"),
    ],
)
def test_validation_comes_from_its_folder(tmp_path, names, expected):
    assert validation_split(roles_of(names)) == expected
    for name in names:
        class_folder(tmp_path / name, "a", "b", number=2 if name == expected else 1)
    assert load_labelled(tmp_path, SIZE).validation.num_images == 4


def test_splits_with_other_folders_beside_them(tmp_path):
    class_folder(tmp_path / "Train", "a", "b")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "all.csv").write_text("a,b")
    assert load_labelled(tmp_path, SIZE).class_names == ("a", "b")
    class_folder(tmp_path / "Test", "a", "b", number=1)
    assert load_labelled(tmp_path, SIZE).validation.num_images == 2


@pytest.mark.parametrize(
    "names", [("training_set", "test_set"), ("asl_alphabet_train", "asl_alphabet_test")]
)
def test_splits_inside_splits(tmp_path, names):
    train, test = names
    class_folder(tmp_path / train / train, "a", "b")
    class_folder(tmp_path / test / test, "a", "b", number=1)
    assert load_labelled(tmp_path, SIZE).class_names == ("a", "b")
    assert set(class_labels(ImageFolder(tmp_path, SIZE))) == {"a", "b"}


@pytest.mark.parametrize(
    "names",
    [
        *(("train", "bus"), ("test tube", "flask"), ("val", "train", "bus"), ("Train set", "doll")),
        *(
            ("bullet_train", "steam_train"),
            ("bullet_train", "crash_test"),
            ("eye_test", "ear_test"),
        ),
    ],
)
def test_classes_may_be_called_like_splits(tmp_path, names):
    class_folder(tmp_path, *names)
    assert load_labelled(tmp_path, SIZE).class_names == tuple(sorted(names))
    assert set(class_labels(ImageFolder(tmp_path, SIZE))) == set(names)


def test_classes_of_folders_may_be_called_like_one_split(tmp_path):
    class_folder(tmp_path / "train", "steam", "electric")
    class_folder(tmp_path / "bus", "red", "blue")
    assert load_labelled(tmp_path, SIZE).class_names == ("bus", "train")
    assert set(class_labels(ImageFolder(tmp_path, SIZE))) == {"bus", "train"}


def test_a_class_inside_splits_may_be_called_like_them(tmp_path):
    class_folder(tmp_path / "train", "train", "bus")
    class_folder(tmp_path / "test", "train", "bus", number=1)
    assert load_labelled(tmp_path, SIZE).class_names == ("bus", "train")
    assert set(class_labels(ImageFolder(tmp_path, SIZE))) == {"bus", "train"}


@pytest.mark.parametrize("names", [("Training", "Testing"), ("cars_train", "cars_test")])
def test_splits_without_classes_have_none(tmp_path, names):
    class_folder(tmp_path, *names)
    assert class_labels(ImageFolder(tmp_path, SIZE)) is None
    with pytest.raises(ValueError, match=rf"no class folders: .*{names[0]}$"):
        load_labelled(tmp_path, SIZE)


@pytest.mark.parametrize(
    "names", [("Training", "test", "train"), ("testA", "testB", "trainA", "trainB")]
)
def test_two_training_folders_are_refused(tmp_path, names):
    for name in names:
        class_folder(tmp_path / name, "a", "b")
    with pytest.raises(ValueError, match=rf"one split for training: .*{' and '.join(names)}$"):
        load_labelled(tmp_path, SIZE)


# One decoding


def rotated():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(
        np.arange(14 * 20 * 3, dtype="uint16").reshape(14, 20, 3).astype("uint8")
    )
    return image, {"exif": exif}


def sixteen_bits():
    return Image.fromarray(np.linspace(0, 65535, 140).reshape(10, 14).astype("uint16")), {}


def grey():
    return Image.fromarray(np.arange(140, dtype="uint8").reshape(10, 14)), {}


def transparent():
    pixels = np.random.default_rng(0).integers(0, 256, (10, 14, 4), "uint8")
    return Image.fromarray(pixels), {}


def palette():
    image = transparent()[0].convert("RGB").quantize(7)
    return image, {"transparency": 0}


def cmyk():
    return transparent()[0].convert("RGB").convert("CMYK"), {"format": "JPEG", "quality": 95}


def large():
    pixels = np.random.default_rng(0).integers(0, 256, (160, 200, 3), "uint8")
    return Image.fromarray(pixels), {"format": "JPEG", "quality": 95}


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("make", [rotated, sixteen_bits, grey, transparent, palette, cmyk, large])
def test_a_photograph_reads_the_same_from_an_archive(tmp_path, make, channels):
    image, options = make()
    file = io.BytesIO()
    image.save(file, **{"format": "PNG", **options})
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "a.png").write_bytes(file.getvalue())
    folder = ImageFolder(tmp_path / "photographs", SIZE, channels=channels)
    arrays = {"words": np.array(["a"])}
    for split in ("train", "val"):
        arrays[f"{split}_bytes"] = np.frombuffer(file.getvalue(), "uint8")
        arrays[f"{split}_offsets"] = np.array([0, len(file.getvalue())])
        arrays[f"{split}_labels"] = np.array([0])
    np.savez(tmp_path / "a.npz", **arrays)
    archive = load_jpeg_archive(tmp_path / "a.npz", SIZE, channels)
    np.testing.assert_array_equal(archive.train.pixels[0], folder.pixels(0))
    whole = decode_photograph(file.getvalue(), channels=channels)
    turned = image.size if make is rotated else image.size[::-1]
    assert whole.shape == (*turned, channels)


def test_sixteen_bits_of_arrays():
    pixels = np.linspace(0, 65535, 54).reshape(*SIZE, 1).astype("uint16")
    expected = np.repeat(np.rint(pixels / 257).astype("uint8"), 3, axis=2)
    np.testing.assert_array_equal(fit_pixels(pixels, SIZE), expected)
    np.testing.assert_array_equal(fit_pixels(pixels, SIZE, 1), expected[..., :1])
    np.testing.assert_array_equal(fit_pixels(np.repeat(pixels, 3, axis=2), SIZE), expected)


@pytest.mark.parametrize("values", [(0, 65536), (-1, 9), (0, 2**31 - 1)])
def test_deeper_pixels_are_refused_and_not_clipped(tmp_path, values):
    Image.fromarray(np.array([values] * 2, "int32")).save(tmp_path / "a.tif")
    save(tmp_path / "b.png")
    folder = ImageFolder(tmp_path, SIZE)
    assert read_all(folder) == [1]
    assert "more than 16 bits" in folder.skipped[0][1]


@pytest.mark.parametrize("size", [(40, 50), (1, 2000), (2000, 1)])
def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, monkeypatch, size):
    path = save(tmp_path / "a.png", size=size)
    monkeypatch.setattr(photographs, "MAX_PIXELS", 1999)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ValueError, match="more than 1999 pixels"):
        read_photograph(path, SIZE)
    with pytest.raises(ValueError, match="more than 1999 pixels"):
        decode_photograph(path.read_bytes(), SIZE)


# Channels


@pytest.fixture
def coloured(tmp_path):
    """Pixels (200, 100, 50), half transparent in the second photograph."""
    save(tmp_path / "a.png")
    Image.new("RGBA", SIZE[::-1], (200, 100, 50, 128)).save(tmp_path / "b.png")
    return tmp_path


LUMINANCE = 0.299 * 200 + 0.587 * 100 + 0.114 * 50


def test_channels_of_a_folder(coloured):
    one, three, four = (ImageFolder(coloured, SIZE, channels=c) for c in (1, 3, 4))
    assert [f.pixels([0, 1]).shape for f in (one, three, four)] == [
        (2, *SIZE, c) for c in (1, 3, 4)
    ]
    assert np.abs(one.pixels(0) - LUMINANCE).max() <= 1
    over_white = 255 + (LUMINANCE - 255) * 128 / 255
    assert np.abs(one.pixels(1) - over_white).max() <= 1
    assert (four.pixels(0) == (200, 100, 50, 255)).all()
    assert (four.pixels(1) == (200, 100, 50, 128)).all()
    assert ImageFolder(coloured, SIZE).pixels(0).shape == (*SIZE, 3)


@pytest.mark.parametrize("channels", [0, 2, 5, "3", True, -1, 3.0, [3]])
def test_other_channels_are_refused(coloured, channels):
    for read in (
        lambda: ImageFolder(coloured, SIZE, channels=channels),
        lambda: ImageFolder(coloured).with_size(SIZE, channels),
        lambda: DemoPhotographs(SIZE, channels=channels),
        lambda: load_jpeg_archive(coloured / "a.npz", SIZE, channels),
    ):
        with pytest.raises(ValueError, match=re.escape(f"Received: channels={channels!r}")):
            read()


@pytest.mark.parametrize(("mode", "channels"), [("caffe", 1), ("torch", 1), ("caffe", 4)])
def test_preprocessing_with_means_of_three_channels(coloured, mode, channels):
    for make in (
        lambda: ImageFolder(coloured, SIZE, mode, channels=channels),
        lambda: ImageFolder(coloured, SIZE, mode).with_size(SIZE, channels),
        lambda: ImageFolder(coloured, SIZE, channels=channels).with_preprocessing(mode),
        lambda: DemoPhotographs(SIZE, mode, channels),
    ):
        with pytest.raises(ValueError, match="3 channels"):
            make()


def test_a_folder_without_size_says_so(coloured):
    folder = ImageFolder(coloured)
    for use in (
        lambda: folder.pixels(0),
        lambda: folder[[0]],
        lambda: next(folder.batches(1)),
        lambda: image_source(folder, 1),
    ):
        with pytest.raises(ValueError, match=r"no size yet: give \(height, width\).*size=None"):
            use()


def model_of(channels):
    inputs = keras.Input((*SIZE, channels))
    return keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_folder_takes_size_and_channels_from_the_model(coloured, channels):
    model = model_of(channels)
    expected = ImageFolder(coloured, SIZE, channels=channels)[[0, 1]]
    for images in (coloured, ImageFolder(coloured), ImageFolder(coloured, SIZE)):
        source = standardize_images(model, images)
        assert source.image_shape == (*SIZE, channels)
        np.testing.assert_array_equal(source[[0, 1]], expected)
    source = standardize_images(model, coloured / "b.png")
    np.testing.assert_array_equal(source.pixels([0])[0], expected[1])


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "an empty file"), (b"x", "not an image"), (b"%!PS", "not an ima")]
)
def test_one_photograph_that_cannot_be_read(tmp_path, content, reason):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(
        ValueError, match=rf"cannot be read \({reason}.*Received: images='.*a\.jpg'"
    ):
        standardize_images(model_of(3), tmp_path / "a.jpg")


def test_channels_that_photographs_do_not_have(coloured):
    with pytest.raises(ValueError, match="model that takes images of 2 channels"):
        standardize_images(model_of(2), coloured)
    with pytest.raises(ValueError, match="takes images"):
        standardize_images(model_of(1), ImageFolder(coloured, SIZE, channels=3))


@pytest.mark.parametrize("channels", [1, 4])
def test_channels_of_bundled_images(channels):
    images, in_colour = DemoPhotographs((24, 40), channels=channels), DemoPhotographs((24, 40))
    assert images.shape == (len(in_colour), 24, 40, channels)
    if channels == 4:
        np.testing.assert_array_equal(images[0][..., :3], in_colour[0])
        assert (images[0][..., 3] == 255).all()
    else:
        grey = in_colour[0] @ np.array([0.299, 0.587, 0.114])
        assert np.abs(images[0][..., 0] - grey).max() < 3


def test_hidden_names_are_left_out_everywhere(tmp_path):
    class_folder(tmp_path, "a", "b", ".cache", "a/.thumbnails")
    save(tmp_path / "a" / ".0.png")
    assert len(find_photographs(tmp_path).photographs) == 6
    data = load_labelled(tmp_path, SIZE)
    assert data.class_names == ("a", "b")
    assert data.train.num_images + data.validation.num_images == 6
    assert shown_name("a/b") == "a/b"
