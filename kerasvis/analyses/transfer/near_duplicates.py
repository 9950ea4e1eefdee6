"""Images that two data sets have in common, found by normalised correlation.

A model may have been trained on images of the other data set. Such images are left out before the
model's features are measured on that data set.
"""

import dataclasses
import os
from typing import Annotated, Any, Self

import numpy as np
import tqdm

from kerasvis.data.image_folder import ImageFolder
from kerasvis.data.image_source import image_source
from kerasvis.data.labelled.labelled_data import LabelledData
from kerasvis.data.photographs import fit_pixels
from kerasvis.storage.fields import Array
from kerasvis.storage.results import Result

THUMBNAIL_SIZE = (32, 32)  # rows and columns of the thumbnails that are compared
LEAST_CORRELATION = 0.95
NUM_AT_ONCE = 256  # bounds the memory


@dataclasses.dataclass(frozen=True, eq=False)
class NearDuplicates(Result):
    """Images that are nearly the same as one of the references.

    Attributes:
        image_indices: int64 `(duplicates,)`, ascending.
        reference_indices: int64 `(duplicates,)`: the most similar reference of each.
        correlations: float32 `(duplicates,)`, in [-1, 1].
    """

    image_indices: Annotated[np.ndarray, Array("int64", "duplicates")]
    reference_indices: Annotated[np.ndarray, Array("int64", "duplicates")]
    correlations: Annotated[np.ndarray, Array("float32", "duplicates")]

    @classmethod
    def none(cls) -> Self:
        """The empty result."""
        return cls(np.zeros(0, "int64"), np.zeros(0, "int64"), np.zeros(0, "float32"))


def find_near_duplicates(
    pixels: Any,
    references: Any,
    least_correlation: float = LEAST_CORRELATION,
    verbose: str | int = "auto",
) -> NearDuplicates:
    """Finds the images that are nearly the same as one of the references.

    Images and references are resized and centre-cropped to thumbnails of `THUMBNAIL_SIZE`. The mean
    of each channel is subtracted. The normalised correlation of two thumbnails is then the cosine
    of the angle between them. A thumbnail of a single colour correlates with nothing.

    Deviation: the paper states neither the image size nor the threshold, nor how it treats colour.
    Thumbnails match across sizes and compressions of a photograph. Without the channels' means, two
    blue seas do not match by their colour alone. A different crop of a photograph is not found.

    Args:
        pixels: uint8 `(images, rows, columns, 3)`, or an iterable of batches of these.
        references: uint8 `(images, rows, columns, 3)`; the path of a folder of photographs,
            subfolders included, whose undecodable files are left out; or a
            `kerasvis.data.LabelledData`, of which the training images are taken.
        least_correlation: images with at least this correlation count as the same, in (0, 1].
        verbose: 1 shows a progress bar, 0 none; `"auto"` shows one on a terminal.

    Returns:
        A `NearDuplicates`.

    Raises:
        ValueError: if `references` is none of these, no reference can be read, or a number is out
            of range.

    Reference:
        Zeiler & Fergus 2013, Section 5.2.

    Example:
        >>> import numpy as np
        >>> import kerasvis as kv
        >>> images = np.random.default_rng(0).integers(0, 256, (5, 40, 50, 3)).astype("uint8")
        >>> kv.analyses.find_near_duplicates(images, images[3:4], verbose=0).image_indices
        array([3])
    """
    if not 0 < least_correlation <= 1:
        raise ValueError(
            f"Give a correlation in (0, 1]. Received: least_correlation={least_correlation!r}"
        )
    batches = _reference_batches(references)
    of_batches = [_directions(batch) for batch in _batches_of(pixels)]
    if not of_batches:
        raise ValueError("Give one image or more. Received: pixels without any")
    directions = np.concatenate(of_batches)
    highest = np.full(len(directions), -1.0, "float32")
    nearest = np.zeros(len(directions), "int64")
    bar = tqdm.tqdm(
        desc="Near-duplicates",
        unit=" references",
        disable=None if verbose == "auto" else not verbose,  # None: shown on a terminal only
    )
    num_references = 0
    with bar:
        for indices, batch in batches:
            num_references += len(indices)
            correlations = directions @ _directions(batch).T
            best, values = correlations.argmax(axis=1), correlations.max(axis=1)
            is_higher = values > highest
            highest[is_higher] = values[is_higher]
            nearest[is_higher] = indices[best[is_higher]]
            bar.update(len(indices))
    if not num_references:
        raise ValueError(
            "None of the references can be read: give photographs that can be decoded. "
            f"Received: references={_described(references)}"
        )
    found = np.flatnonzero(highest >= least_correlation - 1e-6)  # as exact as float32
    return NearDuplicates(found, nearest[found], highest[found])


def _described(references):
    """A path as it is, or the type of anything else."""
    is_path = isinstance(references, str | os.PathLike)
    return repr(os.fspath(references)) if is_path else f"a {type(references).__name__}"


def fingerprint_of(references):
    """Hexadecimal digits that change with the references of `find_near_duplicates`."""
    if isinstance(references, LabelledData):
        return references.fingerprint
    if isinstance(references, str | os.PathLike):
        references = ImageFolder(references, THUMBNAIL_SIZE)
    else:
        _check(references, "References")
    return image_source(references, NUM_AT_ONCE).fingerprint()


def _directions(pixels):
    """Thumbnails without their mean colour, as vectors of length 1 or 0: `(images, values)`."""
    thumbnails = np.stack([fit_pixels(np.asarray(one), THUMBNAIL_SIZE) for one in pixels])
    thumbnails = thumbnails.astype("float32")
    thumbnails -= thumbnails.mean(axis=(1, 2), keepdims=True)
    vectors = thumbnails.reshape(len(thumbnails), -1)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def _batches_of(pixels):
    if not hasattr(pixels, "shape"):
        return pixels
    _check(pixels, "Images")
    return (pixels[begin : begin + NUM_AT_ONCE] for begin in range(0, len(pixels), NUM_AT_ONCE))


def _reference_batches(references):
    """Yields `(image indices, pixels)`."""
    if isinstance(references, str | os.PathLike):
        return ImageFolder(references, THUMBNAIL_SIZE).batches(NUM_AT_ONCE)
    if isinstance(references, LabelledData):
        return _numbered(references.train.batches(NUM_AT_ONCE).map(lambda pixels, labels: pixels))
    _check(references, "References")
    return _numbered(_batches_of(references))


def _numbered(batches):
    begin = 0
    for batch in batches:
        yield np.arange(begin, begin + len(batch)), np.asarray(batch)
        begin += len(batch)


def _check(pixels, what):
    shape, dtype = getattr(pixels, "shape", ()), getattr(pixels, "dtype", type(pixels).__name__)
    if len(shape) != 4 or shape[-1] != 3 or dtype != np.uint8:
        raise ValueError(
            f"{what} must be a uint8 array (images, rows, columns, 3), a folder of photographs or "
            f"labelled data. Received: {dtype} {tuple(shape)}"
        )
