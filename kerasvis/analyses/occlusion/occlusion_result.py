"""What occluding an image showed: an answer of the model for every position of the occluder."""

import dataclasses

import numpy as np

from kerasvis.data.npz_files import read_npz, write_npz
from kerasvis.occlusion.occluders import Occluders


@dataclasses.dataclass(frozen=True)
class OcclusionSensitivity:
    """What the model makes of one image, for every position of the occluder.

    A value is the one with the occluder there: a raw probability or activity. What it lost against
    the uncovered image is `drop` and `activity_drop`.

    Attributes:
        occluders: the `kerasvis.occlusion.Occluders`: positions, and their boxes in the image.
        class_index: the correct class, whose probability is watched.
        probability: float32 `(rows, columns)`, of that class, in [0, 1].
        label: int64 `(rows, columns)`, the most probable class.
        class_indices: int64 `(classes,)`, all classes asked for.
        probabilities: float32 `(rows, columns, classes)`, of these.
        layer: name of the layer that is watched.
        feature_index: number of its feature map.
        activity: float32 `(rows, columns)`, the sum of that map.
        projection: float32 `(height, width, channels)`, signed and in RGB order: the whole map of
            the uncovered image, projected by the deconvnet. None where the model has layers that
            the deconvnet has no rule for.
        base_probabilities: float32 `(classes,)`, of the uncovered image.
        base_label: its most probable class.
        base_activity: its activity of the map.
        method: `"incremental"` or `"full"`: how it was computed.
        reason: from which layer on whole maps were computed, and why.
    """

    occluders: Occluders
    class_index: int
    probability: np.ndarray
    label: np.ndarray
    class_indices: np.ndarray
    probabilities: np.ndarray
    layer: str
    feature_index: int
    activity: np.ndarray
    projection: np.ndarray | None
    base_probabilities: np.ndarray
    base_label: int
    base_activity: float
    method: str
    reason: str

    @property
    def base_probability(self):
        """The probability of the correct class in the uncovered image."""
        return float(self.base_probabilities[list(self.class_indices).index(self.class_index)])

    @property
    def drop(self):
        """float32 `(rows, columns)`: what the correct class loses of its probability."""
        return np.float32(self.base_probability) - self.probability

    @property
    def activity_drop(self):
        """float32 `(rows, columns)`: what the feature map loses of its activity."""
        return np.float32(self.base_activity) - self.activity

    @property
    def boxes(self):
        """int32 `(rows, columns, 4)`: (top, left, bottom, right) of the occluder, in pixels."""
        return self.occluders.boxes

    @property
    def image_size(self):
        """`(height, width)` in pixels."""
        return self.occluders.image_size

    @property
    def patch_size(self):
        """`(height, width)` of the occluder in pixels."""
        return self.occluders.patch_size

    @property
    def strides(self):
        """`(rows, columns)` between positions, in pixels."""
        return self.occluders.strides

    def heat_map(self, values):
        """Values of positions over pixels; see `Occluders.heat_map`."""
        return self.occluders.heat_map(values)

    def save(self, filepath):
        """Writes an `.npz` archive, whole or not at all."""
        write_npz(filepath, self.to_arrays())

    def to_arrays(self):
        """`{name: array}`, from which `from_arrays` makes the same again."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields |= dataclasses.asdict(fields.pop("occluders"))
        fields["projection"] = np.zeros(0) if self.projection is None else self.projection
        return {name: np.asarray(value) for name, value in fields.items()}

    @classmethod
    def from_arrays(cls, arrays):
        """The inverse of `to_arrays`."""
        names = [field.name for field in dataclasses.fields(Occluders)]
        occluders = Occluders(*(tuple(arrays[name].tolist()) for name in names))
        values = {
            name: array.item() if array.ndim == 0 else array
            for name, array in arrays.items()
            if name not in names
        }
        values["projection"] = values["projection"] if values["projection"].size else None
        return cls(occluders=occluders, **values)

    @classmethod
    def load(cls, filepath):
        """Reads an archive written by `save`.

        Raises:
            ValueError: if the file is no such archive.
        """
        names = [field.name for field in dataclasses.fields(cls) if field.name != "occluders"]
        names += [field.name for field in dataclasses.fields(Occluders)]
        arrays = read_npz(filepath, "occlusion sensitivity", names)
        return cls.from_arrays({name: arrays[name] for name in names})
