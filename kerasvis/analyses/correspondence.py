"""Section 4.3: whether a convnet relates the same parts of different objects.

The same part is occluded in several images of one class. If the features of all images change in
the same way, the convnet relates the parts, although it was never told that they correspond.
"""

import dataclasses
import functools
import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import keras
import numpy as np
import tqdm

from kerasvis.arguments import standardize_images, standardize_layers, standardize_verbose
from kerasvis.graph import feature_extractor, read_graph
from kerasvis.graph.model_fingerprint import model_fingerprint
from kerasvis.graph.replicas import predict_undivided
from kerasvis.occlusion.baselines import baseline_image
from kerasvis.occlusion.data_set_mean import mean_of_data_set
from kerasvis.storage.fields import Array
from kerasvis.storage.fingerprints import digest
from kerasvis.storage.parts import Parts
from kerasvis.storage.results import Result

ROUNDING = 1e-6  # share of the largest feature: a few units in the last place of float32


@dataclasses.dataclass(frozen=True, eq=False)
class Correspondence(Result):
    """How differently features change when the same part is occluded in several images.

    Attributes:
        layers: tuple of names.
        parts: tuple of names.
        boxes: int64 `(parts, images, 4)`: (top, left, bottom, right) in pixels, half open.
        random_boxes: int64 `(parts, draws, images, 4)`: boxes of the same sizes at random
            positions.
        distances: float64 `(layers, parts, pairs)`: for each pair of images, the share in [0, 1] of
            units whose changes differ in sign; pairs (0, 1), (0, 2), ..., (1, 2), ...
        random_distances: float64 `(layers, parts, draws, pairs)`, the same for random boxes.
        oppositions: float64 `(layers, parts, pairs)`: share in [0, 1] of the units that change in
            opposite directions, among those that change in both images; NaN where none does.
        random_oppositions: float64 `(layers, parts, draws, pairs)`, the same for random boxes.
        num_units: int64 `(layers,)`.
    """

    layers: tuple[str, ...]
    parts: tuple[str, ...]
    boxes: Annotated[np.ndarray, Array("int64", "parts", "images", 4)]
    random_boxes: Annotated[np.ndarray, Array("int64", "parts", "draws", "images", 4)]
    distances: Annotated[np.ndarray, Array("float64", "layers", "parts", "pairs")]
    random_distances: Annotated[np.ndarray, Array("float64", "layers", "parts", "draws", "pairs")]
    oppositions: Annotated[np.ndarray, Array("float64", "layers", "parts", "pairs")]
    random_oppositions: Annotated[np.ndarray, Array("float64", "layers", "parts", "draws", "pairs")]
    num_units: Annotated[np.ndarray, Array("int64", "layers")]

    @property
    def delta(self) -> np.ndarray:
        """float64 `(layers, parts)`: the paper's Δ, as a mean over pairs, in [0, 1]."""
        return self.distances.mean(axis=-1)

    @property
    def random_delta(self) -> np.ndarray:
        """float64 `(layers, parts, draws)`: Δ of each set of random boxes."""
        return self.random_distances.mean(axis=-1)

    @property
    def opposition(self) -> np.ndarray:
        """float64 `(layers, parts)`: mean of `oppositions` over pairs, ignoring NaN."""
        return _mean_of_defined(self.oppositions)

    @property
    def random_opposition(self) -> np.ndarray:
        """float64 `(layers, parts, draws)`: the same for each set of random boxes."""
        return _mean_of_defined(self.random_oppositions)


