"""Photographs of every kind, from their files to images of one size."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import kerasvis.data
from kerasvis.data import ImageFolder, Preprocessing, photographs
from kerasvis.data import image_folder as image_folder_module

SIZE = (24, 36)
SUFFIXES = image_folder_module.SUFFIXES


def quadrants(size=SIZE):
    """Red, green / blue, yellow: an image which shows what was turned or mirrored."""
    height, width = size
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    for (left, top), color in {
        (0, 0): "red",
        (width // 2, 0): "lime",
        (0, height // 2): "blue",
        (width // 2, height // 2): "yellow",
    }.items():
        draw.rectangle((left, top, left + width // 2 - 1, top + height // 2 - 1), color)
    return image


def corners(pixels):
    """The colours in the middle of the four quadrants, row by row."""
    rows, columns = (np.array(pixels.shape[:2])[:, None] * (1, 3)) // 4
    return [tuple(pixels[r, c].tolist()) for r in rows for c in columns]


RED, LIME, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)


def only(path, size=SIZE, **options):
    folder = ImageFolder(path.parent, size, **options)
    assert folder.filepaths == (path,)
    return folder.pixels(0)


def save(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["bmp", "gif", "png", "ppm", "tif", "webp"])
def test_formats_without_loss(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    pixels = only(save(quadrants(), tmp_path / f"a.{suffix}", **options))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.asarray(quadrants()))


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG"])
def test_jpeg(tmp_path, name):
    pixels = only(save(quadrants(), tmp_path / name, quality=95))
    assert np.abs(np.subtract(corners(pixels), [RED, LIME, BLUE, YELLOW], dtype=int)).max() < 6


# What a camera writes for the way it was held: the transposition that it did to the upright image.
EXIF = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", EXIF)
def test_exif_orientation(tmp_path, orientation):
    image, exif = quadrants(), Image.Exif()
    if EXIF[orientation] is not None:
        image = image.transpose(EXIF[orientation])
    exif[0x0112] = orientation
    pixels = only(save(image, tmp_path / "a.png", exif=exif))
    np.testing.assert_array_equal(pixels, np.asarray(quadrants()))


def test_grey_becomes_rgb(tmp_path):
    grey = np.arange(24 * 36, dtype="uint16").reshape(SIZE).astype("uint8")
    pixels = only(save(Image.fromarray(grey), tmp_path / "a.png"))
    np.testing.assert_array_equal(pixels, np.repeat(grey[..., None], 3, axis=-1))
    black_and_white = Image.fromarray(grey).convert("1")
    pixels = only(save(black_and_white, tmp_path / "b" / "b.png"))
    np.testing.assert_array_equal(pixels[..., 1], 255 * np.asarray(black_and_white))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path, suffix):
    grey = np.linspace(0, 65535, 24 * 36).reshape(SIZE).astype("uint16")
    pixels = only(save(Image.fromarray(grey), tmp_path / f"a.{suffix}"))
    expected = np.rint(grey / 257).astype("uint8")
    np.testing.assert_array_equal(pixels, np.repeat(expected[..., None], 3, axis=-1))


def test_palette(tmp_path):
    pixels = only(save(quadrants().quantize(8), tmp_path / "a.png"))
    np.testing.assert_array_equal(pixels, np.asarray(quadrants()))


def test_cmyk_jpeg(tmp_path):
    path = save(quadrants().convert("CMYK"), tmp_path / "a.jpg", quality=95)
    assert np.abs(np.subtract(corners(only(path)), [RED, LIME, BLUE, YELLOW], dtype=int)).max() < 8


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_over_white(tmp_path, mode):
    image = Image.new("RGBA", SIZE[::-1], (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 18, 24))
    path = save(image.convert(mode), tmp_path / "a.png")
    pixels = only(path)
    assert (pixels[:, :18] == 255).all()
    assert (pixels[:, 18:] == 0).all()


def test_half_transparent(tmp_path):
    image = Image.new("RGBA", SIZE[::-1], (200, 100, 0, 128))
    pixels = only(save(image, tmp_path / "a.png"))
    expected = [255 + (value - 255) * 128 / 255 for value in (200, 100, 0)]
    np.testing.assert_allclose(pixels, np.broadcast_to(expected, pixels.shape), atol=1)


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", SIZE[::-1], color) for color in ("lime", "red")]
    path = save(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert set(corners(only(path))) == {LIME}


@pytest.mark.parametrize(
    ("original", "size"),
    [((40, 100), (20, 20)), ((100, 40), (20, 20)), ((10, 7), (30, 30)), ((90, 60), (20, 30))],
)
def test_the_centre_is_cropped(tmp_path, original, size):
    """A ramp along the axis that is cut: what remains is symmetric about its middle."""
    cut = 0 if original[0] / original[1] > size[0] / size[1] else 1
    ramp = np.linspace(0, 255, original[cut]).astype("uint8")
    ramp = np.broadcast_to(ramp[:, None] if cut == 0 else ramp, original)
    pixels = only(save(Image.fromarray(ramp), tmp_path / "a.png"), size)
    assert pixels.shape == (*size, 3)
    profile = pixels[..., 0].mean(axis=1 - cut)
    kept = size[cut] * min(original[axis] / size[axis] for axis in (0, 1))  # in pixels of the ramp
    spread = 255 / (original[cut] - 1) * (kept - kept / size[cut])
    assert profile[0] + profile[-1] == pytest.approx(255, abs=4)
    assert profile[-1] - profile[0] == pytest.approx(spread, abs=4)


def test_small_images_are_enlarged(tmp_path):
    pixels = only(save(quadrants((4, 6)), tmp_path / "a.png"), (48, 72))
    assert pixels.shape == (48, 72, 3)
    assert corners(pixels) == [RED, LIME, BLUE, YELLOW]


def test_large_jpeg_is_as_good_as_decoded_in_full(tmp_path):
    path = save(quadrants((960, 1440)), tmp_path / "a.jpg", quality=95)
    expected = np.asarray(quadrants(SIZE), "int32")
    assert np.abs(only(path) - expected).mean() < 6


@pytest.fixture
def mixed(tmp_path):
    """Nine files, of which three can be decoded (image indices 0, 2 and 7)."""
    good = save(quadrants(), tmp_path / "a" / "0.jpg").read_bytes()
    (tmp_path / "a" / "1.jpg").write_bytes(good[: len(good) * 9 // 10])
    save(Image.new("RGB", (30, 30), "white"), tmp_path / "a" / "2.png")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "3.jpg").write_bytes(b"")
    (tmp_path / "b" / "4.gif").write_bytes(b"GIF89a" + bytes(20))
    (tmp_path / "b" / "5.png").write_bytes(b"<html>404 not found</html>")
    save(Image.fromarray(np.zeros((5, 5), "float32")), tmp_path / "b" / "6.tif")
    save(quadrants(), tmp_path / "b" / "deeper" / "7.webp", lossless=True)
    save(Image.new("L", (200, 100)), tmp_path / "z.PNG")
    save(quadrants(), tmp_path / ".hidden" / "x.png")
    save(quadrants(), tmp_path / "a" / "._0.png")
    (tmp_path / "a" / "notes.txt").write_text("no photograph")
    return tmp_path


@pytest.fixture
def small_bombs(monkeypatch):
    monkeypatch.setattr(photographs, "MAX_PIXELS", 4000)


REASONS = {
    1: "image file is truncated",
    3: "an empty file",
    4: "cannot|not an image|size|tile|truncated",
    5: "not an image in the format BMP or GIF or JPEG or PNG or PPM or TIFF or WEBP",
    6: "floating-point pixels, whose range is unknown",
    8: "decompression bomb",
}


def test_indices_count_all_files_in_order(mixed):
    folder = ImageFolder(mixed, SIZE)
    names = [path.relative_to(mixed).as_posix() for path in folder.filepaths]
    assert names == [
        *("a/0.jpg", "a/1.jpg", "a/2.png", "b/3.jpg", "b/4.gif", "b/5.png", "b/6.tif"),
        *("b/deeper/7.webp", "z.PNG"),
    ]
    assert len(folder) == 9
    assert folder.skipped == []


@pytest.mark.parametrize("batch_size", [1, 2, 3, 16])
def test_batches_leave_out_and_report_what_cannot_be_decoded(mixed, small_bombs, batch_size):
    folder = ImageFolder(mixed, SIZE, "tf")
    batches = list(folder.batches(batch_size))
    files = [range(begin, begin + batch_size) for begin in range(0, 9, batch_size)]
    decodable = [[index for index in (0, 2, 7) if index in places] for places in files]
    assert [indices.tolist() for indices, _ in batches] == [batch for batch in decodable if batch]
    indices = np.concatenate([indices for indices, _ in batches])
    images = np.concatenate([images for _, images in batches])
    assert indices.dtype == np.int64
    assert images.dtype == np.float32
    np.testing.assert_array_equal(indices, [0, 2, 7])
    np.testing.assert_array_equal(images, folder[[0, 2, 7]])
    assert [path for path, _ in folder.skipped] == [folder.filepaths[i] for i in REASONS]
    for (_, reason), expected in zip(folder.skipped, REASONS.values(), strict=True):
        assert re.search(expected, reason)
        assert "\n" not in reason


def test_batches_from_the_middle(mixed):
    folder = ImageFolder(mixed, SIZE)
    assert [indices.tolist() for indices, _ in folder.batches(2, start=2)] == [[2], [7], [8]]
    assert 1 not in folder.skipped_reasons


def test_few_images_are_decoded_ahead(mixed, monkeypatch):
    for i in range(50):
        save(Image.new("RGB", (4, 4)), mixed / "a" / f"0{i:02d}.png")
    opened, plain = [], Image.open

    def counting(*arguments, **options):
        opened.append(arguments)
        return plain(*arguments, **options)

    monkeypatch.setattr(Image, "open", counting)
    batches = ImageFolder(mixed, SIZE).batches(4)
    next(batches)
    batches.close()
    assert 4 <= len(opened) <= 4 + 2 * 4 + 1


def test_strict(mixed):
    folder = ImageFolder(mixed, SIZE, strict=True)
    sentence = (
        r"^Image 1 cannot be decoded \(image file is truncated .*\): repair it or take it out of "
        rf"the folder\. Received: {mixed}/a/1\.jpg$"
    )
    with pytest.raises(ValueError, match=sentence):
        list(folder.batches(4))


def test_indexing(mixed):
    folder = ImageFolder(mixed, SIZE, Preprocessing("caffe"))
    pixels = folder.pixels([7, 0])
    assert pixels.shape == (2, *SIZE, 3)
    np.testing.assert_array_equal(pixels[0], np.asarray(quadrants()))
    np.testing.assert_array_equal(folder.pixels(7), pixels[0])
    np.testing.assert_array_equal(folder.pixels(np.int64(0)), pixels[1])
    np.testing.assert_array_equal(folder.pixels(slice(7, 9))[0], pixels[0])
    assert folder.pixels(np.array([[7, 0, 2]])).shape == (1, 3, *SIZE, 3)
    assert folder.pixels([]).shape == (0, *SIZE, 3)
    np.testing.assert_array_equal(folder[[7, 0]], Preprocessing("caffe").images(pixels))
    with pytest.raises(
        ValueError, match=r"Image 3 cannot be decoded \(an empty file\): .*b/3\.jpg"
    ):
        folder[[0, 3]]
    for index in (-1, 9):
        sentence = f"has 9 images: give indices from 0 to 8. Received: image index {index}"
        with pytest.raises(IndexError, match=f"{re.escape(sentence)}$"):
            folder[[0, index]]


def test_wrong_folders(tmp_path):
    missing = tmp_path / "missing"
    sentences = {
        missing: "There is no such folder: give one with photographs.",
        tmp_path: "The folder is empty: give one with photographs.",
    }
    for path, sentence in sentences.items():
        received = f"{sentence} Received: directory={str(path)!r}"
        with pytest.raises(ValueError, match=f"^{re.escape(received)}$"):
            ImageFolder(path, SIZE)
    notes = tmp_path / "notes.txt"
    notes.write_text("no photograph")
    sentences = {
        notes: "This is a file: give the folder with the photographs.",
        tmp_path: f"The folder contains no photographs ({', '.join(SUFFIXES)}), but 1 file of "
        "other kinds, such as notes.txt: give one with photographs.",
    }
    for path, sentence in sentences.items():
        received = f"{sentence} Received: directory={str(path)!r}"
        with pytest.raises(ValueError, match=f"^{re.escape(received)}$"):
            ImageFolder(path, SIZE)


@pytest.mark.parametrize("size", [224, (224,), (0, 5), (1, 2, 3), (None, 5), "ab"])
def test_wrong_size(tmp_path, size):
    sentence = f"(height, width) in pixels. Received: size={size!r}"
    with pytest.raises(ValueError, match=f"{re.escape(sentence)}$"):
        ImageFolder(tmp_path, size)


def test_wrong_preprocessing(tmp_path):
    with pytest.raises(ValueError, match="preprocessing='vgg'"):
        ImageFolder(tmp_path, SIZE, "vgg")


def test_importing_it_starts_neither_keras_nor_tensorflow():
    program = (
        "import sys, kerasvis.data; print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.split() == ["False", "False"]


def test_what_needs_tensorflow_is_imported_on_demand():
    assert callable(kerasvis.data.random_sub_crops)
    with pytest.raises(AttributeError, match=r"module 'kerasvis\.data' has no attribute 'batches'"):
        kerasvis.data.batches  # noqa: B018


def test_real_photographs(shared_data):
    folder = ImageFolder(shared_data / "imagenet-samples" / "images", (96, 96))
    assert len(folder) == 1000
    indices, images = next(folder.batches(20, start=100))
    np.testing.assert_array_equal(indices, np.arange(100, 120))
    assert 40 < images.mean() < 200
    assert (images.std(axis=(1, 2, 3)) > 5).all()
    assert folder.skipped == []


def test_only_readers_of_photographs_are_given_a_file(tmp_path, monkeypatch):
    (tmp_path / "holiday.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\nshowpage\n"
    )
    called = tmp_path / "called"
    ghostscript = tmp_path / "bin" / "gs"
    ghostscript.parent.mkdir()
    ghostscript.write_text(f"#!/bin/sh\ntouch {called}\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", str(ghostscript.parent), prepend=os.pathsep)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    with pytest.raises(ValueError, match="JPEG"):
        ImageFolder(tmp_path, (8, 8)).pixels(0)
    assert not called.exists()
