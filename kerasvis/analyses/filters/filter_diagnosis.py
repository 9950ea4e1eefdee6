"""Figure 5: what is wrong with the first layers of a convnet.

The paper looked at a net's first-layer filters and at projections of its second layer, found dead
and dominant filters, a gap in the frequencies and aliasing, and changed filter size, stride and
training for it. Here each of these is measured; `filter_findings.py` puts it into words.
"""

import dataclasses
import os
from collections.abc import Sequence
from typing import Annotated, Any

import keras
import numpy as np

from kerasvis.activations import LayerActivations, find_top_activations
from kerasvis.analyses.feature_visualization import visualize_chosen
from kerasvis.analyses.filters.aliasing import aliasing
from kerasvis.analyses.filters.dead_filters import (
    NUM_IMAGES_NEEDED,
    LayerFilters,
    filters_of,
    layer_filters,
    num_images_to_find,
)
from kerasvis.analyses.filters.filter_duplicates import earlier_twins
from kerasvis.analyses.filters.filter_findings import filter_findings
from kerasvis.analyses.filters.filter_spectra import filter_spectra
from kerasvis.arguments import (
    standardize_images,
    standardize_model,
    standardize_preprocessing,
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
    filepath: str | os.PathLike | None = None,
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
        rules: for the way down from the second layer, see `kerasvis.rules`.
        preprocessing: how `images` were made from pixels: what `kerasvis.data.Preprocessing.of`
            takes. By default that of the images, or of the model, or what the range of an array
            tells.
        batch_size: images in a step.
        steps: batches to read at most; needed where a data set has no end, or does not tell.
        filepath: where to keep the strongest activations, so that a scan that was stopped goes on.
        verbose: 1 or 0, with or without progress bars; `"auto"`: with them on a terminal.

    Returns:
        A `FilterDiagnosis`; `filter_findings` puts it into words.

    Raises:
        ValueError: if the model has no convolution, a layer is unknown or no convolution, weights
            are NaN or infinite, the images do not fit the model or are too few, or a layer below
            the second has no rule for the way down.

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
    graph = read_graph(model)
    nodes = convolution_nodes(graph)
    first, second = first_and_second(model, graph, nodes, first_layer, second_layer)
    filters = {node.name: filters_of(node.layer) for node in nodes}
    _check_finite(filters)
    strides = _strides(model, first)
    strongest, projected, num_images = {}, _NOTHING_PROJECTED, 0
    if images is not None:
        images = standardize_images(
            model, images, preprocessing, batch_size=batch_size, steps=steps, fetched=True
        )
        _check_number(images.count())
        watched = {node.name: rectified_node(graph, node) for node in nodes}
        target = projected_node(model, first_layer, second_layer)
        deconv = target and DeconvModel(model, target.name, rules=rules)
        scanned = [node.name for node in graph.nodes if node in (*watched.values(), target)]
        options = {"filepath": filepath, "verbose": verbose}
        top = _scan(model, images, scanned, options)
        num_images = images.count() - len(images.skipped_reasons)
        _check_number(num_images)
        k = num_images_to_find(num_images)
        strongest = {name: top[node.name].values[:, :k] for name, node in watched.items() if node}
        if deconv:
            projected = _projected(deconv, images, top, strides, batch_size)
    layers = tuple(
        layer_filters(name, kernels, strongest.get(name)) for name, kernels in filters.items()
    )
    if images is None:
        preprocessing = standardize_preprocessing(model, preprocessing)
    else:
        preprocessing = images.preprocessing or Preprocessing()
    kernels = _in_rgb_order(filters[first.name], preprocessing)
    is_weak = next(layer.is_weak for layer in layers if layer.layer == first.name)
    twins, correlations = earlier_twins(kernels, is_weak)
    return FilterDiagnosis(
        model=model.name,
        first_layer=first.name,
        second_layer=second.name if second and images is not None else "",
        kernels=kernels,
        **vars(filter_spectra(kernels)),
        twins=twins,
        correlations=correlations,
        strides=strides,
        layers=layers,
        num_images=num_images,
        **projected,
    )


_NOTHING_PROJECTED = {
    "projections": np.zeros((0, 0, 0, 0), "float32"),
    "activations": np.zeros(0, "float32"),
    "image_indices": np.zeros(0, "int64"),
    "aliasing": np.zeros(0, "float32"),
}


def projected_node(model, first_layer=None, second_layer=None):
    """The node whose feature maps a diagnosis projects: None if no convolution lies above another.

    Args:
        model, first_layer, second_layer: as of `diagnose_filters`.
    """
    graph = read_graph(model)
    nodes = convolution_nodes(graph)
    _, second = first_and_second(model, graph, nodes, first_layer, second_layer)
    return second and (rectified_node(graph, second) or second)


def _strides(model, first):
    """Pixels between neighbouring units of the first layer; 1 where they lie closer."""
    size = [length or ANY_SIZE for length in image_shape(model)[:2]]
    strides = receptive_field(model, first.name, size).strides
    return np.array([max(int(stride), 1) for stride in strides], "int64")


def _scan(model, images, layers, options):
    """The strongest activations of the layers, as many as tell which maps almost never fire."""
    if not layers:
        return {}
    return find_top_activations(
        model, layers, images, num_images_to_find(images.count()), **options
    )


def _projected(deconv, images, top, strides, batch_size):
    """The fields of a `FilterDiagnosis` on the second layer."""
    strongest = LayerActivations(*(array[:, :1] for array in top[deconv.layer]))
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
