"""Figure 5: what is wrong with the first layers of a convnet.

The paper inspects a convnet's first-layer filters and the projections of its second layer. It finds
dead and dominant filters, a gap in the frequencies and aliasing, and changes filter size, stride
and training to fix them. Here each of these faults is measured; `filter_findings.py` puts the
measurements into words.
"""

import dataclasses
import functools
import os
from collections.abc import Sequence
from typing import Annotated, Any

import keras
import numpy as np

from kerasvis.activations import CountActive, NumActive, StrongestActivations
from kerasvis.activations.scan import Scan, progress_bar
from kerasvis.analyses.feature_visualization import visualize_chosen
from kerasvis.analyses.filters.aliasing import aliasing
from kerasvis.analyses.filters.dead_filters import (
    NUM_IMAGES_NEEDED,
    LayerFilters,
    filters_of,
    layer_filters,
)
from kerasvis.analyses.filters.filter_duplicates import earlier_twins
from kerasvis.analyses.filters.filter_findings import filter_findings
from kerasvis.analyses.filters.filter_spectra import filter_spectra
from kerasvis.arguments import (
    standardize_engine,
    standardize_images,
    standardize_model,
    standardize_preprocessing,
    standardize_verbose,
)
from kerasvis.data.preprocessing import Preprocessing
from kerasvis.deconvnet.deconv_model import DeconvModel
from kerasvis.engines import Ray
from kerasvis.graph import image_shape, read_graph, receptive_field
from kerasvis.graph.convolution_nodes import (
    convolution_nodes,
    first_and_second,
    rectified_node,
)
from kerasvis.storage.counted import counted
from kerasvis.storage.fields import Array
from kerasvis.storage.html_table import html_table
from kerasvis.storage.results import Result

ANY_SIZE = 256  # of images, for models that take any size: it does not affect strides


@dataclasses.dataclass(frozen=True, eq=False)
class FilterDiagnosis(Result):
    """Measurements of the filters of a convnet.

    Attributes:
        model: name of the model.
        first_layer: name of the layer whose filters take the image.
        second_layer: name of the layer whose features were projected; "" without one.
        kernels: float32 `(height, width, channels, filters)` of the first layer, channels in RGB
            order where there are three.
        frequencies: float32 `(frequencies,)` in cycles per pixel, of `spectra`.
        spectra: float32 `(filters, frequencies)`: share of a first-layer filter's energy at each
            frequency; NaN for a filter that is zero everywhere.
        band_shares: float32 `(filters, 3)`: the same in the low, middle and high band.
        twins: int64 `(filters,)`: the most similar earlier filter; -1 if there is none.
        correlations: float32 `(filters,)`: normalised correlation with it, in [-1, 1].
        strides: int64 `(2,)`: pixels between neighbouring units of the first layer, along rows and
            columns.
        layers: tuple of `LayerFilters`, of every convolution layer, in order from the image.
        num_images: how many images were scanned; 0 for none.
        projections: float32 `(features, height, width, channels)`: of the strongest unit of each
            feature map of the second layer, in its window, RGB, signed.
        activations: float32 `(features,)`: activations of these units.
        image_indices: int64 `(features,)`: indices of the images in which they were found.
        aliasing: float32 `(features,)`: energy of the projection's strength at the first layer's
            stride, relative to that around it; NaN where it cannot be measured.
    """

    model: str
    first_layer: str
    second_layer: str
    kernels: Annotated[np.ndarray, Array("float32", "height", "width", "channels", "filters")]
    frequencies: Annotated[np.ndarray, Array("float32", "frequencies")]
    spectra: Annotated[np.ndarray, Array("float32", "filters", "frequencies")]
    band_shares: Annotated[np.ndarray, Array("float32", "filters", 3)]
    twins: Annotated[np.ndarray, Array("int64", "filters")]
    correlations: Annotated[np.ndarray, Array("float32", "filters")]
    strides: Annotated[np.ndarray, Array("int64", 2)]
    layers: tuple[LayerFilters, ...]
    num_images: int
    projections: Annotated[
        np.ndarray, Array("float32", "features", "window height", "window width", "window channels")
    ]
    activations: Annotated[np.ndarray, Array("float32", "features")]
    image_indices: Annotated[np.ndarray, Array("int64", "features")]
    aliasing: Annotated[np.ndarray, Array("float32", "features")]

    @property
    def first(self) -> LayerFilters:
        """The `LayerFilters` of the first layer."""
        return next(layer for layer in self.layers if layer.layer == self.first_layer)

    @property
    def rms(self) -> np.ndarray:
        """float32 `(filters,)`: RMS of each first-layer filter."""
        return self.first.rms

    @property
    def dominance(self) -> float:
        """Largest RMS of the first layer relative to the median of filters not near zero."""
        living = self.rms[~self.first.is_weak]
        return float(living.max() / np.median(living)) if len(living) else np.nan

    @property
    def median_aliasing(self) -> float:
        """Median of `aliasing` over the features where it is not NaN; NaN if there are none."""
        measured = self.aliasing[~np.isnan(self.aliasing)]
        return float(np.median(measured)) if len(measured) else np.nan

    def _repr_html_(self):
        """The findings."""
        caption = f"{self.model}, {counted(self.num_images, 'image')}"
        is_found = {True: "yes", False: "no", None: "not looked at"}
        rows = [
            [finding.name, is_found[finding.is_found], finding.evidence, finding.remedy]
            for finding in filter_findings(self)
        ]
        return html_table(caption, ["fault", "found", "evidence", "remedy"], rows)