def measure_correspondence(
    model: keras.Model,
    layers: str | Sequence[str],
    images: Any,
    parts: Mapping[str, Any],
    *,
    baseline: Any = "grey",
    preprocessing: Any = None,
    num_draws: int = 10,
    rounding: float = ROUNDING,
    batch_size: int = 16,
    seed: int = 0,
    directory: str | os.PathLike | None = None,
    verbose: str | int = "auto",
) -> Correspondence:
    """Occludes the same parts in several images, and compares how features change.

    For image i, ε_i = features(image) − features(occluded image). For each pair of images the signs
    of ε_i and ε_j are compared unit by unit. Δ, the sum over pairs of the number of units whose
    signs differ, is divided by the number of pairs and of units, so it is a share in [0, 1]. The
    smaller Δ, the more similar the changes. Compare it with Δ of random boxes.

    Δ also depends on two other things. Units are compared position by position, so parts at the
    same position in all images change the same units of a feature map, which makes Δ small; parts
    at different positions make it large. So crop all faces in the same way. And Δ grows with the
    number of units that change at all, which are few on a plain background. So the share of
    opposite changes among the units that change in both images is measured too; by chance it is
    1/2.

    Deviation: the paper does not say how Δ is normalised, or what the sign of 0 is. Here the sign
    is −1, 0 or 1, and any two different values count as different: a unit that changes in neither
    image agrees, and one that changes in only one of them differs. Changes that rounding can cause
    count as 0.

    Args:
        model: a functional or Sequential `keras.Model`; it is not changed.
        layers: names of layers, or one name.
        images: what `kerasvis.arguments.standardize_images` takes: two or more.
        parts: `{part: boxes}`, int `(images, 4)`: (top, left, bottom, right) of the part in each
            image, in pixels, half open.
        baseline: what replaces occluded pixels: `"grey"`, `"mean"`, `"blur"`, `"noise"`, a number,
            a colour or an image; see `kerasvis.occlusion.baseline_image`.
        preprocessing: how `images` were computed from pixels, see `kerasvis.data.Preprocessing.of`;
            by default as `kerasvis.arguments.standardize_images` infers it.
        num_draws: number of sets of random boxes of the same sizes.
        rounding: changes of at most this share of the image's largest feature, in absolute value,
            count as 0.
        batch_size: images per step.
        seed: seed of the random boxes and of the noise.
        directory: folder that caches the results of each set of boxes, from which an interrupted
            analysis resumes. By default nothing is cached.
        verbose: 1 shows a progress bar, 0 none; `"auto"` shows one on a terminal.

    Returns:
        A `Correspondence`.

    Raises:
        ValueError: if an argument is wrong, a box is not inside its image, or the model returns NaN
            or infinity.
        OSError: if the directory cannot be written to.

    Reference:
        Zeiler & Fergus 2013, Section 4.3 and Table 1.

    Example:
        >>> import numpy as np
        >>> import kerasvis as kv
        >>> model = kv.convnets.ZFNet((64, 64, 3), classes=10, width=0.1, dense_units=32)
        >>> images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3))
        >>> noses = [[20, 30, 30, 40], [22, 28, 32, 38], [25, 33, 35, 43]]
        >>> found = kv.analyses.measure_correspondence(
        ...     model, ["conv5", "fc7"], images, {"nose": noses}, verbose=0
        ... )
        >>> found.delta.shape, found.random_delta.shape
        ((2, 1), (2, 1, 10))
    """
    layers, is_shown = standardize_layers(layers), standardize_verbose(verbose)
    source = standardize_images(model, images, preprocessing)
    images, preprocessing = source.all().astype("float32"), source.preprocessing
    _check(images, parts, num_draws, rounding, batch_size)
    boxes = np.stack([_checked_boxes(name, boxes, images.shape) for name, boxes in parts.items()])
    random_boxes = sample_boxes(boxes, images.shape[1:3], num_draws, seed)
    occlude = Occluder(model, images, baseline, preprocessing, seed)
    features = Features(feature_extractor(model, layers), batch_size)

    def computed_from():
        return {
            "model": model_fingerprint(read_graph(model).nodes),
            "images": images,
            "layers": layers,
            "baseline": baseline,
            "preprocessing": preprocessing and preprocessing.mode,
            "rounding": rounding,
            "seed": seed,
        }

    all_boxes = np.concatenate([boxes[:, None], random_boxes], axis=1)
    shape = (len(layers), *all_boxes.shape[:2], len(_pairs(len(images))))
    distances, oppositions = np.zeros(shape), np.zeros(shape)
    places = list(np.ndindex(all_boxes.shape[:2]))

    def measure(boxes):
        changes = [x - y for x, y in zip(base, features(occlude(boxes)), strict=True)]
        signs = [signs_of_change(x, least) for x, least in zip(changes, smallest, strict=True)]
        functions = {"distances": hamming_distances, "oppositions": opposite_shares}
        return {name: np.stack([*map(of, signs)]) for name, of in functions.items()}

    with Parts(directory, computed_from) as cached:
        base = features(images)
        smallest = [rounding * np.abs(x).max(axis=1, keepdims=True) for x in base]
        for place in tqdm.tqdm(places, "Occlusions", disable=not is_shown):
            part = f"boxes-{digest([all_boxes[place]])}.npz"
            found = cached.arrays(part, functools.partial(measure, all_boxes[place]))
            distances[:, *place], oppositions[:, *place] = found["distances"], found["oppositions"]
    return Correspondence(
        layers=layers,
        parts=tuple(parts),
        boxes=boxes,
        random_boxes=random_boxes,
        distances=distances[:, :, 0],
        random_distances=distances[:, :, 1:],
        oppositions=oppositions[:, :, 0],
        random_oppositions=oppositions[:, :, 1:],
        num_units=np.array([x.shape[1] for x in base], "int64"),
    )


def signs_of_change(changes, smallest=0.0):
    """int8 −1, 0 or 1 for each change; 0 for those of at most `smallest` in absolute value."""
    return np.where(np.abs(changes) > smallest, np.sign(changes), 0).astype("int8")


def hamming_distances(signs):
    """The share of units whose signs differ, for each pair of images.

    Args:
        signs: int8 `(images, units)`, −1, 0 or 1.

    Returns:
        float64 `(pairs,)`, in [0, 1]; pairs (0, 1), (0, 2), ..., (1, 2), ...
    """
    return np.array([np.mean(signs[i] != signs[j]) for i, j in _pairs(len(signs))])


def opposite_shares(signs):
    """The share of units with opposite signs, among those that change in both images.

    Args:
        signs: int8 `(images, units)`, −1, 0 or 1.

    Returns:
        float64 `(pairs,)`, in [0, 1], pairs as for `hamming_distances`; NaN where there are none.
    """
    products = [signs[i] * signs[j] for i, j in _pairs(len(signs))]
    return np.array([_share(np.sum(p < 0), np.sum(p != 0)) for p in products])


