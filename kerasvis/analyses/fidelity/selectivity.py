"""Whether maps depend on the unit, or on the image alone.

Much of a projection's detail comes from the switches, which are the same for all units of an image.
This check compares projections of different units in one image, and of one unit in different
images.

Reference:
    Mahendran & Vedaldi 2016, "Salient deconvolutional networks", Section 3.
"""

import dataclasses
import itertools
from typing import Annotated

import numpy as np

from kerasvis.analyses.fidelity.chosen_units import strongest_positions
from kerasvis.analyses.fidelity.map_similarity import (
    MEASURES,
    SMALLEST_SIDE,
    cut,
    map_similarity,
    mean_of_defined,
)
from kerasvis.analyses.unit_windows import Windows
from kerasvis.attributions.methods import checked_maps
from kerasvis.deconvnet.targets import Unit
from kerasvis.graph import receptive_field
from kerasvis.storage.fields import Array
from kerasvis.storage.results import Result


@dataclasses.dataclass(frozen=True, eq=False)
class Selectivity(Result):
    """How similar maps of different units, and of different images, are.

    Attributes:
        methods: tuple of names.
        measures: tuple of names, as in `kerasvis.analyses.fidelity.map_similarity`.
        features: int32 `(images, units)`: the feature maps compared in each image, the chosen one
            first; -1 where fewer are active.
        between_units: float64 `(methods, images, measures)`: mean similarity of the maps of all
            pairs of these, at one position of one image; NaN where there is only one.
        between_images: float64 `(methods, images, measures)`: mean similarity of the map of the
            chosen unit to that of the same feature in the other images, each at its strongest
            position; NaN where the feature is active in no other image.
    """

    methods: tuple[str, ...]
    measures: tuple[str, ...]
    features: Annotated[np.ndarray, Array("int32", "images", "units")]
    between_units: Annotated[np.ndarray, Array("float64", "methods", "images", "measures")]
    between_images: Annotated[np.ndarray, Array("float64", "methods", "images", "measures")]


def measure_selectivity(units, methods, *, num_units=4, advance=lambda: None):
    """Compares maps of different units in one image, and of one unit in different images.

    Maps are compared in windows of the size of the receptive field, where both lie inside the
    image. Pairs with less than three rows or columns in common are left out.

    Args:
        units: the `ChosenUnits`.
        methods: `{name: method}`, as from `kerasvis.analyses.fidelity.unit_maps.unit_methods`.
        num_units: how many units are compared in each image: the chosen one, and the most active
            others at its position.
        advance: called after every image of every method.

    Returns:
        A `Selectivity`.
    """
    images, activations = units.images, units.layer_activations
    field = receptive_field(units.model, units.layer, images.shape[1:3])
    features = most_active(activations, units, num_units)
    shape = (len(methods), len(images), len(MEASURES))
    between_units, between_images = np.full(shape, np.nan), np.full(shape, np.nan)
    for row, (name, method) in enumerate(methods.items()):
        for number in range(len(images)):
            of_image = [(number, f, units.positions[number]) for f in features[number] if f >= 0]
            elsewhere = in_other_images(activations, units, number)
            compared = [*of_image, *elsewhere]
            target = as_unit(compared, units.is_dense)
            chosen = images[[image for image, *_ in compared]]
            maps = checked_maps(
                name, method(units.model, units.layer, chosen, target), chosen.shape
            )
            windows = windows_at(field, [position for *_, position in compared], images.shape[1:3])
            pairs = itertools.combinations(range(len(of_image)), 2)
            between_units[row, number] = mean_similarity(maps, windows, pairs)
            pairs = [(0, other) for other in range(len(of_image), len(compared))]
            between_images[row, number] = mean_similarity(maps, windows, pairs)
            advance()
    return Selectivity(tuple(methods), MEASURES, features, between_units, between_images)


def most_active(activations, units, num_units):
    """The chosen feature and the most active others at its position: int32 `(images, units)`."""
    features = np.full((len(activations), num_units), -1, "int32")
    for number, (row, column) in enumerate(units.positions):
        at_position = activations[number, row, column].copy()
        at_position[units.features[number]] = np.inf  # comes first
        order = np.argsort(-at_position, kind="stable")[:num_units]
        active = order[at_position[order] > 0]
        features[number, : len(active)] = active
    return features


def in_other_images(activations, units, number):
    """`(image, feature, position)` where the feature of image `number` is active in others."""
    feature = units.features[number]
    positions = strongest_positions(activations, np.full(len(activations), feature))
    return [
        (other, feature, position)
        for other, position in enumerate(positions)
        if other != number and activations[(other, *position, feature)] > 0
    ]


def as_unit(units, is_dense):
    """One `Unit` for all `(image, feature, position)`."""
    _, features, positions = zip(*units, strict=True)
    return Unit(np.array(features, "int32"), *([] if is_dense else np.transpose(positions)))


def windows_at(field, positions, image_size):
    """The `Windows` of units at `positions` in images of one size."""
    corners = np.zeros((len(positions), 2), int)
    if not field.is_whole_image:
        corners = np.array([field.box(*map(int, position))[:2] for position in positions])
    size = tuple(image_size) if field.is_whole_image else field.window_size
    return Windows(size, corners, tuple(image_size))


def mean_similarity(maps, windows, pairs):
    """Mean similarity of pairs of maps in their windows; NaN without a pair.

    Args:
        maps: float32 `(units, rows, columns, channels)`.
        windows: the `Windows` of the units.
        pairs: pairs of numbers of units.

    Returns:
        float64 `(measures,)`.
    """
    found = []
    for first, second in pairs:
        box = common_box(windows.boxes[first], windows.boxes[second])
        parts = [cut(windows.cut(maps[number], number), box) for number in (first, second)]
        if min(parts[0].shape[:2]) >= SMALLEST_SIDE:
            found.append(map_similarity(*parts))
    return mean_of_defined(np.reshape(found, (-1, len(MEASURES))).T)


def common_box(first, second):
    """The intersection of two boxes (top, left, bottom, right)."""
    return (*np.maximum(first[:2], second[:2]), *np.minimum(first[2:], second[2:]))
