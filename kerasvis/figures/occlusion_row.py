"""What the figures of an occlusion analysis read, checked, and what they share in drawing it."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from kerasvis.figures.colour_scale import ColourScale
from kerasvis.figures.page import text_width

FIELDS = """
    probability label activity base_probability base_label base_activity class_index layer
    feature_index projection boxes image_size patch_size strides heat_map activation measure
    projection_reason
""".split()
PROBABILITY, ACTIVITY = "probability", "activity"


@dataclasses.dataclass(frozen=True)
class OcclusionRow:
    """One image in a figure of the occlusion analysis.

    Attributes:
        result: an `OcclusionSensitivity`. Read are `probability` and `label` `(rows, columns)`,
            `activity` of the same shape or None, `base_probability`, `base_label` and
            `base_activity` (without an occluder), `class_index`, `layer`, `feature_index`,
            `projection` `(height, width, channels)`, signed, or None and `projection_reason`,
            `boxes` `(rows, columns, 4)`, (top, left, bottom, right) in pixels, half open,
            `image_size`, `patch_size`, `strides`, `activation`, what the model's output was taken
            for, `measure`, what `probability` is, and the method `heat_map`. Without classes,
            `class_index` is negative.
        pixels: uint8 `(height, width, 3)`, the image without an occluder, RGB.
        class_names: `{class index: name}`, or a sequence of names, or None for numbers.
        title: text above the row.
        other_projections: up to 3 projections `(height, width, channels)` of the same feature map
            from other images, of any size.
    """

    result: object
    pixels: np.ndarray
    class_names: dict | Sequence | None = None
    title: str | None = None
    other_projections: Sequence = ()

    def name(self, index: int) -> str:
        """The name of a class, its number where it has none."""
        names = self.class_names
        if names is not None and not isinstance(names, dict):
            names = dict(enumerate(names))
        return str((names or {}).get(int(index), f"class {index}"))


def has_classes(result):
    """Whether the values are those of classes, and not of a function of the user's."""
    return result.class_index >= 0


def taken_sentence(results):
    """What the models' outputs were taken for, where that is known; "" otherwise."""
    taken = dict.fromkeys(
        f"Taken as {result.measure}: {result.activation}."
        for result in results
        if result.activation
    )
    return " ".join(taken)


def probability_scale(result, full_range):
    """0 to 1 for probabilities, or the range of the values, that without an occluder included."""
    if full_range and result.measure == PROBABILITY:
        return ColourScale(0, 1, PROBABILITY)
    return ColourScale.of([*np.ravel(result.probability), result.base_probability], result.measure)


def activity_scale(result):
    """The range of the activities, that without an occluder included."""
    return ColourScale.of([*np.ravel(result.activity), result.base_activity], ACTIVITY)


def shortened(text, width, style):
    """The text, its end replaced by an ellipsis where it is wider than `width` inches."""
    if text_width(text, style) <= width:
        return text
    while text and text_width(f"{text}…", style) > width:
        text = text[:-1].rstrip(" ,")
    return f"{text}…"


def check_row(row):
    """Raises a ValueError unless `row` can be shown."""
    missing = [field for field in FIELDS if not hasattr(row.result, field)]
    if missing:
        raise ValueError(
            f"The figure got a {type(row.result).__name__} without {', '.join(missing)}, expected "
            "what occlusion_sensitivity returns."
        )
    _check_image(row)
    _check_maps(row.result)
    if len(row.other_projections) > 3:
        raise ValueError(
            f"The figure got {len(row.other_projections)} projections from other images, expected "
            "at most 3."
        )


def _check_image(row):
    pixels, size = np.asarray(row.pixels), tuple(row.result.image_size)
    if pixels.dtype != np.uint8 or pixels.shape != (*size, 3):
        raise ValueError(
            f"The figure got {pixels.dtype} pixels of shape {pixels.shape}, expected uint8 pixels "
            f"of shape {(*size, 3)}: give the image that was occluded."
        )


def _check_maps(result):
    shape = np.shape(result.probability)
    if len(shape) != 2 or 0 in shape:
        raise ValueError(
            f"The probabilities have shape {shape}, expected (rows, columns) of occluder "
            "positions, at least one."
        )
    expected = {"label": shape, "boxes": (*shape, 4)}
    if result.activity is not None:
        expected["activity"] = shape
    for field, wanted in expected.items():
        actual = np.shape(getattr(result, field))
        if actual != wanted:
            raise ValueError(
                f"The {field} has shape {actual}, expected {wanted} beside probabilities of shape "
                f"{shape}."
            )
    for field in ("probability", *expected):
        if not np.isfinite(getattr(result, field)).all():
            raise ValueError(
                f"The {field} holds NaN or infinity; look for NaN or overflow in the model and "
                "its images."
            )
    top, left, bottom, right = np.moveaxis(np.asarray(result.boxes), -1, 0)
    height, width = result.image_size
    fits = (top >= 0) & (top < bottom) & (bottom <= height)
    fits &= (left >= 0) & (left < right) & (right <= width)
    if not fits.all():
        raise ValueError(
            f"Box {np.asarray(result.boxes)[~fits][0].tolist()} does not fit an image of {height} "
            f"× {width} pixels; boxes are (top, left, bottom, right)."
        )
