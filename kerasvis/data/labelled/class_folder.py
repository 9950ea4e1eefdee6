"""Photographs in folders, one for each class."""

import concurrent.futures
import dataclasses
import functools
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kerasvis.data.file_names import shown_name
from kerasvis.data.folder_walk import SUFFIXES, find_photographs, holds_photographs, list_folder
from kerasvis.data.labelled.labelled_images import LabelledImages, image_indices
from kerasvis.data.photographs import content_digests, photograph_size, read_photograph, reason_of
from kerasvis.data.splits import TRAINING, find_splits, repeats_split, roles_of, validation_split
from kerasvis.data.tensorflow_only import tf
from kerasvis.storage.counted import counted
from kerasvis.storage.fingerprints import digest

_VERIFICATION_SIZE = (8, 8)  # decodes JPEGs at an eighth of their size, which reads every byte


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledFiles:
    """Photographs that are decoded batch by batch.

    Attributes:
        filepaths: tuple of `Path`s.
        labels: int64 `(images,)`, indices into the class names.
        size: `(height, width)` of the images in pixels.
    """

    filepaths: tuple
    labels: np.ndarray
    size: tuple[int, int]

    @property
    def num_images(self):
        return len(self.labels)

    @functools.cached_property
    def digest(self):
        """Identifies these images: a hash of the files' names and content, and labels."""
        names = [f"{path.parent.name}/{path.name}" for path in self.filepaths]
        return digest([self.size, *names, *content_digests(self.filepaths), self.labels])

    def batches(self, batch_size, seed=None):
        """One pass over the images, as `LabelledImages.batches`, decoded ahead in parallel.

        A file that has become unreadable since its verification ends the iteration with an error
        that names it.
        """

        def read(index):
            filepath = self.filepaths[index]
            try:
                return read_photograph(filepath, self.size), self.labels[index]
            except ValueError as error:
                raise ValueError(
                    f"A photograph can no longer be decoded ({error}): repair it, and start again. "
                    f"Received: {shown_name(filepath)}"
                ) from error

        def decode(index):
            pixels, label = tf.numpy_function(read, [index], (tf.uint8, tf.int64), stateful=False)
            return tf.ensure_shape(pixels, (*self.size, 3)), tf.ensure_shape(label, ())

        decoded = image_indices(self.num_images, seed).map(
            decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        return decoded.batch(batch_size)

    def verified(self, keep):
        """Decodes every file once.

        Args:
            keep: whether to keep the pixels in memory; if not, files are decoded at a small size.

        Returns:
            `LabelledImages` if `keep`, else `LabelledFiles`, of the decodable files, and a tuple of
            `(path, reason)` of the others.
        """
        size = self.size if keep else _VERIFICATION_SIZE

        def read(filepath):
            try:
                pixels = read_photograph(filepath, size)
                return (pixels if keep else None), None
            except ValueError as error:
                return None, str(error)

        with concurrent.futures.ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
            pixels, reasons = zip(*pool.map(read, self.filepaths), strict=True)
        whole = [i for i, reason in enumerate(reasons) if reason is None]
        failed = zip(self.filepaths, reasons, strict=True)
        skipped = tuple((path, reason) for path, reason in failed if reason is not None)
        if not keep:
            return self.subset(whole), skipped
        stacked = np.array([pixels[i] for i in whole], "uint8").reshape(-1, *self.size, 3)
        return LabelledImages(stacked, self.labels[whole]), skipped

    def part(self, begin, end):
        """The images from `begin` to before `end`."""
        return self.subset(range(begin, end))

    def subset(self, indices):
        """The images at `indices`."""
        filepaths = tuple(self.filepaths[i] for i in indices)
        return LabelledFiles(filepaths, self.labels[indices], self.size)


class ClassFolders(NamedTuple):
    """Photographs by class.

    Attributes:
        class_names: tuple of the classes' names, sorted, formatted by `shown_name`.
        train: `{name of the class folder: sorted tuple of Paths}`, in the order of the classes.
        validation: likewise; None if there is only one set.
        unread: tuple of `(path, reason)` of subfolders that cannot be read, and of broken links.
    """

    class_names: tuple[str, ...]
    train: dict[str, tuple[Path, ...]]
    validation: dict[str, tuple[Path, ...]] | None
    unread: tuple[tuple[Path, str], ...]


def find_class_folders(directory: str | os.PathLike) -> ClassFolders:
    """Finds the photographs of an image folder, by class.

    Args:
        directory: folder with a folder for training and one for validation, with names that
            `roles_of` recognises as splits, both containing `<class>/*`; or with `train/<class>/*`
            or `<class>/*` alone. The test set is used for validation only if there is no other.
            Photographs are in the class's folder or its subfolders. Links are followed; names that
            begin with a dot, and files of other kinds, are left out.

    Raises:
        ValueError: if there are no classes, a class has no photograph or is in one set only, or
            there are photographs next to the class folders.
    """
    directory = Path(directory)
    contents = _listed(directory)
    roots = _roots(directory, contents)
    sets, unread = [], list(contents.unread) if roots != [directory] else []
    for root in roots:
        files, lost = _files_of_classes(root)
        sets.append(files)
        unread += lost
    if len(sets) == 2:
        _check_same_classes(roots, sets)
    train, validation = (*sets, None)[:2]
    return ClassFolders(tuple(map(shown_name, train)), train, validation, tuple(unread))


def common_size(filepaths):
    """The common `(height, width)` of all readable photographs, from their headers.

    Raises:
        ValueError: if sizes differ, or no photograph can be read.
    """
    sizes = {}
    for filepath in filepaths:
        try:
            sizes.setdefault(photograph_size(filepath), filepath)
        except ValueError:  # the file is reported when it is decoded
            continue
        if len(sizes) > 1:
            (first, a), (second, b) = sizes.items()
            raise ValueError(
                "The photographs differ in size: give an image_size to resize them to. Received: "
                f"{shown_name(a)} ({first[0]}×{first[1]}) and {shown_name(b)} "
                f"({second[0]}×{second[1]})"
            )
    if not sizes:
        raise ValueError(
            "None of the photographs can be decoded: give a folder of images. Received: "
            f"{counted(len(filepaths), 'photograph')} such as {shown_name(filepaths[0])}"
        )
    return next(iter(sizes))


def _listed(folder):
    try:
        return list_folder(folder)
    except OSError as error:
        raise ValueError(
            f"The folder cannot be read ({reason_of(error)}): give one that this user may read. "
            f"Received: {shown_name(folder)}"
        ) from error


def _roots(directory, contents):
    """The folders with the class folders: for training, and for validation if there is one."""
    folders = {folder.name: folder for folder in contents.folders}
    splits = find_splits(_nested(folders))
    if not splits:
        return [directory]
    training = sorted(name for name, role in splits.items() if role == TRAINING)
    if len(training) != 1:
        raise ValueError(
            f"The folder {shown_name(directory)} needs exactly one split for training: give one "
            "with train/<class>, or with one folder for each class. "
            f"Received: {' and '.join(sorted(splits))}"
        )
    validation = validation_split(splits)
    names = training if validation is None else [*training, validation]
    return [_without_repetition(folders[name]) for name in names]


def _nested(folders):
    """`{name: whether it contains folders}` of the folders that may be splits or classes."""
    roles = roles_of(folders)
    named = list(roles)
    if len(named) == 1:  # only other folders with photographs can be classes
        named += [
            name for name in folders if name not in named and holds_photographs(folders[name])
        ]
    else:
        named = list(folders)
    return {name: bool(name in roles and _listed(folders[name]).folders) for name in named}


def _without_repetition(folder):
    """The innermost of the folders in `training_set/training_set/<class>`."""
    inner = _listed(folder).folders
    while repeats_split(folder.name, [one.name for one in inner]):
        deeper = _listed(inner[0]).folders
        if not deeper:  # a class of that name
            break
        folder, inner = inner[0], deeper
    return folder


def _files_of_classes(root):
    """`{class folder: photographs}`, and what cannot be read."""
    contents = _listed(root)
    if contents.photographs and contents.folders:
        raise ValueError(
            "There is a photograph next to the class folders: move it to the folder of its class. "
            f"Received: {shown_name(contents.photographs[0])}"
        )
    if not contents.folders:
        raise ValueError(
            "The folder has no class folders: give one with a folder of photographs for each "
            f"class. Received: {shown_name(root)}"
        )
    files, unread = {}, list(contents.unread)
    for folder in contents.folders:
        found = find_photographs(folder)
        unread += found.unread
        if not found.photographs:
            why = f", as {found.unread[0][1]}" if found.unread else ""
            raise ValueError(
                f"The class folder contains no photographs ({', '.join(SUFFIXES)}){why}: add some, "
                f"or remove the folder. Received: {shown_name(folder)}"
            )
        files[folder.name] = found.photographs
    return files, unread


def _check_same_classes(roots, sets):
    for here, there in ((0, 1), (1, 0)):
        lonely = sorted(sets[here].keys() - sets[there].keys())
        if lonely:
            raise ValueError(
                f"The class {shown_name(lonely[0])!r} is in {shown_name(roots[here])}, but not in "
                f"{shown_name(roots[there])}: add photographs of it to both, or remove it. "
                f"Received: {counted(len(lonely), 'class', 'classes')} in one set only"
            )
