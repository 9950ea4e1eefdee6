import json
import re

import numpy as np
import pytest
from PIL import Image

from kerasvis.data.image_parts import box_in_image, boxes_in_images, read_parts
from kerasvis.data.photographs import read_photograph

BAD_BOXES = ['{"a": {"nose": [1, 2]}}', '{"a": {"nose": [0, 0, 1e999, 2]}}']
PARTS = {
    "a.png": {"nose": (1, 2, 3, 4), "left eye": (0, 0, 5, 6)},
    "folder/b.png": {"nose": (7, 8, 9, 10.5)},
}


def test_json(tmp_path):
    (tmp_path / "parts.json").write_text(json.dumps(PARTS))
    assert read_parts(tmp_path / "parts.json") == PARTS


def test_csv(tmp_path):
    lines = ["image,part,top,left,bottom,right"]
    lines += [
        ",".join(map(str, [image, part, *box]))
        for image, boxes in PARTS.items()
        for part, box in boxes.items()
    ]
    (tmp_path / "parts.csv").write_text("\n".join(lines) + "\n")
    read = read_parts(tmp_path / "parts.csv")
    assert read == PARTS
    assert list(read["a.png"]) == ["nose", "left eye"]


def test_csv_with_spaces_and_of_a_spreadsheet(tmp_path):
    text = "image, part, top, left, bottom, right\na.png, nose, 1, 2, 3, 4\n"
    (tmp_path / "parts.csv").write_text(text, encoding="utf-8-sig")
    assert read_parts(tmp_path / "parts.csv") == {"a.png": {"nose": (1, 2, 3, 4)}}


@pytest.mark.parametrize("name", ["parts.json", "parts.csv"])
@pytest.mark.parametrize("text", ["", "image,part\na,b\n", "[1, 2]", *BAD_BOXES])
def test_what_holds_no_parts(tmp_path, name, text):
    if name == "parts.csv" and not text.startswith("image"):
        text += "image\na\n"
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=rf"contains no parts of images: give JSON, \{{.*{name}'$"):
        read_parts(tmp_path / name)


def test_a_missing_file(tmp_path):
    with pytest.raises(
        ValueError, match=r"cannot be read .No such file or directory.: give a JSON"
    ):
        read_parts(tmp_path / "parts.json")


@pytest.mark.parametrize("box", [[3, 0, 3, 4], [0, 5, 3, 4]])
def test_empty_boxes(tmp_path, box):
    (tmp_path / "parts.json").write_text(json.dumps({"a.png": {"nose": box}}))
    sentence = f"left < right. Received: {[float(x) for x in box]}"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        read_parts(tmp_path / "parts.json")


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        # 40×100 → 20×20: half as large, 30 columns cut off on the left
        ((0, 30, 40, 70), [0, 0, 20, 20]),
        ((10, 40, 20, 44), [5, 5, 10, 7]),
        ((10, 20, 20, 44), [5, 0, 10, 7]),
        ((0, 0, 10, 30), [0, 0, 5, 0]),
    ],
)
def test_a_box_in_the_image(box, expected):
    assert box_in_image(box, (40, 100), (20, 20)) == expected


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(("size", "image_size"), [((90, 140), (45, 37)), ((80, 60), (120, 150))])
def test_boxes_follow_the_photograph(tmp_path, orientation, size, image_size):
    """A bright part is where its box is said to be, also where the file lies on its side."""
    pixels = np.zeros((*size, 3), "uint8")
    box = (30, 25, 50, 45)
    pixels[30:50, 25:45] = 255
    stored = pixels if orientation == 1 else np.rot90(pixels)  # to be turned clockwise
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photograph.png"
    Image.fromarray(stored).save(path, exif=exif)
    boxes = boxes_in_images([{"part": box}], [path], image_size)
    assert boxes["part"].dtype == "int64"
    rows, columns = np.nonzero(read_photograph(path, image_size)[..., 0] > 127)
    seen = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    np.testing.assert_allclose(boxes["part"], [seen], atol=1)


@pytest.mark.parametrize("orientation", [1, 6])
def test_boxes_in_a_frame(tmp_path, orientation):
    """As if the frame were the photograph."""
    pixels = np.random.default_rng(0).integers(0, 100, (80, 60, 3)).astype("uint8")
    pixels[30:50, 25:45] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = pixels if orientation == 1 else np.rot90(pixels)
    Image.fromarray(stored).save(tmp_path / "whole.png", exif=exif)
    Image.fromarray(pixels[12:72, 9:54]).save(tmp_path / "cut.png")
    noted = {"part": (30, 25, 50, 45), "frame": (12.2, 8.9, 71.7, 54.4)}
    framed = boxes_in_images([noted], [tmp_path / "whole.png"], (40, 33), "frame")
    cut = boxes_in_images([{"part": (18, 16, 38, 36)}], [tmp_path / "cut.png"], (40, 33))
    assert {name: array.tolist() for name, array in framed.items()} == {
        "part": cut["part"].tolist()
    }
    np.testing.assert_array_equal(
        read_photograph(tmp_path / "whole.png", (40, 33), noted["frame"]),
        read_photograph(tmp_path / "cut.png", (40, 33)),
    )


@pytest.mark.parametrize(
    ("frame", "shown"),
    [((-1, 0, 20, 30), "[-1, 0, 20, 30]"), ((0, 5, 40, 101), "[0, 5, 40, 101]")],
)
def test_frames_that_reach_outside(tmp_path, frame, shown):
    sentence = f"the frame {shown} is not inside its 40×100 pixels"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        read_photograph(photograph(tmp_path), (20, 20), frame)


def test_a_frame_that_is_no_part(tmp_path):
    with pytest.raises(
        ValueError, match=r"no such part: give one of nose, eye\. Received: frame='face'"
    ):
        boxes_in_images(
            [{"nose": (0, 0, 9, 9), "eye": (0, 0, 9, 9)}],
            [photograph(tmp_path)],
            (20, 20),
            "face",
        )


def photograph(folder, name="a.png", size=(40, 100)):
    Image.new("RGB", size[::-1]).save(folder / name)
    return folder / name


def test_parts_of_several_images(tmp_path):
    paths = [photograph(tmp_path, "a.png"), photograph(tmp_path, "b.png", (20, 20))]
    parts = [{"nose": (0, 30, 4, 40), "eye": (20, 50, 24, 60)}, {"eye": (0, 1, 2, 3)}]
    parts[1]["nose"] = (18, 19, 25, 30)
    boxes = boxes_in_images(parts, paths, (20, 20))
    assert {name: array.tolist() for name, array in boxes.items()} == {
        "nose": [[0, 0, 2, 5], [18, 19, 20, 20]],
        "eye": [[10, 10, 12, 15], [0, 1, 2, 3]],
    }


def test_parts_that_are_missing_or_cut_off(tmp_path):
    paths = [photograph(tmp_path, "a.png"), photograph(tmp_path, "b.png")]
    seen = {"nose": (0, 40, 4, 50)}
    with pytest.raises(
        ValueError, match=r"b\.png has no 'nose', but other images do: annotate its box\."
    ):
        boxes_in_images([seen, {}], paths, (20, 20))
    with pytest.raises(
        ValueError, match=r"'nose' in b.png is outside the centre crop of its 40×10"
    ):
        boxes_in_images([seen, {"nose": (0, 0, 4, 30)}], paths, (20, 20))
    with pytest.raises(ValueError, match="or smaller than a pixel there: leave the photograph out"):
        boxes_in_images([seen, {"nose": (0, 50, 4, 50.5)}], paths, (20, 20))