def diagnose_filters(
    model: keras.Model,
    images: Any = None,
    *,
    first_layer: str | None = None,
    second_layer: str | None = None,
    rules: str | Sequence[tuple] = (),
    preprocessing: Any = None,
    batch_size: int = 16,
    steps: int | None = None,
    directory: str | os.PathLike | None = None,
    engine: Ray | None = None,
    verbose: str | int = "auto",
) -> FilterDiagnosis:
    """Measures the filters of the first layer and, with images, all maps and the second layer.

    Without images, it measures the RMS, the spectra and the similarity of the filters, and which
    filters of any convolution layer have weights near zero. With images, it also measures which
    feature maps are never or almost never active, and how strongly the first layer's stride shows
    in projections of the second layer.

    Args:
        model: a functional or Sequential `keras.Model`; it is not changed.
        images: what `kerasvis.arguments.standardize_images` takes; at least 50.
        first_layer: name of a convolution layer that takes the image; the first by default.
        second_layer: name of a convolution layer above it; the next by default.
        rules: rules for projecting from the second layer, see `kerasvis.rules`.
        preprocessing: how `images` were computed from pixels, see `kerasvis.data.Preprocessing.of`;
            by default as `kerasvis.arguments.standardize_images` infers it.
        batch_size: images per step.
        steps: maximum number of batches to read; required for data sets without a known end.
        directory: folder for the state of the scan, from which an interrupted scan resumes; it is
            removed at the end.
        engine: a `kerasvis.engines.Ray`, for a scan on the machines of a cluster; None for this
            process.
        verbose: 1 shows progress bars, 0 none; `"auto"` shows them on a terminal.

    Returns:
        A `FilterDiagnosis`; `filter_findings` puts it into words.

    Raises:
        ValueError: if the model has no convolution, a layer is unknown or not a convolution,
            weights are NaN or infinite, the images do not fit the model or are too few, or a layer
            below the second cannot be projected through.

    Reference:
        Zeiler & Fergus 2013, Section 4.1 and Figure 5. Deviation: every convolution layer is
        searched for dead feature maps, not the first alone.

    Example:
        >>> import keras
        >>> import kerasvis as kv
        >>> model = keras.Sequential(
        ...     [keras.Input((32, 32, 3)), keras.layers.Conv2D(8, 5, 2, name="conv1")]
        ... )
        >>> kv.diagnose_filters(model).strides
        array([2, 2])
    """
    model, engine = standardize_model(model, images), standardize_engine(engine)
    diagnosed = DiagnosedModel(model, first_layer, second_layer, rules)
    if images is None:
        return diagnosed.by_weights(standardize_preprocessing(model, preprocessing))
    images = standardize_images(
        model, images, preprocessing, batch_size=batch_size, steps=steps, fetched=True
    )
    if images.num_images is not None:
        _check_number(images.num_images)
    diagnosed.check_projection()
    if not diagnosed.watched:
        return diagnosed.by_images(images, [], batch_size)
    scan, is_shown = Scan(model, diagnosed.watched), standardize_verbose(verbose)
    with (
        scan.parts(directory, images) as parts,
        progress_bar("Active feature maps", images, is_shown) as on_progress,
    ):
        found = scan.run(images, parts, engine=engine, on_progress=on_progress)
        diagnosis = diagnosed.by_images(images, found, batch_size)
        parts.remove()
    return diagnosis


_NOTHING_PROJECTED = {
    "projections": np.zeros((0, 0, 0, 0), "float32"),
    "activations": np.zeros(0, "float32"),
    "image_indices": np.zeros(0, "int64"),
    "aliasing": np.zeros(0, "float32"),
}


