"""Features of all images of a data set, computed once per image and cached on disk.

Each layer has its own folder of `Parts`, whose name depends on everything that the features are
computed from. An interrupted run resumes after the last completed part, and a run with one more
layer computes that layer alone.
"""

import contextlib
import functools
from pathlib import Path

import numpy as np
import tqdm

from kerasvis.analyses.transfer.flat_features import LARGEST_MAP, flat_features
from kerasvis.data.image_ranges import GivenBatches, ImageRange
from kerasvis.data.preprocessing import Preprocessing
from kerasvis.graph import image_shape
from kerasvis.graph.model_fingerprint import model_fingerprint
from kerasvis.graph.portable_model import PortableModel
from kerasvis.graph.reading import nodes_up_to
from kerasvis.graph.replicas import predict_undivided
from kerasvis.storage.fingerprints import digest
from kerasvis.storage.parts import Parts

PART_SIZE = 512  # images whose features are written together


class FeatureCache:
    """The features that some layers of a model compute for all images of a data set.

    The name of a layer's folder depends on the layers up to it and their weights, the images (their
    `fingerprint`), the preprocessing and `largest_map`. It does not depend on the batch size, which
    can change the last bit of a feature.

    Args:
        directory: folder for the features, created when they are computed.
        model: a functional or Sequential `keras.Model`; it is not changed.
        layers: names of layers.
        images: `AllImages`, of the size that the model takes.
        preprocessing: a `kerasvis.data.Preprocessing`, or the name of one: how the images that
            the model takes are made from RGB pixels.
        largest_map: maximum `(rows, columns)` of a feature map, see `flat_features`.

    Raises:
        ValueError: if the images or a layer do not fit the model.

    Example:
        >>> import keras
        >>> from keras import layers
        >>> import kerasvis as kv
        >>> from kerasvis.analyses.transfer.all_images import AllImages
        >>> from kerasvis.analyses.transfer.feature_cache import FeatureCache
        >>> planted = kv.data.PlantedObjects(16, (32, 32))
        >>> images = kv.data.LabelledImages(planted[:].astype("uint8"), planted.labels)
        >>> data = kv.data.LabelledData(images, images, planted.class_names, (32, 32))
        >>> model = keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(4, 5, 4, name="a")])
        >>> cache = FeatureCache("features", model, ["a"], AllImages(data))
        >>> cache.compute(verbose=0)
        >>> cache.load("a").shape  # training and validation images
        (32, 144)
    """

    def __init__(
        self, directory, model, layers, images, preprocessing="raw", largest_map=LARGEST_MAP
    ):
        preprocessing = Preprocessing.of(preprocessing)
        self.model, self.layers, self.images = model, tuple(layers), images
        self.preprocessing = preprocessing
        self.largest_map = None if largest_map is None else tuple(largest_map)
        _check_size(model, images.size)
        check_channels(model, images.num_channels)
        self._features_of(self.layers)  # fail early if a layer is unsuitable
        self._computed_from = {layer: self._sources_of(layer) for layer in self.layers}
        self.folders = {
            layer: Path(directory) / f"{_file_name(layer)}-{digest(computed_from.values())}"
            for layer, computed_from in self._computed_from.items()
        }

    @property
    def num_parts(self):
        return -(-len(self.images) // PART_SIZE)

    def compute(self, batch_size=64, verbose="auto", engine=None):
        """Computes the missing parts.

        Args:
            batch_size: images per step.
            verbose: 1 shows a progress bar, 0 none; `"auto"` shows one on a terminal.
            engine: a `kerasvis.engines.Ray` to compute on the machines of a cluster; None for this
                process, which reads the images in either case.

        Raises:
            ValueError: if a feature is NaN or infinite.
            OSError: if a part cannot be written; existing files stay intact.
        """
        with contextlib.ExitStack() as stack:
            parts = {layer: stack.enter_context(self._parts(layer)) for layer in self.layers}
            missing = {layer: self._missing(parts[layer]) for layer in self.layers}
            layers = [layer for layer in self.layers if missing[layer]]
            if not layers:
                return
            numbers = set.union(*missing.values())
            bar = tqdm.tqdm(
                desc="Features",
                unit=" images",
                total=len(self.images),
                initial=min(numbers) * PART_SIZE,
                disable={"auto": None}.get(verbose, not verbose),  # None: shown on a terminal only
            )
            stack.enter_context(bar)
            compute = self._here if engine is None else functools.partial(self._on_engine, engine)
            computed = stack.enter_context(
                contextlib.closing(compute(self._pixels_of(numbers), layers, batch_size, bar))
            )
            for number, found in computed:
                for layer, features in zip(layers, found, strict=True):
                    _check_finite(features, layer, number)
                    parts[layer].save(_name(number), {"features": features})

    def load(self, layer):
        """The features of a layer: float32 `(images, features)`. Call `compute` first."""
        with self._parts(layer) as parts:
            features = [parts.load(_name(number))["features"] for number in range(self.num_parts)]
        return np.concatenate(features)

    def _pixels_of(self, numbers):
        """Yields `(number, pixels)` of parts."""
        first = min(numbers)
        for number, pixels in enumerate(self.images.batches(PART_SIZE, first * PART_SIZE), first):
            if number in numbers:
                yield number, pixels

    def _here(self, pixels_of_parts, layers, batch_size, bar):
        """Yields `(number, features of each layer)`, computed in this process."""
        model = self._features_of(layers)
        for number, pixels in pixels_of_parts:
            yield number, features_of(model, pixels, self.preprocessing, batch_size, bar.update)

    def _on_engine(self, engine, pixels_of_parts, layers, batch_size, bar):
        """The same, computed on the machines of a cluster, in any order."""
        settings = layers, self.images.size, self.largest_map
        worker = FeatureWorker(self.model, settings, self.preprocessing, batch_size)
        parts = (_range_of(number, pixels) for number, pixels in pixels_of_parts)
        with contextlib.closing(engine.map(worker, parts)) as completed:
            for part, found in completed:
                bar.update(part.num_images)
                yield part.begin // PART_SIZE, found

    def _parts(self, layer):
        return Parts(self.folders[layer], lambda: self._computed_from[layer])

    def _missing(self, parts):
        """Numbers of the parts that have yet to be computed."""
        return {n for n in range(self.num_parts) if not parts.is_complete(_name(n))}

    def _features_of(self, layers):
        return flat_features(self.model, layers, self.images.size, self.largest_map)

    def _sources_of(self, layer):
        return {
            "model": model_fingerprint(nodes_up_to(self.model, [layer])),
            "images": self.images.fingerprint,
            "preprocessing": self.preprocessing.mode,
            "largest map": self.largest_map,
            "images in a part": PART_SIZE,
        }


class FeatureWorker:
    """Computes the features of parts on a machine that has not seen the model.

    Args:
        model: a functional or Sequential `keras.Model`.
        settings: the other arguments of `flat_features`, layers first.
        preprocessing: a `Preprocessing`.
        batch_size: images per step.
    """

    def __init__(self, model, settings, preprocessing, batch_size):
        layers, *_ = self._settings = settings
        self._portable = PortableModel(model, layers)
        self._preprocessing, self._batch_size = preprocessing, batch_size
        self._model = None

    def open(self):
        self._model = flat_features(self._portable.load(), *self._settings)
        self._portable = None

    def __call__(self, images: ImageRange) -> list[np.ndarray]:
        ((_, pixels),) = images.batches()
        return features_of(self._model, pixels, self._preprocessing, self._batch_size)


def features_of(model, pixels, preprocessing, batch_size, advance=lambda number: None):
    """Features of images, an array for each layer.

    Args:
        model: what `flat_features` returns.
        pixels: uint8 `(images, height, width, 3)`.
        preprocessing: a `Preprocessing`.
        batch_size: images per step.
        advance: called with the number of images since its last call.
    """
    batches = []
    for begin in range(0, len(pixels), batch_size):
        images = preprocessing.images(pixels[begin : begin + batch_size])
        batches.append(predict_undivided(model, images))
        advance(len(images))
    return [np.concatenate(arrays) for arrays in zip(*batches, strict=True)]


def _range_of(number, pixels):
    """The images of a part, to be sent."""
    begin, end = number * PART_SIZE, number * PART_SIZE + len(pixels)
    return ImageRange(GivenBatches([(np.arange(begin, end), pixels)]), [begin], end)


def _name(number):
    return f"part_{number:05d}.npz"


def _check_finite(features, layer, number):
    if not np.isfinite(features).all():
        image = number * PART_SIZE + int(np.argmin(np.isfinite(features).all(axis=1)))
        raise ValueError(
            f"Layer {layer!r} returns NaN or infinity for image {image}: check the range of the "
            f"images and the model's weights. Received: layer={layer!r}"
        )


def _check_size(model, size):
    own_size = image_shape(model)[:2]
    if any(own not in (None, given) for own, given in zip(own_size, size, strict=True)):
        raise ValueError(
            f"The model {model.name!r} takes images of {own_size[0]}×{own_size[1]} pixels: load "
            f"the data with image_size={tuple(own_size)}. Received: images of "
            f"{size[0]}×{size[1]} pixels"
        )


def check_channels(model, num_channels=3):
    """Raises a ValueError if the model does not take the channels of the labelled images."""
    own = image_shape(model)[2]
    if own not in (None, num_channels):
        raise ValueError(
            f"The model {model.name!r} takes images of {own} channels, but the labelled images "
            f"have {num_channels}, as photographs are read as RGB: give a model of {num_channels} "
            f"channels. Received: a model that takes images of shape {image_shape(model)}"
        )


def _file_name(layer):
    return layer.replace("/", "-").replace(":", "-")
