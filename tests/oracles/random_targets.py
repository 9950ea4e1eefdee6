"""Random targets, and how the oracle names the same units."""

import numpy as np

from kerasvis import targets


def draw_target(maps, rng):
    """Draws a unit, the strongest unit or a whole map; one feature for all images, or one for each.

    Args:
        maps: the activations of the layer, `(images, rows, columns, features)` or
            `(images, units)`.
        rng: a `numpy.random.Generator`.

    Returns:
        `(target, arguments)`: one of `kerasvis.targets`, and the same for
        `tests.oracles.modified_gradient.project`.
    """
    if maps.ndim == 2:
        feature = _draw_feature(_is_well_above_rounding(maps), rng)
        return targets.Unit(feature), {"feature": feature}
    kind = rng.choice(["unit", "strongest", "whole map"])
    if kind == "strongest":
        strongest = maps.max((1, 2))
        feature = _draw_feature(_is_well_above_rounding(strongest), rng)
        return targets.Strongest(feature), {"feature": feature}
    is_strong = _is_well_above_rounding(maps)
    feature = _draw_feature(is_strong.any((1, 2)), rng)
    if kind == "whole map":
        return targets.WholeMap(feature), {"feature": feature, "whole_map": True}
    row, column = _draw_positions(is_strong, feature, rng)
    position = {"feature": feature, "row": row, "column": column}
    return targets.Unit(**position), position


def _is_well_above_rounding(activations):
    """Where an activation is no small difference of large terms.

    Float32 knows an activation to about 1e-7 of the largest of its layer, and the projection is
    proportional to it: of one that is 1e-4 of the largest, the third digit is noise.
    """
    strengths = np.abs(activations)
    return strengths >= 0.1 * strengths.max(tuple(range(1, strengths.ndim)), keepdims=True)


def _draw_feature(is_strong, rng):
    """A number that is strong in all images, if there is any, or one number for each image."""
    in_all = np.flatnonzero(is_strong.all(0))
    if len(in_all) and rng.random() < 0.5:
        return int(rng.choice(in_all))
    return [int(rng.choice(np.flatnonzero(of_image))) for of_image in is_strong]


def _draw_positions(is_strong, feature, rng):
    """`(rows, columns)` of a strong unit of each image's feature map."""
    positions = [
        rng.choice(np.argwhere(is_strong[image, ..., number]))
        for image, number in enumerate(np.broadcast_to(feature, len(is_strong)))
    ]
    return tuple([int(x) for x in axis] for axis in zip(*positions, strict=True))
