"""The k strongest activations so far, whatever the number of images."""

from typing import NamedTuple

import numpy as np

from kerasvis.activations.top_activations import LayerActivations
from kerasvis.data.image_sources import Progress


class RunningTop(NamedTuple):
    """The state of a scan; a new one after each batch, so that a stop never finds half of one.

    Attributes:
        activations: `LayerActivations` of all feature maps of all layers, one after another.
        progress: the `Progress` among the images.
    """

    activations: LayerActivations
    progress: Progress

    @classmethod
    def before_all_images(cls, num_maps, k):
        """The state in which a scan begins."""
        values = np.full((num_maps, k), -np.inf, "float32")
        image_indices = np.full((num_maps, k), -1, "int64")
        positions = np.full((num_maps, k, 2), -1, "int32")
        return cls(LayerActivations(values, image_indices, positions), Progress())

    def after(self, image_indices, values, rows, columns):
        """The state after one more batch, whose images come after those before.

        Args:
            image_indices: int64 `(images,)`, ascending.
            values: float32 `(images, feature maps)`, finite.
            rows: int32 `(images, feature maps)`.
            columns: int32 `(images, feature maps)`.
        """
        top = self.activations
        k = top.values.shape[1]
        # An equal value of a later image changes nothing, and soon most batches change little.
        changed = np.flatnonzero(values.max(axis=0) > top.values[:, -1])
        batch = LayerActivations(
            values.T[changed],
            np.broadcast_to(image_indices, (len(changed), len(image_indices))),
            np.stack([rows.T[changed], columns.T[changed]], axis=-1),
        )
        both = [np.concatenate([a[changed], b], axis=1) for a, b in zip(top, batch, strict=True)]
        # Stable, so that of equal values the earlier image stays in front.
        order = np.argsort(-both[0], axis=1, kind="stable")[:, :k]
        merged = LayerActivations(*(array.copy() for array in top))
        for array, candidates in zip(merged, both, strict=True):
            places = order.reshape(*order.shape, *[1] * (candidates.ndim - 2))
            array[changed] = np.take_along_axis(candidates, places, axis=1)
        done = Progress(self.progress.num_batches + 1, int(image_indices[-1]) + 1)
        return RunningTop(merged, done)

    def by_layer(self, layers, num_maps):
        """`{layer: LayerActivations}`, given the number of feature maps of each layer."""
        ends = np.cumsum(num_maps)[:-1]
        parts = zip(*(np.split(array, ends) for array in self.activations), strict=True)
        return {name: LayerActivations(*part) for name, part in zip(layers, parts, strict=True)}
