"""Whether a unit needs the patch that its map points to: the patch is occluded, and shown alone.

Reference:
    Zeiler & Fergus 2013, Section 4.2: occlusion confirms what the deconvnet shows.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np

from kerasvis.analyses.fidelity.unit_maps import maps_of
from kerasvis.storage.fields import Array
from kerasvis.storage.results import Result

ENOUGH = 0.5  # of the activation


@dataclasses.dataclass(frozen=True, eq=False)
class PatchSufficiency(Result):
    """What remains of activations when a patch is occluded, or shown alone.

    All activations are divided by that in the whole image.

    Attributes:
        methods: tuple of names.
        patch_size: int64 `(2,)`, height and width in pixels.
        boxes: int64 `(methods, images, 4)`: where the energy of the map is largest, as (top, left,
            bottom, right) in pixels, half open.
        random_boxes: int64 `(methods, images, draws, 4)`: others of the same size in the unit's
            receptive field; zeros where there is no room outside the patch.
        occluded: float64 `(methods, images)`: what remains when the patch is occluded.
        random_occluded: float64 `(methods, images, draws)`: the same for random boxes; NaN where
            there are none.
        shown: float64 `(methods, images)`: what remains when the image shows only the patch.
        random_shown: float64 `(methods, images, draws)`: the same for random boxes, or NaN.
        blank: float64 `(images,)`: what remains when the whole image is occluded.
    """

    version: ClassVar[int] = 2

    methods: tuple[str, ...]
    patch_size: Annotated[np.ndarray, Array("int64", 2)]
    boxes: Annotated[np.ndarray, Array("int64", "methods", "images", 4)]
    random_boxes: Annotated[np.ndarray, Array("int64", "methods", "images", "draws", 4)]
    occluded: Annotated[np.ndarray, Array("float64", "methods", "images")]
    random_occluded: Annotated[np.ndarray, Array("float64", "methods", "images", "draws")]
    shown: Annotated[np.ndarray, Array("float64", "methods", "images")]
    random_shown: Annotated[np.ndarray, Array("float64", "methods", "images", "draws")]
    blank: Annotated[np.ndarray, Array("float64", "images")]

    def how_often_enough(self, share=ENOUGH):
        """Share of images in which the patch alone keeps at least `share` of the activation.

        Returns:
            float64 `(methods,)`.
        """
        return (self.shown >= share).mean(axis=1)

    @classmethod
    def upgraded(cls, arrays: Mapping[str, np.ndarray], version: int) -> dict[str, np.ndarray]:
        return with_occluded(arrays)


def with_occluded(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Renames arrays of files below version 2, which said "covered" instead of "occluded"."""
    return {re.sub(r"(^|[/_])covered$", r"\1occluded", name): a for name, a in arrays.items()}


