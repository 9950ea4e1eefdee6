"""The result of an occlusion analysis: the model's output for every position of the occluder."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np

from kerasvis.occlusion.occluders import Occluders
from kerasvis.storage.fields import Array, names_of
from kerasvis.storage.results import Result

Map = Annotated[np.ndarray, Array("float32", "rows", "columns")]

NO_CLASS = -1


@dataclasses.dataclass(frozen=True, eq=False)
class OcclusionSensitivity(Result):
    """The model's output for one image, for every position of the occluder.

    Values are raw probabilities and activities with the occluder at that position. `drop` and
    `activity_drop` are the differences from the unoccluded image.

    Attributes:
        occluders: the `kerasvis.occlusion.Occluders`: positions, and their boxes in the image.
        class_index: the correct class, whose probability is watched.
        probability: float32 `(rows, columns)`, of that class, in [0, 1].
        label: int64 `(rows, columns)`, the most probable class.
        class_indices: int64 `(classes,)`, all requested classes.
        probabilities: float32 `(rows, columns, classes)`, of these.
        layer: name of the watched layer; "" if there is none.
        feature_index: number of its watched feature map; -1 if there is none.
        activity: float32 `(rows, columns)`, the sum of that feature map, or None.
        projection: float32 `(height, width, channels)`, signed, in RGB order: the whole feature map
            of the unoccluded image, projected by the deconvnet. None if the model has layers that
            cannot be projected through, see `projection_reason`.
        base_probabilities: float32 `(classes,)`, of the unoccluded image.
        base_label: its most probable class.
        base_activity: the activity of the feature map in the unoccluded image; NaN if none is
            watched.
        method: `"incremental"` or `"full"`: how it was computed.
        reason: the layer from which on whole feature maps were computed, and why.
        activation: how the model's output was interpreted, as a phrase; "" in old files.
        measure: what `probability` and `probabilities` hold: `"probability"`; `"summed
            probability"`, over a region of maps of classes; or the name of the function that
            replaces the classes, whose numbers are then `NO_CLASS`.
        projection_reason: why there is no `projection`; "" if there is one.
    """

    version: ClassVar[int] = 2

    occluders: Occluders
    class_index: int
    probability: Map
    label: Annotated[np.ndarray, Array("int64", "rows", "columns")]
    class_indices: Annotated[np.ndarray, Array("int64", "classes")]
    probabilities: Annotated[np.ndarray, Array("float32", "rows", "columns", "classes")]
    layer: str
    feature_index: int
    activity: Map | None
    projection: Annotated[np.ndarray, Array("float32", "height", "width", "channels")] | None
    base_probabilities: Annotated[np.ndarray, Array("float32", "classes")]
    base_label: int
    base_activity: float
    method: str
    reason: str
    activation: str = ""
    measure: str = "probability"
    projection_reason: str = ""

    @property
    def base_probability(self) -> float:
        """The probability of the correct class in the unoccluded image."""
        return float(self.base_probabilities[list(self.class_indices).index(self.class_index)])

    @property
    def drop(self) -> np.ndarray:
        """float32 `(rows, columns)`: drop in the probability of the correct class."""
        return np.float32(self.base_probability) - self.probability

    @property
    def activity_drop(self) -> np.ndarray | None:
        """float32 `(rows, columns)`: drop in the activity of the feature map, or None."""
        if self.activity is None:
            return None
        return np.float32(self.base_activity) - self.activity

    @property
    def boxes(self) -> np.ndarray:
        """int32 `(rows, columns, 4)`: (top, left, bottom, right) of the occluder, in pixels."""
        return self.occluders.boxes

    @property
    def image_size(self) -> tuple[int, int]:
        """`(height, width)` in pixels."""
        return self.occluders.image_size

    @property
    def patch_size(self) -> tuple[int, int]:
        """`(height, width)` of the occluder in pixels."""
        return self.occluders.patch_size

    @property
    def strides(self) -> tuple[int, int]:
        """`(rows, columns)` between positions, in pixels."""
        return self.occluders.strides

    def heat_map(self, values: np.ndarray) -> np.ndarray:
        """Values per position as a heat map per pixel; see `Occluders.heat_map`."""
        return self.occluders.heat_map(values)

    @classmethod
    def upgraded(cls, arrays: Mapping[str, np.ndarray], version: int) -> dict[str, np.ndarray]:
        """Reads older files.

        They lack the interpretation of the scores; the oldest store the occluder's fields under
        their own names.
        """
        inner = names_of(Occluders) if version == 0 else ()
        arrays = {f"occluders/{name}" if name in inner else name: arrays[name] for name in arrays}
        since = {"activation": "", "measure": "probability", "projection_reason": ""}
        return {name: np.array(value) for name, value in since.items()} | arrays
