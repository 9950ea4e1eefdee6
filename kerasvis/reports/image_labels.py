"""The names of a data set's images and of their classes, as far as known."""

import collections
import re
from collections.abc import Mapping
from typing import Any

from kerasvis.data.file_names import shown_name
from kerasvis.data.image_folder import ImageFolder
from kerasvis.data.splits import without_splits

WNID = re.compile(r"(n\d{8})(?:_(.*))?")  # names of ImageNet's classes, such as n01440764_tench


def image_names(images: Any) -> tuple[str, ...]:
    """A name for each image: its path in the folder, its place in the photograph, or its index.

    Args:
        images: an `ImageFolder`, `DemoPhotographs`, or an array.

    Returns:
        Tuple of names.
    """
    if isinstance(images, ImageFolder):
        return tuple(map(shown_name, images.relative_paths))
    if hasattr(images, "crops"):
        return tuple(map(str, images.crops))
    return tuple(f"image {index}" for index in range(len(images)))


def class_labels(images: Any, names: Mapping[str, str] | None = None) -> tuple[str, ...] | None:
    """The class name of each image, from the folder or the name of its file.

    The class is the name of the folder if all photographs are in two or more folders, `<class>/…`
    or `<split>/<class>/…`, where `find_splits` recognises the split. Otherwise, if all file names
    begin with the ImageNet number of a class, as in `n01440764_tench.jpg`, the class is the rest.

    Args:
        images: an `ImageFolder`; other images have no classes.
        names: `{class as found, or its ImageNet number: name to show}`.

    Returns:
        Tuple of names, or None if the classes are unknown.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> import kerasvis as kv
        >>> for name in ["navy", "yellow"]:
        ...     Path("photographs", name).mkdir(parents=True)
        ...     Image.new("RGB", (50, 40), name).save(f"photographs/{name}/1.png")
        >>> kv.reports.class_labels(kv.data.ImageFolder("photographs"))
        ('navy', 'yellow')
    """
    if not isinstance(images, ImageFolder):
        return None
    paths = images.relative_paths
    folders = without_splits([path.parts[:-1] for path in paths])
    found = [shown_name(names[0]) if names else None for names in folders]
    if not all(found) or len(set(found)) == 1:  # a single folder does not distinguish classes
        found = [_class_in_name(shown_name(path.stem)) for path in paths]
    if not all(found):
        return None
    shown = {name: _shown(name, names or {}) for name in found}
    times = collections.Counter(shown.values())
    # Two classes of ImageNet are called crane, the bird and the machine.
    return tuple(
        shown[name] if times[shown[name]] == 1 else f"{shown[name]} ({_key(name)})"
        for name in found
    )


def _class_in_name(stem):
    match = WNID.match(stem)
    if match is None:
        return None
    wnid, rest = match.groups()
    return stem if rest and not rest.isdecimal() else wnid


def _key(name):
    match = WNID.fullmatch(name)
    return match[1] if match else name


def _shown(name, names):
    match = WNID.fullmatch(name)
    if name in names:
        return names[name]
    if match is None:
        return name
    wnid, rest = match.groups()
    return names.get(wnid) or (rest or wnid).replace("_", " ")