def sample_boxes(boxes, image_size, num_draws, seed):
    """Boxes of the same sizes at random positions in the images, all equally probable.

    Args:
        boxes: int64 `(parts, images, 4)`.
        image_size: `(height, width)` in pixels.
        num_draws: number of random boxes for each box.
        seed: seed of the random boxes.

    Returns:
        int64 `(parts, draws, images, 4)`.
    """
    sizes = (boxes[..., 2:] - boxes[..., :2])[:, None]
    shape = (len(boxes), num_draws, *boxes.shape[1:2], 2)
    ends = np.broadcast_to(np.array(image_size) - sizes + 1, shape)
    corners = np.random.default_rng(seed).integers(0, ends)
    return np.concatenate([corners, corners + sizes], axis=-1)


class Occluder:
    """Occludes one box in each image.

    Args:
        model: the `keras.Model`, which may contain the mean of its data set.
        images: float32 `(images, rows, columns, channels)`.
        baseline: see `kerasvis.occlusion.baseline_image`.
        preprocessing: a `kerasvis.data.Preprocessing` or None.
        seed: seed of noise.

    Call arguments:
        boxes: int `(images, 4)`.

    Returns:
        float32 array of the shape of the images.
    """

    def __init__(self, model, images, baseline, preprocessing, seed):
        self._images, self._baseline, self._preprocessing = images, baseline, preprocessing
        self._mean, self._seed = mean_of_data_set(model, preprocessing), seed
        self._baseline_of(images[0], (1, 1))  # fail early if the baseline is wrong

    def __call__(self, boxes):
        occluded = self._images.copy()
        for image, (top, left, bottom, right) in zip(occluded, boxes, strict=True):
            baseline = self._baseline_of(image, (bottom - top, right - left))
            image[top:bottom, left:right] = baseline[top:bottom, left:right]
        return occluded

    def _baseline_of(self, image, patch_size):
        return baseline_image(
            image,
            self._baseline,
            self._preprocessing,
            mean=self._mean,
            patch_size=patch_size,
            seed=self._seed,
        )


class Features:
    """The features of images, as float32 `(images, units)` for each layer.

    Args:
        extractor: a `kerasvis.graph.FeatureExtractor`.
        batch_size: images per step.
    """

    def __init__(self, extractor, batch_size):
        self._extractor, self._batch_size = extractor, batch_size

    def __call__(self, images):
        batches = [
            predict_undivided(self._extractor, images[begin : begin + self._batch_size])
            for begin in range(0, len(images), self._batch_size)
        ]
        features = [
            np.concatenate(parts).reshape(len(images), -1).astype("float32")
            for parts in zip(*batches, strict=True)
        ]
        for name, values in zip(self._extractor.layer_names, features, strict=True):
            if not np.isfinite(values).all():
                raise ValueError(
                    f"Layer {name!r} returns NaN or infinity: check the range of the images, the "
                    "baseline and the model's weights. Received: images from "
                    f"{images.min():.4g} to {images.max():.4g}"
                )
        return features


def _share(number, of_all):
    return number / of_all if of_all else np.nan


def _mean_of_defined(values):
    """Mean over the last axis, ignoring NaN; NaN where all values are NaN."""
    is_defined = ~np.isnan(values)
    total, count = np.where(is_defined, values, 0).sum(axis=-1), is_defined.sum(axis=-1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _pairs(num_images):
    return list(itertools.combinations(range(num_images), 2))


def _checked_boxes(name, boxes, shape):
    num_images, height, width, _ = shape
    boxes = np.asarray(boxes)
    if boxes.shape != (num_images, 4) or boxes.dtype.kind not in "iu":
        raise ValueError(
            f"Give the boxes of {name!r} as whole numbers of shape ({num_images}, 4): (top, left, "
            f"bottom, right) for each image. Received: {boxes.dtype} of shape {boxes.shape}"
        )
    top, left, bottom, right = boxes.T
    is_inside = (top >= 0) & (top < bottom) & (bottom <= height)
    is_inside &= (left >= 0) & (left < right) & (right <= width)
    if not is_inside.all():
        image = int(np.argmin(is_inside))
        raise ValueError(
            f"The box of {name!r} in image {image} is not inside the image of {height}×{width} "
            "pixels: give (top, left, bottom, right) in pixels. "
            f"Received: {boxes[image].tolist()}"
        )
    return boxes.astype("int64")


def _check(images, parts, num_draws, rounding, batch_size):
    if len(images) < 2:
        raise ValueError(
            f"Give two or more images to compare. Received: images of shape {images.shape}"
        )
    if not parts:
        raise ValueError(f"Give the boxes of at least one part. Received: parts={parts!r}")
    for name, number in {"num_draws": num_draws, "batch_size": batch_size}.items():
        if number < 1:
            raise ValueError(f"Give a number of at least 1. Received: {name}={number}")
    if not 0 <= rounding < 1:
        raise ValueError(f"Give a share from 0 to below 1. Received: rounding={rounding}")
