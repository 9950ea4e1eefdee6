"""The strongest activations of every feature map, found by a scan."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, NamedTuple

import numpy as np

from kerasvis.storage.fields import Array
from kerasvis.storage.html_table import html_table
from kerasvis.storage.results import Result, layers_as_dict


class LayerActivations(NamedTuple):
    """The k strongest activations of each feature map of one layer, one per image.

    If there were fewer than k images, the remaining values are -inf, indices and positions -1.

    Attributes:
        values: float32 `(feature maps, k)`, descending.
        image_indices: int64 `(feature maps, k)`.
        positions: int32 `(feature maps, k, 2)`, `(row, column)` in the feature map; `(0, 0)` for
            the units of a dense layer.
    """

    values: Annotated[np.ndarray, Array("float32", "features", "k")]
    image_indices: Annotated[np.ndarray, Array("int64", "features", "k")]
    positions: Annotated[np.ndarray, Array("int32", "features", "k", 2)]


@dataclasses.dataclass(frozen=True, eq=False)
class TopActivations(Result):
    """The strongest activations of every feature map of some layers.

    `top["conv3"]` is a layer's `LayerActivations`; iterating gives the layers' names.

    Attributes:
        activations: `{layer name: LayerActivations}`.

    Reference:
        Zeiler & Fergus 2013, Figure 2: the top 9 activations.
    """

    activations: dict[str, LayerActivations]

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in the order in which they were asked for."""
        return tuple(self.activations)

    def __getitem__(self, layer):
        if layer not in self.activations:
            raise ValueError(
                f"The layer {layer!r} was not scanned, but {', '.join(self.layers)}: choose one of "
                f"these, or scan again. Received: layer={layer!r}"
            )
        return self.activations[layer]

    def __iter__(self):
        return iter(self.activations)

    def __repr__(self):
        shapes = (
            f"{name!r}: {layer.values.shape[0]} maps x {layer.values.shape[1]}"
            for name, layer in self.activations.items()
        )
        return f"{type(self).__name__}({', '.join(shapes)})"

    def _repr_html_(self):
        header = ["layer", "feature maps", "activations of each", "strongest"]
        rows = [
            [name, *found.values.shape, f"{found.values.max(initial=-np.inf):.4g}"]
            for name, found in self.activations.items()
        ]
        return html_table("Top activations", header, rows)

    @classmethod
    def upgraded(cls, arrays: Mapping[str, np.ndarray], version: int) -> Mapping[str, np.ndarray]:
        return layers_as_dict(arrays, "activations")
