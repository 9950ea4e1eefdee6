"""Reducers, which determine what a scan computes from a layer's outputs."""

import abc
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from kerasvis.activations.channel_maxima import ChannelMaxima, channel_maxima

State = dict[str, np.ndarray]


class Batch:
    """The images of one step of a scan.

    Args:
        image_indices: int64 `(images,)`, ascending.
        images: `(images, rows, columns, channels)`, as the model takes them.
    """

    def __init__(self, image_indices: np.ndarray, images: np.ndarray):
        self.image_indices, self.images = image_indices, images
        self._copies: dict[int, np.ndarray] = {}

    def __len__(self):
        return len(self.image_indices)

    def image(self, index: int) -> np.ndarray:
        """A copy of one image, given its index; all callers share it."""
        if index not in self._copies:
            place = np.searchsorted(self.image_indices, index)
            self._copies[index] = self.images[place].copy()
        return self._copies[index]


class Reducer(abc.ABC):
    """Reduces a layer's outputs over a whole data set, batch by batch, to a result.

    A subclass defines what is measured in a batch (`measure`, which runs with the model), the state
    after one batch (`summary`), how two states are combined (`merge`), and the result of the final
    state (`result`). It may override `update`, if adding a batch is faster than merging.

    A state is a dictionary of arrays. It is never modified but replaced by a new one, so that it
    never contains half of a batch, and `scan_layers` can save it at any time. One reducer can serve
    any number of layers. A scan can resume with another reducer object of the same class and
    attributes.

    Attributes:
        merges_exactly: whether merging gives the same bits however states are grouped, as for
            counts, maxima and rows, but not for sums of floats. If not, an engine returns the state
            of every batch, and they are merged in order.

    Example:
        >>> import keras, numpy as np
        >>> import kerasvis as kv
        >>> class MeanActivation(kv.activations.Reducer):
        ...     def measure(self, outputs, layer):
        ...         return keras.ops.mean(outputs, axis=range(1, outputs.ndim))
        ...     def summary(self, measured, batch):
        ...         return {"sum": measured.sum(dtype="float64"), "number": len(batch)}
        ...     def merge(self, state, other):
        ...         return {name: state[name] + other[name] for name in state}
        ...     def result(self, layer, state):
        ...         return float(state["sum"] / state["number"])
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Rescaling(2, name="a")])
        >>> images = np.ones((5, 8, 8, 3))
        >>> kv.activations.scan_layers(model, ["a"], images, [MeanActivation()], verbose=0)
        [{'a': 2.0}]
    """

    merges_exactly = False

    @abc.abstractmethod
    def measure(self, outputs: Any, layer: keras.layers.Layer) -> Any:
        """Measures a batch with `keras.ops`, on the device that runs the model.

        It is computed once for all reducers of a layer that share this function.

        Args:
            outputs: tensor `(images, rows, columns, feature maps)` or `(images, units)`.
            layer: the layer that returned them.

        Returns:
            A tensor, or a nested structure of tensors. Their first axis is that of the images; the
            others must not depend on the size of the images. All values must be finite.
        """

    @abc.abstractmethod
    def summary(self, measured: Any, batch: Batch) -> State:
        """The state of one batch.

        Args:
            measured: what `measure` returned, in NumPy.
            batch: the `Batch`.
        """

    @abc.abstractmethod
    def merge(self, state: State, other: State) -> State:
        """The state of all images of two states, which have no image in common."""

    def update(self, state: State | None, measured: Any, batch: Batch) -> State:
        """The state after one more batch, whose images follow all earlier ones.

        Args:
            state: the state after all earlier batches; None before the first.
            measured: what `measure` returned, in NumPy.
            batch: the `Batch`.
        """
        summary = self.summary(measured, batch)
        return summary if state is None else self.merge(state, summary)

    def result(self, layer: str, state: State) -> Any:
        """The result for a layer; by default the state itself.

        Args:
            layer: name of the layer.
            state: the state after all batches, from `update` or `merge`.
        """
        return state

    @property
    def settings(self) -> Mapping[str, Any]:
        """What identifies this reducer in a scan that resumes."""
        return {"reducer": type(self).__qualname__, **vars(self)}


