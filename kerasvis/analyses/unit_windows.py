"""Projects units of images into their windows, which are their receptive fields in these images.

Units are projected in independent groups. The units of one image share a group as far as possible.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Self

import numpy as np

from kerasvis.activations import LayerActivations
from kerasvis.attributions.unit_projections import UnitProjections
from kerasvis.deconvnet.targets import Unit

NUM_UNITS_AT_ONCE = 64  # limits the memory for projections of whole images


@dataclasses.dataclass(frozen=True)
class Windows:
    """Windows of one size in images of one size; they may extend beyond the image border.

    Attributes:
        size: `(height, width)` of every window.
        corners: int `(units, 2)`: (top, left) of each in its image, negative outside.
        image_size: `(height, width)`.
    """

    size: tuple[int, int]
    corners: np.ndarray
    image_size: tuple[int, int]

    @property
    def boxes(self):
        """int32 `(units, 4)`: the part inside the image, in the window's own coordinates."""
        begins = np.maximum(-self.corners, 0)
        ends = np.minimum(np.asarray(self.image_size) - self.corners, self.size)
        return np.concatenate([begins, np.maximum(ends, begins)], axis=1).astype("int32")

    def cut(self, image, number, origin=(0, 0)):
        """Cuts window `number` from an image, or a crop that begins at `origin`; 0 outside."""
        top, left, bottom, right = self.boxes[number]
        window = np.zeros((*self.size, *image.shape[2:]), image.dtype)
        row, column = self.corners[number] - origin
        window[top:bottom, left:right] = image[
            row + top : row + bottom, column + left : column + right
        ]
        return window


@dataclasses.dataclass(frozen=True, eq=False)
class UnitsInWindows:
    """Units of a layer, each in an image.

    Attributes:
        layer: name of the layer.
        features: int64 `(units,)`, numbers of their feature maps, or of dense units.
        positions: int32 `(units, 2)`, (row, column) in the feature map; `(units, 0)` of dense
            units.
        image_indices: int64 `(units,)`, of the images.
        windows: their `Windows`.
    """

    layer: str
    features: np.ndarray
    positions: np.ndarray
    image_indices: np.ndarray
    windows: Windows

    @classmethod
    def strongest(
        cls,
        projections: UnitProjections,
        image_size: tuple[int, int],
        found: LayerActivations,
        features: np.ndarray,
    ) -> Self:
        """The units with the strongest activations of some feature maps.

        Args:
            projections: the `UnitProjections` of the layer.
            image_size: `(height, width)` of the images.
            found: the layer's `LayerActivations`.
            features: int64 `(features,)`.
        """
        deconv = projections.deconv
        is_present = found.image_indices[features] >= 0
        positions = found.positions[features][is_present]
        is_dense = len(deconv.target_shape) == 1
        return cls(
            layer=deconv.layer,
            features=np.repeat(features, is_present.sum(axis=1)),
            positions=positions[:, :0] if is_dense else positions,
            image_indices=found.image_indices[features][is_present],
            windows=windows_of(deconv, image_size, positions),
        )

    @property
    def unit(self):
        """One `Unit` with an entry for each unit."""
        return Unit(self.features, *self.positions.T)

    def subset(self, numbers: np.ndarray) -> "UnitsInWindows":
        """The units of the given indices, int64 `(units,)`."""
        return UnitsInWindows(
            self.layer,
            self.features[numbers],
            self.positions[numbers],
            self.image_indices[numbers],
            dataclasses.replace(self.windows, corners=self.windows.corners[numbers]),
        )

    def nothing(self, methods: Sequence[str], num_channels: int) -> dict[str, np.ndarray]:
        """`{method: float32 (units, height, width, channels)}`, zeros to be filled."""
        shape = (len(self.image_indices), *self.windows.size, num_channels)
        return {name: np.zeros(shape, "float32") for name in methods}

    def at_once(self) -> Iterator[np.ndarray]:
        """Yields int64 `(units,)`: indices of units to project together, sorted by image."""
        by_image = np.argsort(self.image_indices, kind="stable")  # one forward pass of each image
        for begin in range(0, len(by_image), NUM_UNITS_AT_ONCE):
            yield by_image[begin : begin + NUM_UNITS_AT_ONCE]


def windows_of(deconv, image_size, positions):
    """The `Windows` of units at `positions`, int `(units, 2)`."""
    field = deconv.receptive_field(image_size)
    boxes = np.array([field.box(*map(int, p)) for p in positions], int).reshape(-1, 4)
    return Windows(field.window_size, boxes[:, :2], tuple(image_size))


def fetch(images, image_indices):
    """Reads each needed image once.

    Returns:
        `(images, numbers)`: an array of images, and for every index that is not -1 the number of
        its image in that array.
    """
    needed, numbers = np.unique(image_indices[image_indices >= 0], return_inverse=True)
    if len(needed) == 0:
        raise ValueError("There is no image among the strongest activations: scan some images.")
    return images[needed], numbers.ravel()


def project_in_windows(
    projections: UnitProjections,
    images: np.ndarray,
    image_numbers: np.ndarray,
    units: UnitsInWindows,
    batch_size: int | None = None,
) -> dict[str, np.ndarray]:
    """Projects units, all of them together.

    Args:
        projections: the `UnitProjections` of the layer.
        images: `(images, rows, columns, channels)`.
        image_numbers: int64 `(units,)`, the image of each.
        units: the `UnitsInWindows`.
        batch_size: images (or crops of them) per step.

    Returns:
        `{method: float32 (units, height, width, channels)}`, cut to the windows.
    """
    projected = units.nothing(projections.names, images.shape[3])
    found = projections.project_units(images, units.unit, image_numbers, batch_size)
    for name, (parts, origins) in found.items():
        for number, (values, origin) in enumerate(zip(parts, origins, strict=True)):
            projected[name][number] = units.windows.cut(values, number, origin)
    return projected


def project_some_at_a_time(
    projections: UnitProjections,
    images: np.ndarray,
    image_numbers: np.ndarray,
    units: UnitsInWindows,
    batch_size: int | None = None,
    advance: Callable[[int], object] = lambda number: None,
) -> dict[str, np.ndarray]:
    """Projects any number of units as `project_in_windows` does.

    Args:
        advance: called with the number of units projected since its last call.
    """
    projected = units.nothing(projections.names, images.shape[3])
    for numbers in units.at_once():
        some = units.subset(numbers)
        found = project_in_windows(projections, images, image_numbers[numbers], some, batch_size)
        for name, values in found.items():
            projected[name][numbers] = values
        advance(len(numbers))
    return projected
