"""Checks and standardizes the arguments of public calls.

This is the only place that does so, before any long work, so that no other code has to check again.
"""

import operator
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasvis.data.array_images import PixelImages
from kerasvis.data.file_names import shown_name
from kerasvis.data.folder_images import FolderImages
from kerasvis.data.image_folder import ImageFolder
from kerasvis.data.image_source import image_source
from kerasvis.data.images import Images
from kerasvis.data.known_models import preprocessing_of_model
from kerasvis.data.labelled.jpeg_archive import load_jpeg_archive
from kerasvis.data.labelled_set_images import LabelledSetImages
from kerasvis.data.photographs import MODES, read_photograph
from kerasvis.data.preprocessing import Preprocessing
from kerasvis.data.stream_images import StreamImages
from kerasvis.engines import Ray
from kerasvis.graph import image_shape
from kerasvis.graph.built_model import is_unbuilt, readable_model
from kerasvis.graph.readable import check_model, has_graph
from kerasvis.storage.counted import counted
from kerasvis.storage.short import short

LARGEST_NUMBER = 10**6  # for any number of things
LARGEST_K = 10**4  # for the number of strongest activations of each feature map


def standardize_layers(layers: str | Sequence[str] | None, default: Sequence[str] = ()) -> tuple:
    """A tuple of names of layers.

    Args:
        layers: names, or one name; None for `default`.
        default: what None means.

    Raises:
        ValueError: if there is no name, or the same name twice.
    """
    if layers is None:
        layers = default
    is_collection = isinstance(layers, Collection) and not hasattr(layers, "shape")
    names = (layers,) if isinstance(layers, str) else tuple(layers) if is_collection else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(
            "Give the names of layers, at least one, in front of the images. "
            f"Received: layers={short(layers)}"
        )
    if repeated := sorted({str(name) for name in names if names.count(name) > 1}):
        raise ValueError(
            f"The layer {repeated[0]!r} was given more than once: name each once. "
            f"Received: layers={list(names)!r}"
        )
    return names


def standardize_model(
    model: keras.Model, images: Any = None, *, needs_graph: bool = True
) -> keras.Model:
    """A model whose graph of layers can be read.

    A Sequential model without an input shape, which has no weights yet, is built for the images, as
    by `model.build`. Any other model does not change.

    Args:
        model: a `keras.Model`.
        images: what `standardize_images` takes, or None if there are none.
        needs_graph: if False, a subclassed model is also accepted, as one layer, see
            `kerasvis.graph.one_node_model`.

    Returns:
        The model, or a functional model around a subclassed one.

    Raises:
        ValueError: if it is not a model, or has no graph and there are no images to build it for.
    """
    check_model(model)
    is_ready = has_graph(model) or (needs_graph and not is_unbuilt(model))
    shape = None if is_ready or images is None else _shape_of_each(images)
    return readable_model(model, shape, needs_graph=needs_graph)


def _shape_of_each(images):
    """`(rows, columns, channels)` of images; None if it is unknown without a model."""
    if isinstance(images, str | Path | ImageFolder):
        return images.shape if getattr(images, "size", None) else None
    if hasattr(images, "labels"):
        pixels = getattr(images, "pixels", None)
        return (*images.size, 3) if pixels is None else pixels.shape[1:]
    if hasattr(images, "__next__"):  # an iterator, which can be read only once
        return None
    return image_source(images, batch_size=1, steps=1).image_shape


