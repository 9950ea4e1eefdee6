"""Figure 2: what the feature maps of a layer respond to.

For each feature map, the strongest activations over a data set. Each is projected to pixel space on
its own and shown next to the image patch that caused it.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Self

import keras
import numpy as np
import tqdm

from kerasvis.activations import find_top_activations
from kerasvis.arguments import (
    standardize_engine,
    standardize_images,
    standardize_layers,
    standardize_verbose,
)
from kerasvis.attributions.unit_projections import UnitProjections
from kerasvis.deconvnet.targets import Unit
from kerasvis.engines import Ray
from kerasvis.storage.fields import Array
from kerasvis.storage.results import Result
from kerasvis.storage.short import short

if TYPE_CHECKING:
    from kerasvis.activations.top_activations import TopActivations


NUM_UNITS_AT_ONCE = 64  # limits the memory for projections of whole images


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
        engine: a `kerasvis.engines.Ray` to scan on the machines of a cluster; None to scan in this
            process.
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
    found = {}
    for projections, numbers in zip(each, chosen, strict=True):
        layer = projections.layer
        number = int((top[layer].image_indices[numbers] >= 0).sum())
        with tqdm.tqdm(desc=layer, unit=" maxima", total=number, disable=not is_shown) as bar:
            by_method = visualize_by(
                projections, source, top[layer], numbers, batch_size, advance=bar.update
            )
        is_one = isinstance(methods, str) or callable(methods)
        found[layer] = next(iter(by_method.values())) if is_one else by_method
    return found[layers] if isinstance(layers, str) else found


def _features_of(deconv, features, num_features, seed):
    """The feature maps of one layer."""
    if isinstance(features, dict):
        features = features.get(deconv.layer)
    layer_seed = [seed, *deconv.layer.encode()]  # layers of equal width get different maps
    return choose_features(deconv.target_shape[-1], features, num_features, layer_seed)


def visualize_chosen(deconv, images, found, features, batch_size=None, **options):
    """Like `visualize_by`, with the rectification of a `DeconvModel`: a `FeatureVisualization`."""
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
    deconv = projections.deconv
    images_used, image_numbers = fetch(images, found.image_indices[features])
    is_present = found.image_indices[features] >= 0
    positions = found.positions[features]
    windows = windows_of(deconv, images_used.shape[1:3], positions[is_present])
    at = [] if len(deconv.target_shape) == 1 else positions[is_present].T
    units = Unit(np.repeat(features, is_present.sum(axis=1)), *at)
    projected = project_in_windows(
        projections, images_used, units, image_numbers, windows, batch_size, advance
    )
    first, *others = [
        (name, _on_grid(images.rgb(parts), is_present, "float32"))
        for name, parts in projected.items()
    ]
    visualized = FeatureVisualization(
        layer=deconv.layer,
        feature_indices=features,
        activations=found.values[features],
        image_indices=found.image_indices[features],
        positions=positions,
        projections=first[1],
        patches=np.zeros((*is_present.shape, 0, 0, images_used.shape[3]), "uint8"),
        boxes=_on_grid(windows.boxes, is_present, "int32"),
        method=first[0],
    )
    if with_patches:
        pixels = images.to_pixels(images_used)
        patches = [windows.cut(pixels[n], i) for i, n in enumerate(image_numbers)]
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


def fetch(images, image_indices):
    """Reads each needed image once.

    Returns:
        `(images, numbers)`: an array of images, and for every index that is not -1 the number of
        its image in that array.
    """
    needed, numbers = np.unique(image_indices[image_indices >= 0], return_inverse=True)
    if len(needed) == 0:
        raise ValueError("There is no image among the strongest activations: scan some images.")
    return images[needed], numbers.ravel()


@dataclasses.dataclass(frozen=True)
class Windows:
    """Windows of one size in images of one size; they may extend beyond the image border.

    Attributes:
        size: `(height, width)` of every window.
        corners: int `(units, 2)`: (top, left) of each in its image, negative outside.
        image_size: `(height, width)`.
    """

    size: tuple[int, int]
    corners: np.ndarray
    image_size: tuple[int, int]

    @property
    def boxes(self):
        """int32 `(units, 4)`: the part inside the image, in the window's own coordinates."""
        begins = np.maximum(-self.corners, 0)
        ends = np.minimum(np.asarray(self.image_size) - self.corners, self.size)
        return np.concatenate([begins, np.maximum(ends, begins)], axis=1).astype("int32")

    def cut(self, image, number, origin=(0, 0)):
        """Window `number` of `image`, whose first pixel is at `origin`; 0 outside."""
        top, left, bottom, right = self.boxes[number]
        window = np.zeros((*self.size, *image.shape[2:]), image.dtype)
        row, column = self.corners[number] - origin
        window[top:bottom, left:right] = image[
            row + top : row + bottom, column + left : column + right
        ]
        return window


def windows_of(deconv, image_size, positions):
    """The `Windows` of units at `positions`, int `(units, 2)`."""
    field = deconv.receptive_field(image_size)
    boxes = np.array([field.box(*map(int, p)) for p in positions], int).reshape(-1, 4)
    return Windows(field.window_size, boxes[:, :2], tuple(image_size))


def project_in_windows(projections, images, units, image_numbers, windows, batch_size, advance):
    """`{method: projections}` of every unit in its image, cut to the unit's window."""
    by_image = np.argsort(image_numbers, kind="stable")  # one forward pass of each image
    shape = (len(image_numbers), *windows.size, images.shape[3])
    projected = {name: np.zeros(shape, "float32") for name in projections.names}
    for begin in range(0, len(image_numbers), NUM_UNITS_AT_ONCE):
        part = by_image[begin : begin + NUM_UNITS_AT_ONCE]
        of_part = Unit(*(values if values is None else values[part] for values in units))
        found = projections.project_units(images, of_part, image_numbers[part], batch_size)
        for name, (parts, origins) in found.items():
            for number, projection, origin in zip(part, parts, origins, strict=True):
                projected[name][number] = windows.cut(projection, number, origin)
        advance(len(part))
    return projected


def _on_grid(values, is_present, dtype):
    """Arranges the values of the present units as `(features, k, …)`, with 0 elsewhere."""
    values = np.asarray(values)
    if is_present.all() and values.dtype == dtype:  # not copied, as it may be a gigabyte
        return values.reshape(*is_present.shape, *values.shape[1:])
    grid = np.zeros((*is_present.shape, *values.shape[1:]), dtype)
    grid[is_present] = values
    return grid
