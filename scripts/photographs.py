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


def read_photographs(paths, size):
    """`{path: pixels}` of the files named, of all in the folders, and of `demo:<name>`.

    Raises:
        UserError: if there is none, or one cannot be read.
    """
    photographs, files = {}, []
    for path in map(Path, paths):
        if path.name.startswith("demo:"):
            name = path.name.removeprefix("demo:")
            photographs[Path(name)] = demo_photograph(name, size)
        elif path.is_dir():
            files += open_images(path, size, "raw", False).filepaths
        else:
            files.append(path)
    return photographs | {file: read_file(file, size) for file in map(Path, files)}


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
