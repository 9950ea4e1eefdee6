"""The photographs of a folder as images."""

import copy
import functools
import platform

import numpy as np

from kerasvis.data.file_names import shown_name
from kerasvis.data.images import START, IndexedImages
from kerasvis.data.photographs import content_digests
from kerasvis.data.section import Chosen, Section
from kerasvis.storage.fingerprints import digest


class FolderImages(IndexedImages):
    """The photographs of an `ImageFolder`."""

    def __init__(self, folder, batch_size):
        self.folder, self.batch_size = folder, batch_size
        self.num_images = len(folder)
        self.image_shape = folder.shape
        self.preprocessing = folder.preprocessing
        self.skipped_reasons = folder.skipped_reasons

    def batches(self, progress=START):
        # After the last completed image, its batch may contain further files that were left out.
        start = -(-progress.next_index // self.batch_size) * self.batch_size
        return self.folder.batches(self.batch_size, start=start)

    def section(self, begin, end):
        folder = copy.copy(self.folder)
        folder.filepaths, folder.skipped_reasons = Section(folder.filepaths[begin:end], begin), {}
        return FolderSection(folder, self.batch_size)

    def chosen(self, indices):
        other = copy.copy(self)
        other.folder = copy.copy(self.folder)
        other.folder.filepaths = Chosen(self.folder.filepaths, indices)
        return other

    def __getitem__(self, indices):
        return self.folder[np.ravel(indices)]

    def pixels(self, indices):
        return self.folder.pixels(np.ravel(indices))

    def to_pixels(self, images):
        return self.preprocessing.pixels(images)

    def sample(self):
        return next(self.batches())[1]

    def describe(self, index):
        return f"Image {index} ({shown_name(self.folder.filepaths[index])})"

    @property
    def names(self):
        return tuple(map(shown_name, self.folder.relative_paths))

    @property
    def skipped(self):
        return self.folder.skipped

    def why_none(self):
        path, reason = self.folder.skipped[-1]
        return f"none of {len(self.folder)} files can be decoded, such as {path} ({reason})."

    def fingerprint(self):
        return {
            "content": self._content,
            "batch_size": self.batch_size,
            "preprocessing": getattr(self.preprocessing, "mode", None),
            "shape": self.image_shape and list(self.image_shape),
        }

    @functools.cached_property
    def _content(self):
        return digest([*self.names, *content_digests(self.folder.filepaths)])


class FolderSection(FolderImages):
    """Consecutive photographs of an `ImageFolder`, read on the machine that they were sent to.

    The paths of the folder are a `Section`.
    """

    def batches(self, progress=START):
        if not self.folder.directory.is_dir():
            raise OSError(
                f"There is no folder {shown_name(self.folder.directory)} on the machine "
                f"{platform.node()}: put the photographs where all machines find them under one "
                "path, or give an array."
            )
        return self.folder.batches(self.batch_size, progress.next_index)