class NumActive(NamedTuple):
    """In how many images feature maps are active.

    Attributes:
        num_active: int64 `(feature maps,)`: number of images in which the map is above 0 somewhere.
        num_images: number of all images.
    """

    num_active: np.ndarray
    num_images: int


class CountActive(Reducer):
    """Counts the images in which each feature map is active.

    The result of a layer is a `NumActive`.
    """

    measure = staticmethod(channel_maxima)
    merges_exactly = True

    def summary(self, measured: ChannelMaxima, batch: Batch) -> State:
        return {"num_active": (measured.values > 0).sum(axis=0), "num_images": len(batch)}

    def merge(self, state: State, other: State) -> State:
        return {name: state[name] + other[name] for name in state}

    def result(self, layer: str, state: State) -> NumActive:
        return NumActive(state["num_active"], int(state["num_images"]))


class EveryImage(Reducer):
    """Records a measurement of every image: an array `(images, ...)`.

    A subclass defines `measure`. The result of a layer is `(image_indices, values)`: int64
    `(images,)`, ascending, and the array.
    """

    merges_exactly = True

    def values_of(self, measured: Any) -> np.ndarray:
        """What is recorded: `(images, ...)`."""
        return measured

    def summary(self, measured: Any, batch: Batch) -> State:
        rows = {"image_indices": batch.image_indices, "values": self.values_of(measured)}
        rows = {name: np.array(array) for name, array in rows.items()}
        return rows | {"length": np.array(len(batch))}

    def update(self, state: State | None, measured: Any, batch: Batch) -> State:
        if state is None:
            return self.summary(measured, batch)
        return self._extended(state, batch.image_indices, self.values_of(measured))

    def merge(self, state: State, other: State) -> State:
        both = [self._rows(state), self._rows(other)]
        (indices, _), (other_indices, other_values) = both
        if indices[-1] < other_indices[0]:
            return self._extended(state, other_indices, other_values)
        image_indices, values = (np.concatenate(arrays) for arrays in zip(*both, strict=True))
        order = np.argsort(image_indices)
        image_indices = image_indices[order]
        check_once(image_indices[None])
        return {
            "image_indices": image_indices,
            "values": values[order],
            "length": np.array(len(order)),
        }

    def _extended(self, state, image_indices, values):
        """A state with more rows, of images that follow those of the state."""
        # States share arrays with spare rows at the end; each has a length of its own.
        begin, end = int(state["length"]), int(state["length"]) + len(image_indices)
        rows = {"image_indices": image_indices, "values": values}
        grown = {name: _with_room(state[name], begin, end) for name in rows}
        for name, array in grown.items():
            array[begin:end] = rows[name]
        return grown | {"length": np.array(end)}

    def result(self, layer: str, state: State) -> Any:
        image_indices, values = self._rows(state)
        return image_indices.astype("int64"), values.copy()

    def _rows(self, state):
        return tuple(state[name][: int(state["length"])] for name in ("image_indices", "values"))


def _with_room(array, begin, end):
    """The array if it has `end` rows, otherwise a larger one with the same first rows."""
    if len(array) >= end and array.flags.writeable:  # one from a worker may be read-only
        return array
    larger = np.zeros((max(end, begin + begin // 2), *array.shape[1:]), array.dtype)
    larger[:begin] = array[:begin]
    return larger


def check_once(image_indices: np.ndarray) -> None:
    """Raises if an image occurs twice in ascending indices `(..., images)`; -1 is no image."""
    twice = (image_indices[:, 1:] == image_indices[:, :-1]) & (image_indices[:, 1:] >= 0)
    if twice.any():
        raise ValueError(
            f"Image {image_indices[:, 1:][twice][0]} was scanned twice: merge states of different "
            "images."
        )
