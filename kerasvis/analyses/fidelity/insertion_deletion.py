"""How activations change when pixels are deleted, or inserted, in order of their strength in a map.

Reference:
    Petsiuk, Das & Saenko 2018, "RISE: randomized input sampling for explanation of black-box
    models", Section 4.1.
"""

import dataclasses
from typing import Annotated

import numpy as np
import scipy.integrate

from kerasvis.analyses.fidelity.map_similarity import strength
from kerasvis.analyses.fidelity.unit_maps import maps_of
from kerasvis.storage.fields import Array
from kerasvis.storage.results import Result

RANDOM = "random"


@dataclasses.dataclass(frozen=True, eq=False)
class InsertionDeletion(Result):
    """Activations while pixels are deleted or inserted, relative to that in the whole image.

    Attributes:
        methods: tuple of names.
        shares: float64 `(steps,)`: share of the pixels of the unit's receptive field that are
            deleted or inserted, from 0 to 1.
        deletion: float64 `(methods, images, steps)`, strongest pixels of the map deleted first.
        insertion: float64 `(methods, images, steps)`, strongest pixels inserted first.
    """

    methods: tuple[str, ...]
    shares: Annotated[np.ndarray, Array("float64", "steps")]
    deletion: Annotated[np.ndarray, Array("float64", "methods", "images", "steps")]
    insertion: Annotated[np.ndarray, Array("float64", "methods", "images", "steps")]

    @property
    def deletion_area(self):
        """float64 `(methods, images)`: area below the curve; small if the map is right."""
        return scipy.integrate.trapezoid(self.deletion, self.shares, axis=-1)

    @property
    def insertion_area(self):
        """float64 `(methods, images)`: area below the curve; large if the map is right."""
        return scipy.integrate.trapezoid(self.insertion, self.shares, axis=-1)


def measure_insertion_deletion(
    units, methods, baselines, *, num_steps=11, seed=0, advance=lambda: None
):
    """Deletes and inserts pixels in order of their strength in maps.

    The method `by_chance` is the control.

    Args:
        units: the `ChosenUnits`.
        methods: `{name: method}`, as from `kerasvis.analyses.fidelity.unit_maps.unit_methods`.
        baselines: float32 of the shape of the images: the replacement of deleted pixels.
        num_steps: points of a curve, both ends included.
        seed: seed of the random order of pixels of equal strength.
        advance: called after every image of every method.

    Returns:
        An `InsertionDeletion`.
    """
    shares = np.linspace(0, 1, num_steps)
    deletion = np.zeros((len(methods), len(units.images), num_steps))
    insertion = np.zeros_like(deletion)
    for row, (name, method) in enumerate(methods.items()):
        maps = maps_of(name, method, units)
        for number, (image, baseline) in enumerate(zip(units.images, baselines, strict=True)):
            order = order_of_pixels(maps[number], units.boxes[number], [seed, number])
            deleted = [replaced(image, baseline, order, share) for share in shares]
            inserted = [replaced(baseline, image, order, share) for share in shares]
            activations = units.activation_in(np.stack([*deleted, *inserted]), number)
            ratios = activations / units.activations[number]
            deletion[row, number], insertion[row, number] = np.split(ratios, 2)
            advance()
    return InsertionDeletion(tuple(methods), shares, deletion, insertion)


def by_chance(model, layer, images, target):
    """Constant maps, as a control: their pixels come in random order."""
    return np.zeros_like(images)


def order_of_pixels(values, box, seed):
    """The pixels inside a box, the strongest first: int64 `(pixels, 2)`, (row, column)."""
    top, left, bottom, right = box
    strengths = strength(values[top:bottom, left:right])
    by_chance = np.random.default_rng(seed).permutation(strengths.size)
    order = by_chance[np.argsort(-strengths.ravel()[by_chance], kind="stable")]
    return np.stack(np.unravel_index(order, strengths.shape), axis=1) + np.array([top, left])


def replaced(image, other, order, share):
    """The image with the first pixels in `order` replaced by those of another one."""
    rows, columns = order[: round(share * len(order))].T
    result = image.copy()
    result[rows, columns] = other[rows, columns]
    return result
