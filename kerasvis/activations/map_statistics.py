"""How the feature maps of a layer respond to a whole data set, not only to their strongest images.

For every feature map and image, one number is recorded: the strongest activation. All statistics
follow from it.
"""

import collections
import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import keras
import numpy as np

from kerasvis.activations.channel_maxima import ChannelMaxima, channel_maxima
from kerasvis.activations.reducers import EveryImage, State
from kerasvis.activations.scan import scan_layers
from kerasvis.engines import Ray
from kerasvis.storage.fields import Array
from kerasvis.storage.results import Result


class Histogram(NamedTuple):
    """How many images have a maximum in each of several equal intervals.

    Attributes:
        counts: int64 `(intervals,)`.
        edges: float64 `(intervals + 1,)`, ascending; the last interval includes its upper edge.
    """

    counts: np.ndarray
    edges: np.ndarray


class ClassMeans(NamedTuple):
    """The maxima of feature maps, averaged over the images of each class.

    Attributes:
        names: tuple of the classes' names, sorted.
        num_images: int64 `(classes,)`.
        means: float64 `(classes, feature maps)`.
    """

    names: tuple[str, ...]
    num_images: np.ndarray
    means: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class MapStatistics(Result):
    """The strongest activation of every feature map of one layer in every image.

    Attributes:
        layer: name of the layer.
        image_indices: int64 `(images,)`, ascending; images that cannot be decoded are left out.
        maxima: float32 `(images, feature maps)`.
    """

    layer: str
    image_indices: Annotated[np.ndarray, Array("int64", "images")]
    maxima: Annotated[np.ndarray, Array("float32", "images", "features")]

    @functools.cached_property
    def means(self) -> np.ndarray:
        """float64 `(feature maps,)`: the maxima, averaged over the images."""
        return self.maxima.mean(axis=0, dtype="float64")

    @functools.cached_property
    def num_active(self) -> np.ndarray:
        """int64 `(feature maps,)`: the number of images in which the map is above 0 somewhere."""
        return (self.maxima > 0).sum(axis=0)

    @functools.cached_property
    def sparseness(self) -> np.ndarray:
        """float64 `(feature maps,)`, in [0, 1]: 0 if all maxima are equal, 1 if one image has all.

        The lifetime sparseness of the maxima above 0; NaN for a map that is never active, and if
        there is only one image.

        Reference:
            Vinje & Gallant 2000, "Sparse coding and decorrelation in primary visual cortex".
        """
        rates = np.maximum(self.maxima, 0).astype("float64")
        num_images = len(rates)
        with np.errstate(invalid="ignore", divide="ignore"):
            evenness = rates.mean(axis=0) ** 2 / np.square(rates).mean(axis=0)
            return np.clip((1 - evenness) / (1 - np.divide(1, num_images)), 0, 1)

    @functools.cached_property
    def co_activation(self) -> np.ndarray:
        """float64 `(feature maps, feature maps)`, in [-1, 1]: correlation of maxima over images.

        NaN for a map whose maximum is the same in all images.
        """
        centred = self.maxima - self.means
        lengths = np.sqrt(np.square(centred).sum(axis=0))
        scale = np.abs(self.maxima).max(axis=0) * np.sqrt(len(centred))
        is_constant = lengths <= 1e-6 * scale  # the rest is rounding error
        directions = centred / np.where(is_constant, np.nan, lengths)
        return np.clip(directions.T @ directions, -1, 1)

    def histogram(self, feature: int, num_intervals: int = 24) -> Histogram:
        """The `Histogram` of one map's maxima."""
        return Histogram(*np.histogram(self.maxima[:, feature].astype("float64"), num_intervals))

    def most_alike(self, feature: int, number: int = 6) -> list[tuple[int, float]]:
        """The feature maps with the strongest co-activation with a given one.

        Returns:
            List of `(feature, correlation)`, the highest correlation first; maps without a positive
            correlation are left out.
        """
        correlations = self.co_activation[feature].copy()
        correlations[feature] = np.nan
        order = np.argsort(-correlations, kind="stable")[:number]  # NaN comes last
        return [(int(f), float(correlations[f])) for f in order if correlations[f] > 0]

    def class_means(self, labels: Sequence[str | None]) -> ClassMeans:
        """The `ClassMeans`, given the name of each image's class, or None if it has no class."""
        places = [place for place, index in enumerate(self.image_indices) if labels[index]]
        label_of = {place: str(labels[int(self.image_indices[place])]) for place in places}
        places.sort(key=label_of.__getitem__)
        sorted_labels = [label_of[place] for place in places]
        num_images = collections.Counter(sorted_labels)  # in order, like the labels
        if not num_images:
            return ClassMeans((), np.zeros(0, "int64"), np.zeros((0, self.maxima.shape[1])))
        counts = np.array(list(num_images.values()), "int64")
        begins = np.cumsum(counts) - counts
        sums = np.add.reduceat(self.maxima[places], begins, axis=0, dtype="float64")
        return ClassMeans(tuple(num_images), counts, sums / counts[:, None])


class AllMaxima(EveryImage):
    """Records the strongest activation of every feature map in every image.

    The result of a layer is a `MapStatistics`.
    """

    measure = staticmethod(channel_maxima)

    def values_of(self, measured: ChannelMaxima) -> np.ndarray:
        return measured.values

    def result(self, layer: str, state: State) -> MapStatistics:
        return MapStatistics(layer, *super().result(layer, state))


def map_statistics(
    model: keras.Model,
    layers: str | Sequence[str],
    images: Any,
    *,
    batch_size: int = 16,
    steps: int | None = None,
    directory: str | Path | None = None,
    engine: Ray | None = None,
    verbose: str | int = "auto",
) -> dict[str, MapStatistics]:
    """Records the strongest activation of every feature map in every image, in one forward pass.

    It takes 4 bytes of memory for each image and feature map. With a `directory`, an interrupted
    scan can resume, see `scan_layers`.

    Args:
        model: a functional or Sequential `keras.Model`; it is not changed.
        layers: names of layers, or one name.
        images, batch_size, steps, directory, engine, verbose: see `scan_layers`.

    Returns:
        `{layer: MapStatistics}`.

    Raises:
        ValueError, OSError: see `scan_layers`.

    Example:
        >>> import keras, numpy as np
        >>> import kerasvis as kv
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="a")])
        >>> images = np.ones((5, 8, 8, 3))
        >>> kv.activations.map_statistics(model, ["a"], images, verbose=0)["a"].maxima.shape
        (5, 4)
    """
    (statistics,) = scan_layers(
        model,
        layers,
        images,
        [AllMaxima()],
        batch_size=batch_size,
        steps=steps,
        directory=directory,
        engine=engine,
        verbose=verbose,
    )
    return statistics
