"""How much the heat maps of an occlusion analysis depend on the occluder's size and baseline."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Annotated, Any

import keras
import numpy as np
import scipy.stats

from kerasvis.analyses.occlusion.occlusion_sensitivity import OcclusionAnalysis
from kerasvis.storage.fields import Array
from kerasvis.storage.results import Result

BASELINES = ("grey", "blur", "noise")
PATCH_SIZES = (16, 32)


@dataclasses.dataclass(frozen=True, eq=False)
class OcclusionAgreement(Result):
    """The heat maps of several occluders for one image, and their rank correlations.

    Attributes:
        occluders: str `(settings,)`, as `"16×16 grey"`.
        drops: float32 `(settings, height, width)`: drop in the probability of the correct class,
            per pixel.
        activity_drops: float32 `(settings, height, width)`: drop in the activity of the feature
            map; NaN if none is watched.
        agreement: float64 `(settings, settings)`: Spearman's rank correlation of the drops over the
            pixels, in [-1, 1]; NaN for a constant heat map.
        activity_agreement: the same for `activity_drops`.
    """

    occluders: Annotated[np.ndarray, Array("str", "settings")]
    drops: Annotated[np.ndarray, Array("float32", "settings", "height", "width")]
    activity_drops: Annotated[np.ndarray, Array("float32", "settings", "height", "width")]
    agreement: Annotated[np.ndarray, Array("float64", "settings", "settings")]
    activity_agreement: Annotated[np.ndarray, Array("float64", "settings", "settings")]

    @property
    def lowest(self) -> tuple:
        """`(agreement, occluder, other occluder)` for the two heat maps that agree least."""
        pairs = [*itertools.combinations(range(len(self.occluders)), 2)]
        values = [self.agreement[pair] for pair in pairs]
        first, second = pairs[int(np.argmin(values))]  # a NaN, if there is one
        return float(min(values)), str(self.occluders[first]), str(self.occluders[second])

    def __str__(self):
        width = max(map(len, self.occluders)) + 2
        lines = [" " * width + "".join(f"{name:>{width}}" for name in self.occluders)]
        for name, row in zip(self.occluders, self.agreement, strict=True):
            lines.append(f"{name:<{width}}" + "".join(f"{value:>{width}.2f}" for value in row))
        return "\n".join(lines)


def occlusion_agreement(
    model: keras.Model,
    image: Any,
    class_index: int | None = None,
    *,
    baselines: Sequence = BASELINES,
    patch_sizes: Sequence = PATCH_SIZES,
    **settings: Any,
) -> OcclusionAgreement:
    """Repeats `occlusion_sensitivity` with several occluders, and compares the heat maps.

    A drop that all occluders show comes from the image and the model. A drop that only one of them
    shows, such as at an edge of a grey square, comes from the occluder.

    Args:
        model: see `occlusion_sensitivity`.
        image: one image, `(rows, columns, channels)`.
        class_index: number of the correct class; the most probable one by default.
        baselines: contents of the occluder, see `kerasvis.occlusion.baseline_image`.
        patch_sizes: sizes of the occluder in pixels, numbers or pairs.
        **settings: further arguments of `OcclusionAnalysis`. The same feature map is watched with
            all occluders.

    Returns:
        An `OcclusionAgreement` of every size with every baseline.

    Raises:
        ValueError: see `OcclusionAnalysis`; or if there are fewer than two occluders.

    Example:
        >>> import keras
        >>> from keras import layers
        >>> import kerasvis as kv
        >>> model = keras.Sequential(
        ...     [keras.Input((32, 32, 3)), layers.Conv2D(4, 5, 4, activation="relu", name="a")]
        ...     + [layers.Flatten(), layers.Dense(8, activation="softmax", name="scores")]
        ... )
        >>> image = kv.data.PlantedObjects(1, (32, 32))[0]
        >>> found = kv.analyses.occlusion_agreement(
        ...     model, image, patch_sizes=[8], strides=8, preprocessing="raw", verbose=0
        ... )
        >>> found.agreement.shape
        (3, 3)
    """
    baselines, patch_sizes = list(baselines), list(patch_sizes)
    if len(baselines) * len(patch_sizes) < 2:
        raise ValueError(
            "A comparison needs at least two occluders: give more baselines or patch sizes. "
            f"Received: baselines={list(baselines)!r}, patch_sizes={list(patch_sizes)!r}"
        )
    names, results = [], []
    for patch_size in patch_sizes:
        analysis = OcclusionAnalysis(model, np.shape(image)[:2], patch_size=patch_size, **settings)
        for number, baseline in enumerate(baselines):
            result = analysis.with_baseline(baseline)(image, class_index)
            settings["feature"] = result.feature_index
            size = "×".join(map(str, result.patch_size))
            name = baseline if isinstance(baseline, str) else f"baseline {number}"
            names.append(f"{size} {name}")
            results.append(result)
    drops = np.stack([result.heat_map(result.drop) for result in results])
    activity_drops = np.stack([_activity_drop(result) for result in results])
    return OcclusionAgreement(
        occluders=np.array(names),
        drops=drops.astype("float32"),
        activity_drops=activity_drops.astype("float32"),
        agreement=_rank_correlations(drops),
        activity_agreement=_rank_correlations(activity_drops),
    )


def _activity_drop(result):
    """The drops per pixel; NaN if no feature map is watched."""
    if result.activity is None:
        return np.full(result.image_size, np.nan)
    return result.heat_map(result.activity_drop)


def _rank_correlations(maps):
    """Spearman's correlation of each pair of heat maps, over the pixels common to all of them."""
    values = maps[:, np.isfinite(maps).all(axis=0)]
    ranks = np.array([scipy.stats.rankdata(row) for row in values])
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        directions = centred / lengths
    return directions @ directions.T