class DiagnosedModel:
    """A model under diagnosis, and what to measure in a scan of images.

    Args:
        model, first_layer, second_layer, rules: see `diagnose_filters`.

    Attributes:
        watched: pairs of a layer and a `Reducer`, for a `Scan`.

    Raises:
        ValueError: if there is no convolution, a layer does not fit, or weights are not finite.
    """

    def __init__(self, model, first_layer=None, second_layer=None, rules=()):
        self.model, self.rules = model, rules
        graph = read_graph(model)
        nodes = convolution_nodes(graph)
        self._first, self._second = first_and_second(model, graph, nodes, first_layer, second_layer)
        self._filters = {node.name: filters_of(node.layer) for node in nodes}
        _check_finite(self._filters)
        rectified = {node.name: rectified_node(graph, node) for node in nodes}
        self._rectified = {name: node.name for name, node in rectified.items() if node}
        second = self._second
        self._projected = second and self._rectified.get(second.name, second.name)
        self.watched = [(layer, CountActive()) for layer in dict.fromkeys(self._rectified.values())]
        if self._projected:
            self.watched.append((self._projected, StrongestActivations(k=1)))

    def check_projection(self):
        """Raises an error if the second layer cannot be projected through."""
        if self._projected:
            _ = self._deconv  # fail early

    def by_weights(self, preprocessing):
        """The `FilterDiagnosis` without images, given the `Preprocessing`."""
        return self._diagnosis(preprocessing, {}, 0, _NOTHING_PROJECTED)

    def by_images(self, images, found, batch_size):
        """The `FilterDiagnosis`, given the `Images` and the results of a scan for `watched`.

        Raises:
            ValueError: if there are too few images.
        """
        active = {
            layer: each
            for (layer, _), each in zip(self.watched, found, strict=True)
            if isinstance(each, NumActive)
        }
        num_images = num_images_of(images, active)
        _check_number(num_images)
        projected = _NOTHING_PROJECTED
        if self._projected:
            projected = _projected(self._deconv, images, found[-1], self._strides, batch_size)
        preprocessing = images.preprocessing or Preprocessing()
        return self._diagnosis(preprocessing, active, num_images, projected)

    @functools.cached_property
    def _deconv(self):
        return DeconvModel(self.model, self._projected, rules=self.rules)

    @functools.cached_property
    def _strides(self):
        return _strides(self.model, self._first)

    def _diagnosis(self, preprocessing, active, num_images, projected):
        layers = tuple(
            layer_filters(name, filters, active.get(self._rectified.get(name)))
            for name, filters in self._filters.items()
        )
        first, second = self._first.name, self._second
        kernels = _in_rgb_order(self._filters[first], preprocessing)
        is_weak = next(layer.is_weak for layer in layers if layer.layer == first)
        twins, correlations = earlier_twins(kernels, is_weak)
        return FilterDiagnosis(
            model=self.model.name,
            first_layer=first,
            second_layer=second.name if second and num_images else "",
            kernels=kernels,
            **vars(filter_spectra(kernels)),
            twins=twins,
            correlations=correlations,
            strides=self._strides,
            layers=layers,
            num_images=num_images,
            **projected,
        )


def num_images_of(images, active):
    """How many images were scanned: as the scan counted, or all of them without a scan."""
    numbers = [each.num_images for each in active.values()]
    return numbers[0] if numbers else images.count() - len(images.skipped_reasons)


def _strides(model, first):
    """Pixels between neighbouring units of the first layer, at least 1."""
    size = [length or ANY_SIZE for length in image_shape(model)[:2]]
    strides = receptive_field(model, first.name, size).strides
    return np.array([max(int(stride), 1) for stride in strides], "int64")


def _projected(deconv, images, strongest, strides, batch_size):
    """The fields of a `FilterDiagnosis` on the second layer, given its `LayerActivations`."""
    features = visualize_chosen(
        deconv, images, strongest, np.arange(len(strongest.values)), batch_size, with_patches=False
    )
    projections = features.projections[:, 0]
    return {
        "projections": projections,
        "activations": features.activations[:, 0],
        "image_indices": features.image_indices[:, 0],
        "aliasing": aliasing(projections, strides),
    }


def _in_rgb_order(kernels, preprocessing):
    if kernels.shape[2] != 3:
        return kernels
    return np.moveaxis(preprocessing.rgb(np.moveaxis(kernels, 2, -1)), -1, 2)


def _check_finite(filters):
    for name, kernels in filters.items():
        num_broken = int((~np.isfinite(kernels).all(axis=(0, 1, 2))).sum())
        if num_broken:
            raise ValueError(
                f"The weights of layer {name!r} contain NaN or infinity: load finite weights, or "
                "check whether the training diverged. Received: "
                f"{num_broken} of {kernels.shape[-1]} filters not finite"
            )


def _check_number(num_images):
    if num_images < NUM_IMAGES_NEEDED:
        raise ValueError(
            "There are too few images to tell which feature maps are never active: give at least "
            f"{NUM_IMAGES_NEEDED}, or none, to diagnose the weights alone. "
            f"Received: {counted(num_images, 'image')}"
        )
