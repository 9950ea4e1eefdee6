"""The photographs that a user names: files, folders, or bundled images."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kerasvis.commands.output import result_names
from kerasvis.commands.told_as import told_as
from kerasvis.storage.written_names import written_names

if TYPE_CHECKING:
    import keras
    import numpy as np

    from kerasvis.data import ImageFolder
    from kerasvis.data.images import Images
    from kerasvis.data.preprocessing import Preprocessing

BUNDLED = "demo"


class OpenModel(NamedTuple):
    """A model with the images that it takes and the rules for its projections.

    Attributes:
        model: the `keras.Model`.
        size: `(height, width)` of its images; None for a model that is given no images.
        preprocessing: the `Preprocessing` by which its images are made from pixels.
        rules: for layers that cannot be projected through otherwise.
    """

    model: "keras.Model"
    size: tuple[int, int] | None
    preprocessing: "Preprocessing"
    rules: tuple

    @property
    def image_size(self) -> tuple[int, int]:
        """`(height, width)` of its images, where it is given any."""
        if self.size is None:
            raise RuntimeError("The model was opened without images, so it has no image size.")
        return self.size

    @property
    def channels(self) -> int:
        """Number of channels of its images; 3 if it takes any number."""
        return self.model.inputs[0].shape[-1] or 3


class Photograph(NamedTuple):
    """A photograph as a model sees it.

    Attributes:
        name: unique name of its results, without an ending.
        title: its name in tables.
        pixels: uint8 `(height, width, channels)`.
    """

    name: str
    title: str
    pixels: "np.ndarray"

    @property
    def rgb(self) -> "np.ndarray":
        """Its pixels in RGB for figures, without transparency."""
        is_grey = self.pixels.shape[-1] == 1
        return self.pixels.repeat(3, axis=-1) if is_grey else self.pixels[..., :3]


def open_images(
    directory: str,
    opened: OpenModel,
    strict: bool = False,
    batch_size: int = 16,
    *,
    option: str = "--images",
) -> "Images":
    """The `Images` of a folder, or the bundled ones, each read when it is asked for.

    Args:
        directory: the folder, or `demo`.
        opened: the model.
        strict: whether a file that cannot be read is an error.
        batch_size: images per batch.
        option: the option that names the folder, for errors.

    Raises:
        ValueError: if the folder holds none.
    """
    from kerasvis.arguments import standardize_images
    from kerasvis.data import ImageFolder
    from kerasvis.data.demo_photographs import DemoPhotographs

    size, preprocessing, channels = opened.image_size, opened.preprocessing, opened.channels
    images: DemoPhotographs | ImageFolder
    if directory == BUNDLED:
        images = DemoPhotographs(size, preprocessing, channels)
    else:
        with told_as(option, directory, "directory="):
            images = ImageFolder(directory, size, preprocessing, strict, channels)
    return standardize_images(opened.model, images, batch_size=batch_size, fetched=True)


def check_images(paths: Iterable[str | Path], *, option: str = "--images") -> None:
    """Checks files and folders before Keras starts.

    Args:
        paths: files, folders, and bundled images.
        option: the option that names them, for errors.

    Raises:
        ValueError: if one of them is missing, or is a result of an earlier run.
    """
    for path in map(Path, paths):
        if not path.exists() and str(path).partition(":")[0] != BUNDLED:
            raise ValueError(
                f"There is no such photograph or folder: give files, folders, or {BUNDLED}. "
                f"Received: {option}={path}"
            )
        if path.name in written_names(path.parent):
            raise ValueError(
                "This is a result of an earlier run: give a photograph, or a folder of them. "
                f"Received: {option}={path}"
            )


def print_skipped(images: "Images | ImageFolder") -> None:
    """Prints which files were skipped."""
    for name, reason in images.skipped:
        print(f"Skipped {name}: {reason}", flush=True)


def find_photographs(paths: Sequence[str | Path], *, option: str = "--images") -> list[Path]:
    """The given files, all files in given folders, and `demo:<name>`, in the given order.

    `demo` stands for all bundled photographs, unless there is a folder of that name.

    Raises:
        ValueError: if a folder holds none.
    """
    from kerasvis.data import ImageFolder
    from kerasvis.data.demo_photographs import load_photographs

    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            with told_as(option, path, "directory="):
                folder = ImageFolder(path)
            found += folder.filepaths
            print_skipped(folder)  # broken links, and subfolders that cannot be read
        elif str(path) == BUNDLED:
            found += [Path(f"{BUNDLED}:{name}") for name in load_photographs()]
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def read_photographs(
    paths: Sequence[str | Path],
    size: tuple[int, int],
    channels: int = 3,
    taken: Iterable[str] = (),
    *,
    option: str = "--images",
) -> list[Photograph]:
    """Reads the photographs that `find_photographs` finds, bundled ones included.

    An unreadable photograph in a folder is reported and skipped; one that is given by name is an
    error.

    Args:
        paths: files, folders, `demo`, and `demo:<name>`.
        size: `(height, width)` in pixels.
        channels: 1, 3 or 4.
        taken: names of other results.
        option: the option that names the photographs, for errors.

    Raises:
        ValueError: if one cannot be read.
    """
    from kerasvis.data.file_names import shown_name

    found = find_photographs(paths, option=option)
    names = result_names([path.name.removeprefix(f"{BUNDLED}:") for path in found], taken)
    file_names, named = [path.name for path in found], set(map(Path, paths))
    photographs = []
    for path, name in zip(found, names, strict=True):
        is_bundled = path.name.startswith(f"{BUNDLED}:")
        read = bundled_photograph if is_bundled else read_file
        title = path.name if file_names.count(path.name) == 1 else path
        title = shown_name(title).removeprefix(f"{BUNDLED}:")
        try:
            pixels = read(path, size, channels=channels, option=option)
        except ValueError as error:
            if path in named or len(found) == 1:
                raise
            print(f"Skipped {title}: {error.__cause__}", flush=True)
            continue
        photographs.append(Photograph(name, title, pixels))
    if not photographs:
        raise ValueError(
            "None of the photographs can be read: give others. "
            f"Received: {option}={' '.join(map(shown_name, paths))}"
        )
    return photographs


def read_file(
    path: Path,
    size: tuple[int, int],
    frame: tuple | None = None,
    channels: int = 3,
    *,
    option: str = "--images",
) -> "np.ndarray":
    """Pixels of a photograph, or of the `frame` in it, (top, left, bottom, right).

    Raises:
        ValueError: if it cannot be read.
    """
    from kerasvis.data.photographs import read_photograph

    try:
        return read_photograph(path, size, frame, channels)
    except ValueError as error:
        raise ValueError(
            f"The photograph cannot be read: {error}; leave it out. Received: {option}={path}"
        ) from error


def bundled_photograph(
    path: Path, size: tuple[int, int], channels: int = 3, *, option: str = "--images"
) -> "np.ndarray":
    """Pixels of the centre crop of the bundled photograph `demo:<name>`.

    Raises:
        ValueError: if there is no bundled photograph of that name.
    """
    import numpy as np
    from PIL import Image, ImageOps

    from kerasvis.data.demo_photographs import load_photographs
    from kerasvis.data.photographs import with_channels

    photographs = load_photographs()
    name = path.name.removeprefix(f"{BUNDLED}:")
    if name not in photographs:
        raise ValueError(
            f"There is no such bundled photograph: give one of {', '.join(photographs)}. Received: "
            f"{option}={path}"
        )
    photograph = with_channels(photographs[name], channels)
    fitted = np.asarray(ImageOps.fit(photograph, size[::-1], Image.Resampling.BICUBIC))
    return fitted.reshape(*size, channels)