def standardize_images(
    model: keras.Model,
    images: Any,
    preprocessing: Any = None,
    *,
    batch_size: int = 16,
    steps: int | None = None,
    fetched: bool = False,
) -> Images:
    """The user's images as `Images`, together with their preprocessing.

    The preprocessing is the given one, or that of the images if they have one (an `ImageFolder`).
    A folder without one takes that of the model, if its layers show that it is a model of
    `keras.applications` or KerasHub; other models take pixels. For plain arrays and streams, the
    preprocessing is inferred from the range of values: uint8 or [0, 255], [0, 1], [-1, 1]; or from
    a known model, if the range fits.

    Args:
        model: a `keras.Model` with one image input.
        images: array or tensor `(images, rows, columns, channels)`, as the model takes them; a
            sequence of images of one size; an `ImageFolder`, or the path of a folder or a
            photograph; labelled images, or the path of an archive of them; batches of images, with
            or without labels (`tf.data.Dataset`, `keras.utils.PyDataset`, a list or any other
            iterable).
        preprocessing: what `Preprocessing.of` takes, or None.
        batch_size: images per step.
        steps: maximum number of batches to read, if images come in batches.
        fetched: whether some images will be fetched again by their indices.

    Raises:
        ValueError: if the images are none of these or do not fit the model; if they are endless and
            `steps` is None; if they must be fetched again, but can be read only once; or if the
            preprocessing is not that of the images.
    """
    batch_size = positive_integer(batch_size, "batch_size")
    steps = None if steps is None else positive_integer(steps, "steps")
    standardize_model(model, images)
    source = images
    if not isinstance(images, Images):
        stated = None
        if preprocessing is not None:
            stated = Preprocessing.of(preprocessing, image_shape(model)[2])
        source = _source(model, images, stated, batch_size, steps)
    _check_fits(model, source)
    if fetched and isinstance(source, StreamImages):
        source.check_repeats()
    return source


def _source(model, images, stated, batch_size, steps):
    if isinstance(images, str | Path):
        images = _at_path(Path(images), image_shape(model))
    if isinstance(images, ImageFolder):
        return _of_folder(model, images, stated, batch_size)
    if hasattr(images, "pixels") and hasattr(images, "labels"):  # labelled, in memory
        return PixelImages(images.pixels, standardize_preprocessing(model, stated), batch_size)
    if hasattr(images, "batches") and hasattr(images, "labels"):  # labelled, decoded when needed
        preprocessing = standardize_preprocessing(model, stated)
        if hasattr(images, "part"):
            return LabelledSetImages(images, preprocessing, batch_size)
        source = StreamImages(_preprocessed(images, preprocessing, batch_size), True)
        source.preprocessing = preprocessing
        return source
    source = image_source(images, batch_size, steps=steps)
    source.preprocessing = _agreed(stated, source.preprocessing) or _recognized(model, source)
    return source


def _at_path(path, shape):
    """The images at a path: those of a folder or an archive, or one photograph."""
    *size, channels = shape
    if path.suffix == ".npz":
        return load_jpeg_archive(path, _whole_size(size), _channels(channels)).train
    if os.path.isfile(path):  # unlike `path.is_file`, it never raises
        return _one_photograph(path, _whole_size(size), _channels(channels))[None]
    return ImageFolder(path)


def _one_photograph(path, size, channels):
    try:
        return read_photograph(path, size, channels=channels)
    except ValueError as error:
        raise ValueError(
            f"The photograph cannot be read ({error}): give one that is whole. "
            f"Received: images={shown_name(path)!r}"
        ) from error


def _whole_size(size):
    if None in size:
        raise ValueError(
            "The model takes images of any size: give an ImageFolder with a size, (height, width) "
            "in pixels."
        )
    return tuple(size)


def _channels(channels):
    """The number of channels of photographs for a model; 3 if the model takes any number."""
    if channels not in (None, *MODES):
        raise ValueError(
            "Photographs have 1, 3 or 4 channels: give an array of images as the model takes them. "
            f"Received: a model that takes images of {channels} channels"
        )
    return channels or 3


def _of_folder(model, folder, stated, batch_size):
    *size, channels = image_shape(model)
    if folder.size is None:
        folder = folder.with_size(_whole_size(size))
    if folder.channels is None:
        folder = folder.with_size(folder.size, _channels(channels))
    preprocessing = _agreed(stated, folder.preprocessing) or standardize_preprocessing(model)
    return FolderImages(folder.with_preprocessing(preprocessing), batch_size)


