"""What the checks of fidelity found, side by side, and how it lies in files."""

import dataclasses

import numpy as np

from kerasvis.analyses.fidelity.cosine_convergence import CosineConvergence
from kerasvis.analyses.fidelity.fidelity_table import fidelity_rows
from kerasvis.analyses.fidelity.insertion_deletion import InsertionDeletion
from kerasvis.analyses.fidelity.patch_sufficiency import PatchSufficiency
from kerasvis.analyses.fidelity.selectivity import Selectivity
from kerasvis.analyses.fidelity.weight_randomization import WeightRandomization
from kerasvis.storage.files import read_npz, write_npz
from kerasvis.storage.html_table import html_table

CHECKS = {
    "weight_randomization": WeightRandomization,
    "selectivity": Selectivity,
    "cosine_convergence": CosineConvergence,
    "patch_sufficiency": PatchSufficiency,
    "insertion_deletion": InsertionDeletion,
}

# Fields of checks that are the same for all methods; the others have an axis of methods first.
OF_ALL_METHODS = {
    *("layers", "measures", "example_layers", "features", "calls"),
    *("patch_size", "blank", "shares"),
}


@dataclasses.dataclass(frozen=True, eq=False)
class FidelityReport:
    """The checks of some methods on the same units.

    Attributes:
        layer: name of the layer.
        methods: tuple of names.
        features: int32 `(images,)`: the feature map, or the dense unit, chosen in each image.
        positions: int32 `(images, 2)`: (row, column) in it.
        activations: float32 `(images,)`.
        boxes: int64 `(images, 4)`: what each unit sees, (top, left, bottom, right) in pixels.
        weight_randomization: a `WeightRandomization`; like the following ones None if left out.
        selectivity: a `Selectivity`.
        cosine_convergence: a `CosineConvergence`.
        patch_sufficiency: a `PatchSufficiency`.
        insertion_deletion: an `InsertionDeletion`.
    """

    layer: str
    methods: tuple[str, ...]
    features: np.ndarray
    positions: np.ndarray
    activations: np.ndarray
    boxes: np.ndarray
    weight_randomization: WeightRandomization | None = None
    selectivity: Selectivity | None = None
    cosine_convergence: CosineConvergence | None = None
    patch_sufficiency: PatchSufficiency | None = None
    insertion_deletion: InsertionDeletion | None = None

    def _repr_html_(self):
        caption = f"Layer {self.layer}, means over {len(self.features)} images"
        rows = []
        for check, measure, values, reference in fidelity_rows(self):
            numbers = dict([reference] if reference else []) | values
            cells = [
                f"{numbers[x]:.3f}" if x in numbers else None for x in (*self.methods, "random")
            ]
            rows.append([check, measure, *cells])
        return html_table(caption, ["check", "measure", *self.methods, "random"], rows)

    def save(self, filepath):
        """Writes an `.npz` archive, whole or not at all."""
        arrays = {}
        for name, value in vars(self).items():
            if name not in CHECKS:
                arrays[name] = np.array(value)
            elif value is not None:
                arrays |= {f"{name}.{field}": array for field, array in to_arrays(value).items()}
        write_npz(filepath, arrays)

    @classmethod
    def load(cls, filepath):
        """Reads an archive written by `save`.

        Raises:
            ValueError: if the file is no such archive.
        """
        own = [field.name for field in dataclasses.fields(cls) if field.name not in CHECKS]
        arrays = read_npz(filepath, "a fidelity report", own)
        values = {name: _as_names(arrays[name]) for name in own}
        for name, kind in CHECKS.items():
            fields = [field.name for field in dataclasses.fields(kind)]
            if all(f"{name}.{field}" in arrays for field in fields):
                values[name] = from_arrays(
                    kind, {field: arrays[f"{name}.{field}"] for field in fields}
                )
        return cls(**values | {"layer": str(arrays["layer"])})


def to_arrays(result):
    """The fields of a check's result as arrays: `{name: array}`."""
    return {
        name: np.array(value, str if isinstance(value, tuple) else None)
        for name, value in vars(result).items()
    }


def from_arrays(kind, arrays):
    """The result of the class `kind` whose `to_arrays` returned `arrays`."""
    return kind(**{name: _as_names(array) for name, array in arrays.items()})


def joined(results):
    """The results of one check for some methods each, as that for all of them.

    Args:
        results: of one class, one or more.
    """
    first, *others = results
    fields = {
        name: _end_to_end([value, *(getattr(other, name) for other in others)])
        for name, value in vars(first).items()
        if name not in OF_ALL_METHODS
    }
    return dataclasses.replace(first, **fields)


def _end_to_end(values):
    return sum(values, ()) if isinstance(values[0], tuple) else np.concatenate(values)


def _as_names(array):
    """A tuple of names, where the array holds text; else the array."""
    return tuple(map(str, array.ravel())) if array.dtype.kind == "U" else array
