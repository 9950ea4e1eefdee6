"""Parts of photographs, as boxes annotated in a JSON or CSV file."""

import csv
from pathlib import Path

import numpy as np

from kerasvis.data.file_names import shown_name
from kerasvis.data.photographs import photograph_size
from kerasvis.storage.text_files import parse_json, read_text

EDGES = ("top", "left", "bottom", "right")


def read_parts(filepath):
    """Reads the boxes of parts of photographs.

    The file is JSON, `{"dog.jpg": {"nose": [top, left, bottom, right]}}`, or CSV with the columns
    `image, part, top, left, bottom, right`. Edges are in pixels of the upright photograph, half
    open.

    Args:
        filepath: path of the file, `.json` or `.csv`.

    Returns:
        `{image: {part: (top, left, bottom, right)}}`, as numbers, in the order of the file.

    Raises:
        ValueError: if the file is neither of these, or a box is empty.
    """
    filepath = Path(filepath)
    try:
        text = read_text(filepath)
        parts = _from_csv(text) if filepath.suffix.lower() == ".csv" else _from_json(text)
    except OSError as error:
        raise ValueError(
            f"The parts cannot be read ({error.strerror}): give a JSON or CSV file. "
            f"Received: filepath={str(filepath)!r}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, csv.Error) as error:
        raise ValueError(
            'The file contains no parts of images: give JSON, {"image": {"part": [top, left, '
            "bottom, right]}}, or CSV with the columns image, part, top, left, bottom, right. "
            f"Received: filepath={str(filepath)!r}"
        ) from error
    for image, boxes in parts.items():
        for part, (top, left, bottom, right) in boxes.items():
            if not (top < bottom and left < right):
                raise ValueError(
                    f"The box of {part!r} in {image} is empty: give top, left, bottom, right with "
                    "top < bottom and left < right. "
                    f"Received: {[top, left, bottom, right]}"
                )
    return parts


def _from_json(text):
    return {
        image: {part: _box(edges) for part, edges in boxes.items()}
        for image, boxes in parse_json(text).items()
    }


def _from_csv(text):
    parts = {}
    for row in csv.DictReader(text.splitlines(), skipinitialspace=True):
        parts.setdefault(row["image"], {})[row["part"]] = _box([row[edge] for edge in EDGES])
    return parts


def _box(edges):
    top, left, bottom, right = (float(edge) for edge in edges)
    if not np.isfinite([top, left, bottom, right]).all():
        raise ValueError(f"{edges} are not numbers of pixels")
    return top, left, bottom, right


def boxes_in_images(parts, filepaths, image_size, frame=None):
    """The boxes of parts in images as `read_photograph` returns them.

    Args:
        parts: `{part: (top, left, bottom, right)}` in pixels of the photograph, for each file.
        filepaths: paths of the photographs, in the same order.
        image_size: `(height, width)` of the images in pixels.
        frame: name of the part to which each photograph was cropped first; None without one.

    Returns:
        `{part: int64 (images, 4)}`, without the frame: (top, left, bottom, right) in pixels of the
        image, half open, rounded, and clipped at the image's border.

    Raises:
        ValueError: if an image lacks a part that another one has, or a part is outside the crop.
    """
    names = list(dict.fromkeys(part for boxes in parts for part in boxes))
    if frame is not None and frame not in names:
        raise ValueError(
            f"There is no such part: give one of {', '.join(names)}. Received: frame={frame!r}"
        )
    found = {name: [] for name in names if name != frame}
    for path, boxes in zip(map(Path, filepaths), parts, strict=True):
        if missing := [name for name in names if name not in boxes]:
            raise ValueError(
                f"{path.name} has no {missing[0]!r}, but other images do: annotate its box. "
                f"Received: {', '.join(boxes) or 'no parts'} for {path.name}"
            )
        top, left, bottom, right = _whole(path) if frame is None else map(round, boxes[frame])
        size = bottom - top, right - left
        for name in found:
            inside = [edge - (top, left)[place % 2] for place, edge in enumerate(boxes[name])]
            box = box_in_image(inside, size, image_size)
            if box[0] >= box[2] or box[1] >= box[3]:
                raise ValueError(
                    f"The box of {name!r} in {path.name} is outside the centre crop of its "
                    f"{size[0]}×{size[1]} pixels, or smaller than a pixel there: leave the "
                    f"photograph out. Received: {list(boxes[name])}"
                )
            found[name].append(box)
    return {name: np.array(boxes, "int64") for name, boxes in found.items()}


def _whole(path):
    try:
        return 0, 0, *photograph_size(path)
    except ValueError as error:
        raise ValueError(
            f"The photograph cannot be read ({error}): leave it out. Received: {shown_name(path)}"
        ) from error


def box_in_image(box, photograph_size, image_size):
    """A box of a photograph, in the image that is resized and cropped from its centre.

    Args:
        box: `(top, left, bottom, right)` in pixels of the photograph.
        photograph_size: `(height, width)` in pixels.
        image_size: `(height, width)` in pixels.

    Returns:
        `[top, left, bottom, right]`, rounded to whole pixels of the image and clipped at its
        border; of height or width 0 if the box is outside.
    """
    scale = max(new / old for new, old in zip(image_size, photograph_size, strict=True))
    edges = []
    for place, edge in enumerate(box):
        old, new = photograph_size[place % 2], image_size[place % 2]
        edges.append(min(max(round((edge - old / 2) * scale + new / 2), 0), new))
    return edges
