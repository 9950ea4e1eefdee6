"""How many filters of each layer are dead, dominant or duplicates: cheap enough for every epoch."""

import threading
from typing import NamedTuple

import numpy as np
from keras import layers

from kerasvis.activations import CountActive, NotFiniteError
from kerasvis.activations.scan import Scan
from kerasvis.analyses.filters.dead_filters import (
    NUM_IMAGES_NEEDED,
    filters_of,
    most_rare,
    weak_filters,
)
from kerasvis.analyses.filters.filter_duplicates import earlier_twins
from kerasvis.analyses.filters.filter_findings import DOMINANCE, TWIN_CORRELATION
from kerasvis.graph import read_graph
from kerasvis.graph.convolution_nodes import convolution_nodes, rectified_node
from kerasvis.storage.counted import counted

# Filters of fewer weights are alike by chance; for this many see TWIN_CORRELATION.
NUM_WEIGHTS_TO_COMPARE = 27


class FilterCounts(NamedTuple):
    """What is wrong with one convolution layer, in numbers.

    Attributes:
        layer: its name.
        num_filters: how many it has.
        dead_filters: filters with weights near zero, see `LayerFilters.is_weak`.
        dominant_filters: filters whose RMS is more than four times the median of living filters.
        dominance: the largest RMS over that median; NaN if no filter is alive.
        duplicate_filters: filters that repeat an earlier one, with a correlation of at least 0.95;
            None for depthwise convolutions and for filters of fewer than 27 weights.
        dead_maps: feature maps that are active in at most 1 % of the images; None where they were
            not watched: without images, and without a rectification.
        not_finite: filters with weights that are NaN or infinite; the other counts leave them out.
    """

    layer: str
    num_filters: int
    dead_filters: int
    dominant_filters: int
    dominance: float
    duplicate_filters: int | None
    dead_maps: int | None
    not_finite: int


class FilterCounter:
    """Counts what is wrong with the convolutions of a model, with its current weights.

    Args:
        model: a functional or Sequential `keras.Model`; it is not changed.
        chosen: names of convolution layers; None for all.
        with_maps: whether dead feature maps are also counted.

    Raises:
        ValueError: if there is no convolution, or a name is not that of a convolution.
    """

    def __init__(self, model, chosen=None, with_maps=True):
        graph = read_graph(model)
        nodes = {node.name: node for node in convolution_nodes(graph)}
        if wrong := [name for name in chosen or () if name not in nodes]:
            raise ValueError(
                f"{wrong[0]!r} is not a convolution layer of {model.name!r}: give some of "
                f"{', '.join(nodes)}. Received: layers={list(chosen)}"
            )
        if not nodes:
            raise ValueError(
                f"The model {model.name!r} has no convolution layer whose filters could be "
                "diagnosed: give a convnet."
            )
        self._nodes = {name: nodes[name] for name in nodes if chosen is None or name in chosen}
        rectified = {name: rectified_node(graph, node) for name, node in self._nodes.items()}
        self._rectified = {name: node.name for name, node in rectified.items() if node}
        watched = [(name, CountActive()) for name in dict.fromkeys(self._rectified.values())]
        self._scan = Scan(model, watched) if watched and with_maps else None
        self._interrupted = threading.Event()

    def count(self, source=None):
        """A `FilterCounts` for each layer, in the order of the forward pass.

        Args:
            source: the `Images` to scan for active feature maps; None for weights alone.

        Raises:
            ValueError: if there are too few images, or they do not fit the model.
        """
        filters = {name: filters_of(node.layer) for name, node in self._nodes.items()}
        is_finite = all(np.isfinite(kernels).all() for kernels in filters.values())
        active = self._active(source) if is_finite else {}
        return [
            layer_counts(
                name,
                kernels,
                isinstance(self._nodes[name].layer, layers.DepthwiseConv2D),
                active.get(self._rectified.get(name)),
            )
            for name, kernels in filters.items()
        ]

    def interrupt(self):
        """Ends a count that runs in another thread, after the current batch."""
        self._interrupted.set()

    def _active(self, source):
        """`{layer: NumActive}`; empty where nothing is watched or activations are not finite."""
        if source is None or self._scan is None:
            return {}
        self._interrupted.clear()
        try:
            found = self._scan.run(source, on_progress=self._check_interrupted)
        except NotFiniteError:
            return {}
        active = dict(zip(self._scan.layers, found, strict=True))
        num_images = found[0].num_images
        if num_images < NUM_IMAGES_NEEDED:
            raise ValueError(
                "There are too few images to tell which feature maps are dead: give at least "
                f"{NUM_IMAGES_NEEDED}, or none, to look at weights alone. "
                f"Received: {counted(num_images, 'image')}"
            )
        return active

    def _check_interrupted(self, progress):
        if self._interrupted.is_set():
            raise InterruptedError("The diagnosis was interrupted.")


def layer_counts(name, filters, is_depthwise=False, active=None):
    """The `FilterCounts` of one layer.

    Args:
        name: name of the layer.
        filters: float32 `(height, width, channels, filters)`.
        is_depthwise: whether each filter sees one channel alone.
        active: the `NumActive` of its rectified feature maps, or None.
    """
    finite = np.isfinite(filters).all(axis=(0, 1, 2))
    kernels = filters[..., finite]
    rms = np.sqrt(np.mean(np.square(kernels, dtype="float64"), axis=(0, 1, 2)))
    is_weak = weak_filters(rms) if len(rms) else np.zeros(0, bool)
    living = rms[~is_weak]
    median = np.median(living) if len(living) else np.nan
    is_compared = not is_depthwise and np.prod(filters.shape[:3]) >= NUM_WEIGHTS_TO_COMPARE
    num_twins = None
    if is_compared:
        num_twins = num_duplicates(kernels, is_weak) if len(rms) else 0
    dead_maps = None
    if active is not None:
        dead_maps = int((active.num_active <= most_rare(active.num_images)).sum())
    return FilterCounts(
        layer=name,
        num_filters=filters.shape[-1],
        dead_filters=int(is_weak.sum()),
        dominant_filters=int((living > DOMINANCE * median).sum()),
        dominance=float(living.max() / median) if len(living) else np.nan,
        duplicate_filters=num_twins,
        dead_maps=dead_maps,
        not_finite=int((~finite).sum()),
    )


def num_duplicates(kernels, is_weak):
    """How many filters repeat an earlier one, weak ones left out."""
    _, correlations = earlier_twins(kernels, is_weak)
    return int((correlations >= TWIN_CORRELATION).sum())
