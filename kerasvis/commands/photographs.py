"""The photographs that a user names: files, folders, or bundled images."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

BUNDLED = "demo"


class OpenModel(NamedTuple):
    """A model, what it takes, and by which rules it is projected through.

    Attributes:
        model: the `keras.Model`.
        image_size: `(height, width)` of its images; None where it is not given any.
        preprocessing: the `Preprocessing` by which its images are made from pixels.
        rules: for layers that cannot be projected through otherwise.
    """

    model: Any
    image_size: tuple[int, int] | None
    preprocessing: Any
    rules: Any


def open_images(directory: str, opened: OpenModel, strict: bool = False, batch_size: int = 16):
    """The `Images` of a folder, or the bundled ones, each read when it is asked for.

    Raises:
        ValueError: if the folder holds none.
    """
    from kerasvis.arguments import standardize_images
    from kerasvis.data import ImageFolder
    from kerasvis.data.demo_photographs import DemoPhotographs

    if directory == BUNDLED:
        images = DemoPhotographs(opened.image_size, opened.preprocessing)
    else:
        images = ImageFolder(directory, opened.image_size, opened.preprocessing, strict)
    return standardize_images(opened.model, images, batch_size=batch_size, fetched=True)


def check_images(paths: Iterable[str | Path]) -> None:
    """Refuses files and folders that are not there, before Keras starts.

    Raises:
        ValueError: if there is no such file or folder.
    """
    for path in map(Path, paths):
        if not path.exists() and path.name.partition(":")[0] != BUNDLED:
            raise ValueError(
                f"There is no such photograph or folder: give files, folders, or {BUNDLED}. "
                f"Received: --images={path}"
            )


def print_skipped(images) -> None:
    """Tells which files were left out."""
    for name, reason in images.skipped:
        print(f"Skipped {name}: {reason}", flush=True)


def find_photographs(paths: Sequence[str | Path]) -> list[Path]:
    """The files named, all in the folders, and `demo:<name>`, in the order in which they came.

    Raises:
        ValueError: if a folder holds none.
    """
    from kerasvis.data import ImageFolder

    found = []
    for path in map(Path, paths):
        found += ImageFolder(path).filepaths if path.is_dir() else [path]
    return list(dict.fromkeys(found))


def read_photographs(paths: Sequence[str | Path], size: tuple[int, int]) -> dict:
    """`{path: pixels}` of what `find_photographs` finds; the bundled ones by their names.

    Raises:
        ValueError: if one cannot be read.
    """
    photographs = {}
    for path in find_photographs(paths):
        if path.name.startswith(f"{BUNDLED}:"):
            name = path.name.removeprefix(f"{BUNDLED}:")
            photographs[Path(name)] = bundled_photograph(name, size)
        else:
            photographs[path] = read_file(path, size)
    return photographs


def read_file(path: Path, size: tuple[int, int], frame=None):
    """Pixels of a photograph, or of the `frame` in it, (top, left, bottom, right).

    Raises:
        ValueError: if it cannot be read.
    """
    from kerasvis.data.photographs import read_photograph

    if not path.is_file():
        raise ValueError(
            f"There is no such photograph: give files or folders. Received: --images={path}"
        )
    try:
        return read_photograph(path, size, frame)
    except ValueError as error:
        raise ValueError(
            f"The photograph cannot be read: {error}; leave it out. Received: --images={path}"
        ) from error


def bundled_photograph(name: str, size: tuple[int, int]):
    """Pixels of the middle of a bundled photograph.

    Raises:
        ValueError: if there is none of that name.
    """
    import numpy as np
    from PIL import Image, ImageOps

    from kerasvis.data.demo_photographs import load_photographs

    photographs = load_photographs()
    if name not in photographs:
        raise ValueError(
            f"There is no such bundled photograph: give one of {', '.join(photographs)}. Received: "
            f"--images={BUNDLED}:{name}"
        )
    fitted = ImageOps.fit(photographs[name], size[::-1], Image.Resampling.BICUBIC)
    return np.asarray(fitted)
