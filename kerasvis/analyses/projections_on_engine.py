"""Units of several layers, projected on the machines of a cluster.

Each part holds some units of a layer with their images; a process projects them together. The
projections are byte for byte the same as without a cluster.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Self

import keras
import numpy as np
import tqdm

from kerasvis.analyses.unit_windows import UnitsInWindows, fetch, project_in_windows
from kerasvis.attributions.projecting_worker import ProjectingWorker
from kerasvis.data.images import FetchedImages, Images
from kerasvis.engines import Ray


@dataclasses.dataclass(frozen=True, eq=False)
class UnitsOfLayer:
    """Units that are projected together; they can be sent to another machine.

    Attributes:
        place: index of the layer in the list of layers.
        numbers: int64 `(units,)`: indices of these units among all that are projected of the layer.
        units: the `UnitsInWindows`.
        images: the images that contain them.
    """

    place: int
    numbers: np.ndarray
    units: UnitsInWindows
    images: FetchedImages

    num_batches = 1  # units that are projected together count as one batch

    @property
    def num_images(self) -> int:
        """Number of units; if they kill every worker, they are divided down to a single one."""
        return len(self.numbers)

    def halves(self) -> tuple[Self, Self]:
        """Two parts with half of the units each."""
        middle = len(self.numbers) // 2
        return self._of(np.arange(middle)), self._of(np.arange(middle, len(self.numbers)))

    probes = halves

    def describe(self) -> str:
        """How error messages name these units."""
        features = np.unique(self.units.features).tolist()
        numbers = f" {features[0]}" if len(features) == 1 else f"s {features[0]} to {features[-1]}"
        return f"The activations of feature map{numbers} of layer {self.units.layer!r}"

    def _of(self, chosen):
        return dataclasses.replace(
            self, numbers=self.numbers[chosen], units=self.units.subset(chosen)
        )


class UnitWorker(ProjectingWorker):
    """Projects units.

    Args:
        model, layers, methods, rules: see `ProjectingWorker`.
        batch_size: images (or crops of them) per step.
    """

    def __init__(
        self,
        model: keras.Model,
        layers: Sequence[str],
        methods: Any,
        rules: Any,
        batch_size: int | None = None,
    ):
        super().__init__(model, layers, methods, rules)
        self._batch_size = batch_size

    def __call__(self, part: UnitsOfLayer) -> dict[str, np.ndarray]:
        projections = self.projections_of(part.units.layer)
        images, image_numbers = fetch(part.images, part.units.image_indices)
        return project_in_windows(projections, images, image_numbers, part.units, self._batch_size)


def project_on(
    engine: Ray,
    worker: UnitWorker,
    units: Sequence[UnitsInWindows],
    images: Images,
    is_shown: bool,
) -> list[dict[str, np.ndarray]]:
    """Projects units on an engine.

    Args:
        engine: the `Ray`.
        worker: the `UnitWorker`.
        units: the `UnitsInWindows` of each layer.
        images: the `Images` that contain them.
        is_shown: whether a progress bar is shown.

    Returns:
        `{method: float32 (units, height, width, channels)}` of each layer, cut to the windows.
    """
    projected: list[dict[str, np.ndarray]] = [{} for _ in units]
    total = sum(len(each.image_indices) for each in units)
    with (
        contextlib.closing(engine.map(worker, _parts(units, images))) as completed,
        tqdm.tqdm(desc="Projections", unit=" maxima", total=total, disable=not is_shown) as bar,
    ):
        for part, by_method in completed:
            if not projected[part.place]:
                num_channels = next(iter(by_method.values())).shape[-1]
                projected[part.place] = units[part.place].nothing([*by_method], num_channels)
            for name, values in by_method.items():
                projected[part.place][name][part.numbers] = values
            bar.update(len(part.numbers))
    return projected


def _parts(units: Sequence[UnitsInWindows], images: Images) -> Iterator[UnitsOfLayer]:
    for place, of_layer in enumerate(units):
        for numbers in of_layer.at_once():
            some = of_layer.subset(numbers)
            indices = np.unique(some.image_indices).tolist()
            yield UnitsOfLayer(place, numbers, some, images.chosen(indices))
