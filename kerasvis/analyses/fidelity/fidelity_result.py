"""The results of the fidelity checks, side by side."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np

from kerasvis.analyses.fidelity.cosine_convergence import CosineConvergence
from kerasvis.analyses.fidelity.fidelity_table import fidelity_rows
from kerasvis.analyses.fidelity.insertion_deletion import InsertionDeletion
from kerasvis.analyses.fidelity.patch_sufficiency import PatchSufficiency, with_occluded
from kerasvis.analyses.fidelity.selectivity import Selectivity
from kerasvis.analyses.fidelity.weight_randomization import WeightRandomization
from kerasvis.storage.fields import Array
from kerasvis.storage.html_table import html_table
from kerasvis.storage.results import Result

CHECKS = {
    "weight_randomization": WeightRandomization,
    "selectivity": Selectivity,
    "cosine_convergence": CosineConvergence,
    "patch_sufficiency": PatchSufficiency,
    "insertion_deletion": InsertionDeletion,
}

# Fields of checks that are the same for all methods; the first axis of the others is methods.
OF_ALL_METHODS = {
    *("layers", "measures", "example_layers", "features", "calls"),
    *("patch_size", "blank", "shares"),
}


@dataclasses.dataclass(frozen=True, eq=False)
class FidelityReport(Result):
    """The checks of some methods on the same units.

    Attributes:
        layer: name of the layer.
        methods: tuple of names.
        features: int32 `(images,)`: the feature map, or the dense unit, chosen in each image.
        positions: int32 `(images, 2)`: (row, column) in it.
        activations: float32 `(images,)`.
        boxes: int64 `(images, 4)`: the receptive field of each unit inside its image, as (top,
            left, bottom, right) in pixels, half open.
        weight_randomization: a `WeightRandomization`; like the following ones None if left out.
        selectivity: a `Selectivity`.
        cosine_convergence: a `CosineConvergence`.
        patch_sufficiency: a `PatchSufficiency`.
        insertion_deletion: an `InsertionDeletion`.
    """

    version: ClassVar[int] = 2

    layer: str
    methods: tuple[str, ...]
    features: Annotated[np.ndarray, Array("int32", "images")]
    positions: Annotated[np.ndarray, Array("int32", "images", 2)]
    activations: Annotated[np.ndarray, Array("float32", "images")]
    boxes: Annotated[np.ndarray, Array("int64", "images", 4)]
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
            entries = [
                f"{numbers[x]:.3f}" if x in numbers else None for x in (*self.methods, "random")
            ]
            rows.append([check, measure, *entries])
        return html_table(caption, ["check", "measure", *self.methods, "random"], rows)

    @classmethod
    def upgraded(cls, arrays: Mapping[str, np.ndarray], version: int) -> dict[str, np.ndarray]:
        """Files without a version have a dot where others have a slash."""
        if version == 0:
            arrays = {name.replace(".", "/", 1): array for name, array in arrays.items()}
        return with_occluded(arrays)


def joined(results):
    """Joins results of one check, each for some methods, into one result for all methods.

    Args:
        results: one or more results of one class.
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
