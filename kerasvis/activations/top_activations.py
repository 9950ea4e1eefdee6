"""The strongest activations of every feature map: what a scan leaves behind."""

import dataclasses
from typing import NamedTuple

import numpy as np

from kerasvis.data.html_table import html_table
from kerasvis.data.npz_files import read_npz, write_npz


class LayerActivations(NamedTuple):
    """The k strongest activations of each feature map of one layer, one per image.

    Where a scan saw fewer than k images, the value is -inf and the rest is -1.

    Attributes:
        values: float32 `(feature maps, k)`, descending.
        image_indices: int64 `(feature maps, k)`.
        positions: int32 `(feature maps, k, 2)`, `(row, column)` in the feature map; `(0, 0)` for
            the units of a dense layer.
    """

    values: np.ndarray
    image_indices: np.ndarray
    positions: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class TopActivations:
    """The strongest activations of every feature map of some layers.

    `top["conv3"]` is a layer's `LayerActivations`; iterating gives the layers' names.

    Attributes:
        activations: `{layer name: LayerActivations}`.

    Reference:
        Zeiler & Fergus 2013, Figure 2: the top 9 activations.
    """

    activations: dict[str, LayerActivations]

    @property
    def layers(self):
        """Names of the layers, in the order in which they were asked for."""
        return tuple(self.activations)

    def __getitem__(self, layer):
        if layer not in self.activations:
            raise ValueError(
                f"The layer {layer!r} was not scanned, but {', '.join(self.layers)}: choose one of "
                "these, or scan again."
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

    def save(self, filepath):
        """Writes an `.npz` file with `layers` and, for each layer, `<layer>/values` and so on."""
        arrays = {"layers": np.array(self.layers, "str")}
        for name, layer in self.activations.items():
            arrays |= {f"{name}/{part}": array for part, array in layer._asdict().items()}
        write_npz(filepath, arrays)

    @classmethod
    def load(cls, filepath):
        """Reads what `save` wrote.

        Raises:
            ValueError: if the file holds no top activations.
        """
        what = "top activations"
        names = read_npz(filepath, what, ["layers"])["layers"]
        if names.ndim != 1 or names.dtype.kind != "U":
            raise ValueError(f"{filepath} is no .npz file of {what}: 'layers' are no names.")
        parts = [[f"{name}/{part}" for part in LayerActivations._fields] for name in names]
        arrays = read_npz(filepath, what, [part for layer in parts for part in layer])
        activations = {}
        for name, layer in zip(names.tolist(), parts, strict=True):
            activations[name] = LayerActivations(*(arrays[part] for part in layer))
            _check(filepath, name, activations[name])
        return cls(activations)


def _check(filepath, name, layer):
    values, image_indices, positions = layer
    shapes = (values.shape, image_indices.shape, positions.shape)
    expected = (values.shape, values.shape, (*values.shape, 2))
    dtypes = tuple(array.dtype.name for array in layer)
    if values.ndim != 2 or shapes != expected or dtypes != ("float32", "int64", "int32"):
        described = ", ".join(f"{d} {s}" for d, s in zip(dtypes, shapes, strict=True))
        raise ValueError(
            f"{filepath} is no .npz file of top activations: layer {name!r} has {described} where "
            "float32 (feature maps, k), int64 (feature maps, k), int32 (feature maps, k, 2) were "
            "expected."
        )
