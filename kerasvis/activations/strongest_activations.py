"""Figure 2: which images activate each feature map most."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasvis.activations.channel_maxima import ChannelMaxima, channel_maxima
from kerasvis.activations.reducers import Batch, Reducer, State, check_once
from kerasvis.activations.scan import Scan, progress_bar
from kerasvis.activations.top_activations import LayerActivations, TopActivations
from kerasvis.arguments import (
    LARGEST_K,
    positive_integer,
    standardize_engine,
    standardize_images,
    standardize_layers,
    standardize_model,
    standardize_verbose,
)
from kerasvis.engines import Ray


class StrongestActivations(Reducer):
    """The k strongest activations of each feature map, one per image.

    The result of a layer is a `LayerActivations`. Of equal activations, that of the image with the
    lowest index comes first.

    Args:
        k: number of activations per feature map.
    """

    measure = staticmethod(channel_maxima)
    merges_exactly = True

    def __init__(self, k: int = 9):
        self.k = positive_integer(k, "k", LARGEST_K)

    def summary(self, measured: ChannelMaxima, batch: Batch) -> State:
        return self.update(None, measured, batch)

    def update(self, state: State | None, measured: ChannelMaxima, batch: Batch) -> State:
        values, rows, columns = measured
        top = self._before_all_images(values.shape[1]) if state is None else state
        # An equal value of a later image changes nothing. Soon, most batches change few maps.
        changed = np.flatnonzero(values.max(axis=0) > top["values"][:, -1])
        if state is not None and not len(changed):
            return state
        candidates = {
            "values": values.T[changed],
            "image_indices": np.broadcast_to(batch.image_indices, (len(changed), len(batch))),
            "positions": np.stack([rows.T[changed], columns.T[changed]], axis=-1),
        }
        both = {
            name: np.concatenate([top[name][changed], added], axis=1)
            for name, added in candidates.items()
        }
        # Stable, so that of equal values, that of the earlier image stays first.
        order = np.argsort(-both["values"], axis=1, kind="stable")
        merged = {name: array.copy() for name, array in top.items()}
        for name, array in in_order(both, order, self.k).items():
            merged[name][changed] = array
        return merged

    def merge(self, state: State, other: State) -> State:
        both = {name: np.concatenate([state[name], other[name]], axis=1) for name in state}
        # By value, then by index. -1, no image, comes last, since its value is -inf.
        order = np.lexsort((both["image_indices"], -both["values"]), axis=1)
        check_once(np.take_along_axis(both["image_indices"], order, axis=1))
        return in_order(both, order, state["values"].shape[1])

    def result(self, layer: str, state: State) -> LayerActivations:
        return LayerActivations(**{name: state[name] for name in LayerActivations._fields})

    def _before_all_images(self, num_maps):
        return {
            "values": np.full((num_maps, self.k), -np.inf, "float32"),
            "image_indices": np.full((num_maps, self.k), -1, "int64"),
            "positions": np.full((num_maps, self.k, 2), -1, "int32"),
        }


def in_order(arrays, order, k):
    """The first k of `order` along axis 1, of each array."""
    order = order[:, :k]
    return {
        name: np.take_along_axis(array, order.reshape(*order.shape, *[1] * (array.ndim - 2)), 1)
        for name, array in arrays.items()
    }


def find_top_activations(
    model: keras.Model,
    layers: str | Sequence[str],
    images: Any,
    k: int = 9,
    *,
    batch_size: int = 16,
    steps: int | None = None,
    filepath: str | Path | None = None,
    engine: Ray | None = None,
    verbose: str | int = "auto",
) -> TopActivations:
    """Finds the k strongest activations of every feature map, one per image, over a data set.

    One forward pass serves all layers. Of equal activations, the image with the lowest index comes
    first, and in an image the first position, row by row. The memory depends on the number of
    feature maps times k, not on the number of images.

    With a `filepath`, the scan may be interrupted or killed at any time: every half minute, it
    writes its state to a folder next to that file, and the same call resumes from there. The result
    has the same bytes as that of an uninterrupted scan. A data set of batches must return the same
    batches again; those that are completed are read and skipped.

    In the scope of a strategy with several devices, each device takes a batch at a time; with an
    `engine`, the images are divided among the machines of a cluster. The result is bit for bit the
    same.

    Args:
        model: a functional or Sequential `keras.Model`; it is not changed. Of a subclassed one, the
            outputs can be scanned: `"output"`, or the keys of a dict that it returns.
        layers: names of layers, or one name; `"outer/inner"` inside a nested model. The units of a
            dense layer count as feature maps of one element.
        images: what `kerasvis.arguments.standardize_images` takes: an array, a folder, batches.
        k: number of activations per feature map.
        batch_size: images per step, for an array or a folder.
        steps: maximum number of batches to read; required for data sets without a known end.
        filepath: file for the result, which `TopActivations.load` reads. The state of an unfinished
            scan is in the folder of that name with `.partial` added.
        engine: a `kerasvis.engines.Ray`, to scan on the machines of a cluster; None for this
            process.
        verbose: 1 shows a progress bar, 0 none; `"auto"` shows one on a terminal.

    Returns:
        A `TopActivations`.

    Raises:
        ValueError: if an argument is wrong; if the unfinished scan next to `filepath` is one of
            another model or of other images, layers or k; or if a weight, an image or an activation
            is NaN or infinite (a `NotFiniteError`). On a CPU, an overflow below the layers may go
            unnoticed, since TensorFlow's fused convolutions rectify NaN to 0.
        OSError: if a file cannot be written, or another run is writing it.

    Reference:
        Zeiler & Fergus 2013, Figure 2.

    Example:
        >>> import keras, numpy as np
        >>> import kerasvis as kv
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="a")])
        >>> top = kv.find_top_activations(model, ["a"], np.ones((5, 8, 8, 3)), k=2, verbose=0)
        >>> top["a"].image_indices[0]
        array([0, 1])
    """
    layers, strongest = standardize_layers(layers), StrongestActivations(k)
    is_shown, engine = standardize_verbose(verbose), standardize_engine(engine)
    model = standardize_model(model, images, needs_graph=False)
    scan = Scan(model, [(layer, strongest) for layer in layers])
    source = standardize_images(model, images, batch_size=batch_size, steps=steps)
    with (
        scan.parts(_partial(filepath), source, k=k) as parts,
        progress_bar("Strongest activations", source, is_shown) as on_progress,
    ):
        found = scan.run(source, parts, engine=engine, on_progress=on_progress)
        top = TopActivations(dict(zip(layers, found, strict=True)))
        if filepath is not None:
            top.save(filepath)
            parts.remove()
    return top


def _partial(filepath):
    """The folder for the state of a scan whose result goes to `filepath`."""
    if filepath is None:
        return None
    filepath = Path(filepath)
    if filepath.is_dir():
        raise ValueError(
            "The path is that of a folder: give the path of a file. "
            f"Received: filepath={str(filepath)!r}"
        )
    return filepath.with_name(filepath.name + ".partial")