def measure_patch_sufficiency(
    units, methods, baselines, *, patch_size=None, num_draws=5, seed=0, advance=lambda: None
):
    """Occludes the patch that each map points to, shows it alone, and does so with random boxes.

    Random boxes lie outside the patch and inside the unit's receptive field; elsewhere nothing can
    change.

    Args:
        units: the `ChosenUnits`.
        methods: `{name: method}`, as from `kerasvis.analyses.fidelity.unit_maps.unit_methods`.
        baselines: float32 of the shape of the images: the replacement of occluded pixels.
        patch_size: `(height, width)` in pixels, or one number for squares; by default a third of
            each side of the largest receptive field.
        num_draws: random boxes for each image.
        seed: seed of the random boxes, which do not depend on the other methods.
        advance: called after every image of every method.

    Returns:
        A `PatchSufficiency`.

    Raises:
        ValueError: if the patch is larger than a unit's receptive field.
    """
    patch_size = standardize_patch_size(patch_size, units)
    shape = (len(methods), len(units.images))
    boxes, random_boxes = np.zeros((*shape, 4), int), np.zeros((*shape, num_draws, 4), int)
    occluded, random_occluded = np.zeros(shape), np.full((*shape, num_draws), np.nan)
    shown, random_shown = occluded.copy(), random_occluded.copy()
    blank = np.zeros(len(units.images))
    for row, (name, method) in enumerate(methods.items()):
        maps = maps_of(name, method, units)
        for number, (image, baseline) in enumerate(zip(units.images, baselines, strict=True)):
            box = strongest_box(maps[number], units.boxes[number], patch_size)
            others = random_boxes_beside(box, units.boxes[number], num_draws, [seed, number])
            all_boxes = [box, *others]
            variants = [
                *(pasted(image, baseline, box) for box in all_boxes),
                *(pasted(baseline, image, box) for box in all_boxes),
                baseline,
            ]
            activations = units.activation_in(np.stack(variants), number)
            *both, blank[number] = activations / units.activations[number]
            of_occluded, of_shown = np.split(np.array(both), 2)
            place = row, number
            boxes[place], occluded[place], shown[place] = box, of_occluded[0], of_shown[0]
            if len(others):
                random_boxes[place] = others
                random_occluded[place], random_shown[place] = of_occluded[1:], of_shown[1:]
            advance()
    return PatchSufficiency(
        tuple(methods),
        np.array(patch_size),
        boxes,
        random_boxes,
        occluded,
        random_occluded,
        shown,
        random_shown,
        blank,
    )


def strongest_box(values, within, patch_size):
    """The box of a map with the largest energy, the first of ties.

    Args:
        values: `(rows, columns, channels)`, signed; the energy is the sum of squares.
        within: (top, left, bottom, right): where the box may lie.
        patch_size: `(height, width)`.

    Returns:
        int64 `(4,)`: (top, left, bottom, right).
    """
    (top, left, bottom, right), (height, width) = within, patch_size
    energy = np.square(values[top:bottom, left:right].astype("float64")).sum(axis=-1)
    sums = np.pad(energy.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    of_boxes = sums[height:, width:] - sums[:-height, width:]
    of_boxes += sums[:-height, :-width] - sums[height:, :-width]
    row, column = np.unravel_index(np.argmax(of_boxes), of_boxes.shape)
    row, column = row + top, column + left
    return np.array([row, column, row + height, column + width])


def random_boxes_beside(box, within, num_draws, seed):
    """Random boxes of the size of `box`, inside `within` and outside `box`, equally probable.

    Returns:
        int64 `(draws, 4)`; `(0, 4)` if there is no room.
    """
    height, width = box[2:] - box[:2]
    rows = np.arange(within[0], within[2] - height + 1)
    columns = np.arange(within[1], within[3] - width + 1)
    is_clear = (np.abs(rows - box[0]) >= height)[:, None] | (np.abs(columns - box[1]) >= width)
    corners = np.argwhere(is_clear) + within[:2]
    if not len(corners):
        return np.zeros((0, 4), int)
    corners = corners[np.random.default_rng(seed).integers(len(corners), size=num_draws)]
    return np.concatenate([corners, corners + box[2:] - box[:2]], axis=1)


def pasted(image, other, box):
    """The image with the contents of a box replaced by those of another image."""
    top, left, bottom, right = box
    result = image.copy()
    result[top:bottom, left:right] = other[top:bottom, left:right]
    return result


def standardize_patch_size(patch_size, units):
    """`(height, width)` in pixels; by default a third of the largest receptive field."""
    sides = units.boxes[:, 2:] - units.boxes[:, :2]
    if patch_size is None:
        patch_size = np.maximum(sides.max(axis=0) // 3, 1)
    height, width = np.broadcast_to(patch_size, 2).tolist()
    if height < 1 or width < 1 or (sides < (height, width)).any():
        smallest = "×".join(map(str, sides.min(axis=0)))
        raise ValueError(
            f"The patch must fit in the smallest receptive field, {smallest} pixels: give a size "
            f"from 1 up to that. Received: patch_size={(height, width)}"
        )
    return height, width
