"""When feature maps converge: how similar their projections are to the final ones, over epochs.

The paper reads convergence off Figure 4: lower layers converge within a few epochs, upper ones only
after 40 to 50. Here it is a number for each feature map and epoch.
"""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import numpy as np

from kerasvis.storage.fields import Array
from kerasvis.storage.results import Result

if TYPE_CHECKING:
    from kerasvis.analyses.evolution.evolution_result import Evolution


@dataclasses.dataclass(frozen=True, eq=False)
class LayerConvergence(Result):
    """How similar some feature maps of one layer are to their final state.

    Attributes:
        layer: name of the layer.
        similarities: float32 `(features, epochs)`: the cosine of the angle between the projection
            of that epoch and that of the last, in [-1, 1]; 0 where the feature map is inactive (its
            projection is zero everywhere), NaN where it is inactive at the last epoch.
        is_final_image: bool `(features, epochs)`: whether the strongest image is that of the last
            epoch.
        between_maps: the similarity expected by chance: the median cosine between projections of
            different feature maps at the last epoch; NaN for fewer than two feature maps.
    """

    layer: str
    similarities: Annotated[np.ndarray, Array("float32", "features", "epochs")]
    is_final_image: Annotated[np.ndarray, Array("bool", "features", "epochs")]
    between_maps: float


@dataclasses.dataclass(frozen=True, eq=False)
class Convergence(Result):
    """The convergence of feature maps of some layers.

    Attributes:
        epochs: int64 `(epochs,)`.
        layers: tuple of `LayerConvergence`, in the evolution's order.
    """

    epochs: Annotated[np.ndarray, Array("int64", "epochs")]
    layers: tuple[LayerConvergence, ...]


def convergence(evolution: "Evolution") -> Convergence:
    """Compares the projections of every epoch with those of the last.

    Projections are compared in their windows, which lie in the same way around the unit, whatever
    its position and image. So when another image becomes the strongest, the cosine falls only as
    far as the feature map responds to something else in it; `is_final_image` marks these changes.
    If the receptive field is the whole image, so is the window. Pixels outside the image count as
    zero.

    Args:
        evolution: an `Evolution`.

    Returns:
        A `Convergence`.

    Reference:
        Zeiler & Fergus 2013, Section 4, "Feature Evolution during Training". Deviation: the paper
        judges by eye; the cosine is not from the paper.
    """
    return Convergence(evolution.epochs, tuple(map(_of_layer, evolution.features.values())))


def _of_layer(features):
    directions = _directions(features.projections)
    last = directions[:, -1]
    similarities = np.einsum("fep,fp->fe", directions, last)
    similarities[~last.any(axis=1)] = np.nan
    return LayerConvergence(
        layer=features.layer,
        similarities=similarities.astype("float32"),
        is_final_image=features.image_indices == features.image_indices[:, -1:],
        between_maps=_between_maps(last[last.any(axis=1)]),
    )


def _directions(projections):
    """Projections as vectors of length one, or zero: float64 `(features, epochs, pixels)`."""
    vectors = projections.reshape(*projections.shape[:2], -1).astype("float64")
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def _between_maps(directions):
    pairs = np.triu_indices(len(directions), k=1)
    cosines = (directions @ directions.T)[pairs]
    return float(np.median(cosines)) if cosines.size else float("nan")