def standardize_preprocessing(model: keras.Model, preprocessing: Any = None) -> Preprocessing:
    """The preprocessing by which images are computed from pixels.

    It is the given one, or that of the model, if its layers show that it is a model of
    `keras.applications` or KerasHub; other models take pixels.
    """
    if preprocessing is not None:
        return Preprocessing.of(preprocessing, image_shape(model)[2])
    return preprocessing_of_model(model) or Preprocessing("raw")


def _preprocessed(images, preprocessing, batch_size):
    def open_batches():
        for pixels, _ in images.batches(batch_size):
            yield preprocessing.images(np.asarray(pixels))

    return open_batches


def _agreed(stated, own):
    """The given preprocessing, or that of the images; raises a ValueError if they differ."""
    if stated is not None and own is not None and stated != own:
        raise ValueError(
            f"The images already have the preprocessing {own.mode!r}: leave out the other one. "
            f"Received: preprocessing={stated.mode!r}"
        )
    return stated or own


def _recognized(model, source):
    """The preprocessing inferred from the range of images, or from the model if the range fits."""
    values = source.sample()
    if values.dtype.kind not in "fiub":
        raise ValueError(
            "Give images of numbers, as the model takes them. "
            f"Received: images of dtype {values.dtype}"
        )
    found = Preprocessing.recognized(values) or preprocessing_of_model(model)
    try:
        if found is not None:
            found.check_channels(values.shape[-1])
            found.check_range(values)
    except ValueError:
        return None
    return found


def _check_fits(model, source):
    """Raises for images that the model cannot take, if this is known before they are read."""
    shape, own = image_shape(model), source.image_shape
    fits = len(own) == 3 and all(a in (None, b) for a, b in zip(shape, own, strict=True))
    if not fits:
        wanted = ", ".join("any" if length is None else str(length) for length in shape)
        raise ValueError(
            f"The model {model.name!r} takes images (batch, {wanted}): resize the images, and put "
            f"a single one into a batch of one, image[None]. Received: images of shape {own}"
        )


def standardize_verbose(verbose: Any) -> bool:
    """Whether progress is shown: `"auto"` (on a terminal), 0, 1 or 2, as in Keras."""
    if isinstance(verbose, str) and verbose == "auto":
        return sys.stderr.isatty()
    if isinstance(verbose, bool | int) and verbose in (0, 1, 2):
        return bool(verbose)
    raise ValueError(f"Give 'auto', 0, 1 or 2. Received: verbose={verbose!r}")


def standardize_engine(engine: Any) -> Ray | None:
    """The engine, or None for this process; raises a ValueError for anything else."""
    if engine is None or isinstance(engine, Ray):
        return engine
    raise ValueError(
        "Give an engine, kerasvis.engines.Ray(), or None for this process. "
        f"Received: engine={short(engine)}"
    )


def standardize_class(class_index: Any, num_classes: int, *, name: str = "class_index") -> int:
    """The number of a class; raises a ValueError if the model has no such class."""
    try:
        number = operator.index(class_index)
    except TypeError:
        number = -1
    if isinstance(class_index, bool) or not 0 <= number < num_classes:
        raise ValueError(
            f"The model has {num_classes} classes: give a number from 0 to {num_classes - 1}. "
            f"Received: {name}={class_index!r}"
        )
    return number


def standardize_classes(class_indices: Any, num_images: int, num_classes: int) -> list:
    """The class of each image, given one number for all or for each; None if it is not given."""
    if class_indices is None or np.ndim(class_indices) == 0:
        class_indices = [class_indices] * num_images
    if len(class_indices) != num_images:
        raise ValueError(
            "Give one class for all images, or one for each. Received: "
            f"{counted(len(class_indices), 'class', 'classes')} for {counted(num_images, 'image')}"
        )
    return [None if c is None else standardize_class(c, num_classes) for c in class_indices]


def positive_integer(value: Any, name: str, most: int = LARGEST_NUMBER) -> int:
    """A whole number from 1 to `most`; otherwise raises a ValueError that names the argument."""
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if isinstance(value, bool) or not 1 <= number <= most:
        raise ValueError(f"Give a whole number from 1 to {most}. Received: {name}={value!r}")
    return number
