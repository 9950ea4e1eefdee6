"""Figure 5: what is wrong with the first layers of a convnet.

The paper looked at a net's first-layer filters and at projections of its second layer, found dead
and dominant filters, a gap in the frequencies and aliasing, and changed filter size, stride and
training for it. Here each of these is measured; `filter_findings.py` puts it into words.
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
    standardize_images,
    standardize_model,
    standardize_preprocessing,
    standardize_verbose,
)
from kerasvis.data.preprocessing import Preprocessing
from kerasvis.deconvnet.deconv_model import DeconvModel
from kerasvis.graph import image_shape, read_graph, receptive_field
from kerasvis.graph.convolution_nodes import (
    convolution_nodes,
    first_and_second,
    rectified_node,
)
from kerasvis.storage.fields import Array
from kerasvis.storage.html_table import html_table
from kerasvis.storage.results import Result

ANY_SIZE = 256  # of images, where the model leaves it open: strides are the same at any


@dataclasses.dataclass(frozen=True, eq=False)
class FilterDiagnosis(Result):
    """Measurements of the filters of a convnet.

    Attributes:
        model: name of the model.
        first_layer: name of the layer whose filters look at the image.
        second_layer: name of the layer whose features were projected; "" if none was.
        kernels: float32 `(height, width, channels, filters)` of the first layer, channels in RGB
            order where there are three.
        frequencies: float32 `(frequencies,)` in cycles per pixel, of `spectra`.
        spectra: float32 `(filters, frequencies)`: share of a first-layer filter's energy at each
            frequency; NaN for a filter that is zero everywhere.
        band_shares: float32 `(filters, 3)`: the same in the low, middle and high band.
        twins: int64 `(filters,)`: the earlier filter that is most like each; -1 if there is none.
        correlations: float32 `(filters,)`: normalised correlation with it, in [-1, 1].
        strides: int64 `(2,)`: pixels between neighbouring units of the first layer, along rows and
            columns.
        layers: tuple of `LayerFilters`, of every convolution layer from the image up.
        num_images: how many images were looked at; 0 for none.
        projections: float32 `(features, height, width, channels)`: of the strongest unit of each
            map of the second layer, in its window, RGB, signed.
        activations: float32 `(features,)`: of these units.
        image_indices: int64 `(features,)`: of the images they were found in.
        aliasing: float32 `(features,)`: energy of the projection's strength at the first layer's
            stride over that around it; NaN where it cannot be measured.
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
        """Largest RMS of the first layer over the median of filters that are not near zero."""
        living = self.rms[~self.first.is_weak]
        return float(living.max() / np.median(living)) if len(living) else np.nan

    @property
    def median_aliasing(self) -> float:
        """Median of `aliasing` over the features where it can be measured; NaN if there is none."""
        measured = self.aliasing[~np.isnan(self.aliasing)]
        return float(np.median(measured)) if len(measured) else np.nan

    def _repr_html_(self):
        """The findings."""
        caption = f"{self.model}, {self.num_images} images"
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
    verbose: str | int = "auto",
) -> FilterDiagnosis:
    """Measures the filters of the first layer and, with images, all maps and the second layer.

    Without images: the RMS of the filters, their spectra and their likeness, and which filters of
    any convolution layer have weights near zero. With images also which maps never or almost never
    fire, and how far the first layer's stride shows in projections of the second layer.

    Args:
        model: a functional or Sequential `keras.Model`; it is left as it is.
        images: what `kerasvis.arguments.standardize_images` takes; at least 50. How
            many of them a map is active in tells a dead map.
        first_layer: name of a convolution layer that looks at the image; the first by default.
        second_layer: name of the one above it; by default the next.
        rules: for projecting from the second layer, see `kerasvis.rules`.
        preprocessing: how `images` were made from pixels: what `kerasvis.data.Preprocessing.of`
            takes. By default that of the images, or of the model, or what the range of an array
            tells.
        batch_size: images in a step.
        steps: batches to read at most; needed where a data set has no end, or does not tell.
        directory: folder for the state of the scan, from which an interrupted one resumes; removed
            at the end.
        verbose: 1 or 0, with or without progress bars; `"auto"`: with them on a terminal.

    Returns:
        A `FilterDiagnosis`; `filter_findings` puts it into words.

    Raises:
        ValueError: if the model has no convolution, a layer is unknown or no convolution, weights
            are NaN or infinite, the images do not fit the model or are too few, or a layer below
            the second cannot be projected through.

    Reference:
        Zeiler & Fergus 2013, Section 4.1 and Figure 5. Deviation: dead maps are looked for in every
        convolution layer, not in the first alone.

    Example:
        >>> import keras
        >>> import kerasvis as kv
        >>> model = keras.Sequential(
        ...     [keras.Input((32, 32, 3)), keras.layers.Conv2D(8, 5, 2, name="conv1")]
        ... )
        >>> kv.diagnose_filters(model).strides
        array([2, 2])
    """
    model = standardize_model(model, images)
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
        found = scan.run(images, parts, on_progress=on_progress)
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
    """A model that is diagnosed, and what a scan of images has to tell for it.

    Args:
        model, first_layer, second_layer, rules: as of `diagnose_filters`.

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
        """Refuses a second layer that cannot be projected through."""
        if self._projected:
            _ = self._deconv  # made now, and kept

    def by_weights(self, preprocessing):
        """The `FilterDiagnosis` without images, given the `Preprocessing`."""
        return self._diagnosis(preprocessing, {}, 0, _NOTHING_PROJECTED)

    def by_images(self, images, found, batch_size):
        """The `FilterDiagnosis`, given the `Images` and what a scan found, one for each `watched`.

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
    """How many images were scanned: as the scan counted, or all where nothing was watched."""
    counted = [each.num_images for each in active.values()]
    return counted[0] if counted else images.count() - len(images.skipped_reasons)


def _strides(model, first):
    """Pixels between neighbouring units of the first layer; 1 where they lie closer."""
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
                f"{num_broken} of {kernels.shape[-1]} filters of layer {name!r} hold NaN or "
                "infinity: load weights that are finite, or look for a training that diverged."
            )


def _check_number(num_images):
    if num_images < NUM_IMAGES_NEEDED:
        raise ValueError(
            f"{num_images} images are too few to tell which maps never fire: give at least "
            f"{NUM_IMAGES_NEEDED}, or none, to look at weights alone."
        )
