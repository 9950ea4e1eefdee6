"""Figure 2: what the feature maps of a layer respond to.

The strongest activations of each feature map over a data set are projected to pixel space one by
one, and shown next to the image patches that caused them.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Self

import keras
import numpy as np
import tqdm

from kerasvis.activations import find_top_activations
from kerasvis.analyses.projections_on_engine import UnitWorker, project_on
from kerasvis.analyses.unit_windows import UnitsInWindows, fetch, project_some_at_a_time
from kerasvis.arguments import (
    standardize_engine,
    standardize_images,
    standardize_layers,
    standardize_verbose,
)
from kerasvis.attributions.unit_projections import UnitProjections
from kerasvis.engines import Ray
from kerasvis.storage.fields import Array
from kerasvis.storage.results import Result
from kerasvis.storage.short import short

if TYPE_CHECKING:
    from kerasvis.activations.top_activations import TopActivations


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureVisualization(Result):
    """Projections and patches of some feature maps of one layer.

    A window is the receptive field of the layer's units, `(height, width)` pixels, or the whole
    image where they see all of it. Where a window extends beyond the image border, its pixels
    outside the image are 0.

    Attributes:
        layer: name of the layer.
        feature_indices: int64 `(features,)`.
        activations: float32 `(features, k)`, descending; -inf where there are fewer than k images.
        image_indices: int64 `(features, k)`; -1 where there are fewer than k images.
        positions: int32 `(features, k, 2)`, (row, column) in the feature map.
        projections: float32 `(features, k, height, width, channels)`, RGB, signed.
        patches: uint8 `(features, k, height, width, channels)`, RGB pixels; 0 × 0 pixels if they
            were left out.
        boxes: int32 `(features, k, 4)`: the part of the window inside the image, as (top, left,
            bottom, right) in the window, half open.
        pixel_range: how the images were made from pixels, in words.
        method: name of the method that made the projections.
    """

    layer: str
    feature_indices: Annotated[np.ndarray, Array("int64", "features")]
    activations: Annotated[np.ndarray, Array("float32", "features", "k")]
    image_indices: Annotated[np.ndarray, Array("int64", "features", "k")]
    positions: Annotated[np.ndarray, Array("int32", "features", "k", 2)]
    projections: Annotated[
        np.ndarray, Array("float32", "features", "k", "height", "width", "channels")
    ]
    patches: Annotated[
        np.ndarray, Array("uint8", "features", "k", "patch height", "patch width", "channels")
    ]
    boxes: Annotated[np.ndarray, Array("int32", "features", "k", 4)]
    pixel_range: str = ""
    method: str = "deconvnet"

    def without_patches(self) -> Self:
        """A copy without the image patches, for sharing where the images cannot be shared."""
        features, k, *_, num_channels = self.patches.shape
        nothing = np.zeros((features, k, 0, 0, num_channels), "uint8")
        return dataclasses.replace(self, patches=nothing)


def visualize_features(
    model: keras.Model,
    layers: str | Sequence[str],
    images: Any,
    features: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
    *,
    top: "TopActivations | None" = None,
    k: int = 9,
    num_features: int = 16,
    seed: int = 0,
    methods: str | Callable | Sequence[str | Callable] | Mapping[str, str | Callable] = "deconvnet",
    preprocessing: Any = None,
    rules: str | Sequence[tuple] = (),
    batch_size: int | None = None,
    steps: int | None = None,
    engine: Ray | None = None,
    verbose: str | int = "auto",
) -> Any:
    """Projects the strongest activations of feature maps, one at a time.

    Args:
        model: a functional or Sequential `keras.Model`; it is not changed.
        layers: names of layers, or a single name.
        images: what `kerasvis.arguments.standardize_images` takes: an array, a folder, batches; the
            images with the strongest activations are read a second time.
        features: numbers of the feature maps, for one layer or for all of them; or `{layer:
            numbers}`; by default a random subset of `num_features` feature maps of each layer.
        top: the `TopActivations` of these layers over `images`; by default found by a scan.
        k: number of strongest activations that the scan finds for each feature map.
        num_features: size of the random subset; all feature maps if there are fewer.
        seed: seed of the random subset.
        methods: how the activations are projected: the name of a method in
            `kerasvis.attributions.METHODS`, or a function; for several methods, a list of these or
            a mapping from names to them. `"deconvnet"`, `"guided"` and `"gradient"` share the
            forward pass and start at the activation; the others are called with whole images and
            return the same as `kerasvis.attribute`.
        preprocessing: how `images` were computed from pixels, see `kerasvis.data.Preprocessing.of`;
            by default as `kerasvis.arguments.standardize_images` infers it.
        rules: see `DeconvModel`.
        batch_size: images (or crops of them) per step; by default chosen from their size.
        steps: maximum number of batches to read; required for data sets without a known end.
        engine: a `kerasvis.engines.Ray` to scan and project on the machines of a cluster; None for
            this process.
        verbose: 1 shows progress bars, 0 none; `"auto"` shows them on a terminal.

    Returns:
        `{layer: FeatureVisualization}`, or a single `FeatureVisualization` if `layers` is a single
        name. With several methods, each `FeatureVisualization` is replaced by a dict `{method:
        FeatureVisualization}`. Feature maps are in the given order; a random subset is in ascending
        order.

    Raises:
        ValueError: if `top` does not hold a layer, a feature map is outside its layer, a layer
            cannot be projected through, or a method is unknown.

    Reference:
        Zeiler & Fergus 2013, Section 4 and Figure 2.
    """
    names, is_shown = standardize_layers(layers), standardize_verbose(verbose)
    engine = standardize_engine(engine)
    source = standardize_images(
        model, images, preprocessing, batch_size=batch_size or 16, steps=steps, fetched=True
    )
    source.known_preprocessing()
    each = [UnitProjections.of(model, name, methods, rules) for name in names]
    chosen = [_features_of(one.deconv, features, num_features, seed) for one in each]
    for projections in each:
        projections.check(source.image_size)
    if top is None:
        top = find_top_activations(model, names, source, k, engine=engine, verbose=verbose)
    results = {}
    if engine is None:
        for projections, numbers in zip(each, chosen, strict=True):
            layer = projections.layer
            number = int((top[layer].image_indices[numbers] >= 0).sum())
            with tqdm.tqdm(desc=layer, unit=" maxima", total=number, disable=not is_shown) as bar:
                results[layer] = visualize_by(
                    projections, source, top[layer], numbers, batch_size, advance=bar.update
                )
    else:
        worker = UnitWorker(model, names, methods, rules, batch_size)
        units = [
            UnitsInWindows.strongest(one, source.image_size, top[one.layer], numbers)
            for one, numbers in zip(each, chosen, strict=True)
        ]
        projected = project_on(engine, worker, units, source, is_shown)
        for of_layer, numbers, by_method in zip(units, chosen, projected, strict=True):
            found = top[of_layer.layer]
            fetched = fetch(source, found.image_indices[numbers])
            results[of_layer.layer] = _visualizations(
                source, found, numbers, of_layer, by_method, fetched
            )
    is_one = isinstance(methods, str) or callable(methods)
    found = {name: next(iter(each.values())) if is_one else each for name, each in results.items()}
    return found[layers] if isinstance(layers, str) else found


def _features_of(deconv, features, num_features, seed):
    """The feature maps of one layer."""
    if isinstance(features, dict):
        features = features.get(deconv.layer)
    layer_seed = [seed, *deconv.layer.encode()]  # layers of equal width get different maps
    return choose_features(deconv.target_shape[-1], features, num_features, layer_seed)


def visualize_chosen(deconv, images, found, features, batch_size=None, **options):
    """Like `visualize_by`, but by one `DeconvModel`; returns one `FeatureVisualization`."""
    projections = UnitProjections(deconv, deconv.rectification)
    found = visualize_by(projections, images, found, features, batch_size, **options)
    return found[deconv.rectification]


def visualize_by(
    projections,
    images,
    found,
    features,
    batch_size=None,
    *,
    with_patches=True,
    advance=lambda number: None,
):
    """Like `visualize_features`, for some feature maps of one layer and without a progress bar.

    Args:
        projections: the `UnitProjections` of the layer.
        images: the `Images` that were scanned.
        found: the layer's `LayerActivations`.
        features: int64 `(features,)`.
        batch_size: images (or crops of them) per step.
        with_patches: whether to include the image patches. Without them, the preprocessing of the
            images need not be known.
        advance: function that is called with the number of units projected since its last call.

    Returns:
        `{method: FeatureVisualization}`; they share all arrays but the projections.
    """
    fetched = fetch(images, found.image_indices[features])
    units = UnitsInWindows.strongest(projections, fetched[0].shape[1:3], found, features)
    projected = project_some_at_a_time(projections, *fetched, units, batch_size, advance)
    return _visualizations(images, found, features, units, projected, fetched, with_patches)


def _visualizations(images, found, features, units, projected, fetched, with_patches=True):
    """`{method: FeatureVisualization}` of projected units; see `visualize_by`.

    Args:
        images, found, features, with_patches: see `visualize_by`.
        units: the `UnitsInWindows`.
        projected: `{method: projections}` in their windows.
        fetched: what `fetch` returned.
    """
    images_used, image_numbers = fetched
    is_present = found.image_indices[features] >= 0
    first, *others = [
        (name, _on_grid(images.rgb(parts), is_present, "float32"))
        for name, parts in projected.items()
    ]
    visualized = FeatureVisualization(
        layer=units.layer,
        feature_indices=features,
        activations=found.values[features],
        image_indices=found.image_indices[features],
        positions=found.positions[features],
        projections=first[1],
        patches=np.zeros((*is_present.shape, 0, 0, images_used.shape[3]), "uint8"),
        boxes=_on_grid(units.windows.boxes, is_present, "int32"),
        method=first[0],
    )
    if with_patches:
        pixels = images.to_pixels(images_used)
        patches = [units.windows.cut(pixels[n], i) for i, n in enumerate(image_numbers)]
        visualized = dataclasses.replace(
            visualized,
            patches=_on_grid(patches, is_present, "uint8"),
            pixel_range=str(images.known_preprocessing()),
        )
    return {visualized.method: visualized} | {
        name: dataclasses.replace(visualized, projections=values, method=name)
        for name, values in others
    }


def choose_features(num_maps, features=None, num_features=16, seed=0):
    """The feature maps to show: those given, or a random subset in ascending order."""
    if features is None:
        chosen = np.random.default_rng(seed).permutation(num_maps)[:num_features]
        return np.sort(chosen).astype("int64")
    given, features = features, np.asarray(features)
    if features.ndim != 1 or len(features) == 0 or features.dtype.kind not in "iu":
        raise ValueError(
            f"Give a list of numbers of feature maps. Received: features={short(given)}"
        )
    wrong = features[(features < 0) | (features >= num_maps)]
    if len(wrong):
        raise ValueError(
            f"Feature {int(wrong[0])} is not in the layer, which has {num_maps} feature maps: give "
            f"0 to {num_maps - 1}. Received: features={short(given)}"
        )
    return features.astype("int64")


def _on_grid(values, is_present, dtype):
    """Arranges the values of the present units as `(features, k, …)`, with 0 elsewhere."""
    values = np.asarray(values)
    if is_present.all() and values.dtype == dtype:  # not copied, as it may be a gigabyte
        return values.reshape(*is_present.shape, *values.shape[1:])
    grid = np.zeros((*is_present.shape, *values.shape[1:]), dtype)
    grid[is_present] = values
    return grid
