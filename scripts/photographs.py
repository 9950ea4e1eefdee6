"""The photographs that a user names: files, folders, or some that come along."""

from pathlib import Path

from command import UserError


def open_images(directory, size, preprocessing, strict):
    """The images of a folder, or of `demo`, each read when it is asked for.

    Raises:
        ValueError: if the folder holds none.
    """
    from kerasvis.data import ImageFolder
    from kerasvis.data.demo_photographs import DemoPhotographs

    if directory == "demo":
        return DemoPhotographs(size, preprocessing)
    return ImageFolder(directory, size, preprocessing, strict)


def report_skipped(images):
    for path, reason in getattr(images, "skipped", ()):
        print(f"Skipped {path}: {reason}", flush=True)


def find_photographs(paths):
    """The files named, all in the folders, and `demo:<name>`, in the order in which they came.

    Raises:
        ValueError: if a folder holds none.
    """
    found = []
    for path in map(Path, paths):
        in_folder = open_images(path, (1, 1), "raw", False).filepaths if path.is_dir() else [path]
        found += map(Path, in_folder)
    return list(dict.fromkeys(found))


def read_photographs(paths, size):
    """`{path: pixels}` of what `find_photographs` finds; those of the demo by their names.

    Raises:
        UserError: if one cannot be read.
    """
    photographs = {}
    for path in find_photographs(paths):
        if path.name.startswith("demo:"):
            name = path.name.removeprefix("demo:")
            photographs[Path(name)] = demo_photograph(name, size)
        else:
            photographs[path] = read_file(path, size)
    return photographs


def read_file(path, size, frame=None):
    """Pixels of a photograph, or of the `frame` in it, (top, left, bottom, right)."""
    from kerasvis.data.photographs import read_photograph

    if not path.is_file():
        raise UserError(f"There is no photograph {path}: give files or folders.")
    try:
        return read_photograph(path, size, frame)
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {error}; leave it out.") from error


def demo_photograph(name, size):
    """Pixels of the middle of a photograph of the demo's."""
    import numpy as np
    from PIL import Image, ImageOps

    from kerasvis.data.demo_photographs import load_photographs

    photographs = load_photographs()
    if name not in photographs:
        raise UserError(f"There is no demo photograph {name!r}: give {', '.join(photographs)}.")
    fitted = ImageOps.fit(photographs[name], size[::-1], Image.Resampling.BICUBIC)
    return np.asarray(fitted)
