"""One image in the figures of an occlusion analysis: its fields, their checks, and scales."""

import dataclasses
from collections.abc import Mapping, Sequence

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
        result: an `OcclusionSensitivity`. Fields read: `probability` and `label` `(rows, columns)`,
            `activity` of the same shape or None, `base_probability`, `base_label` and
            `base_activity` (without occlusion), `class_index`, `layer`, `feature_index`,
            `projection` `(height, width, channels)`, signed, or None and `projection_reason`,
            `boxes` `(rows, columns, 4)`, (top, left, bottom, right) in pixels, half open,
            `image_size`, `patch_size`, `strides`, `activation`, how the model's output was
            interpreted, `measure`, what `probability` is, and the method `heat_map`. Without
            classes, `class_index` is negative.
        pixels: uint8 `(height, width, 3)`, the image without occlusion, RGB.
        class_names: `{class index: name}`, or a sequence of names, or None for numbers.
        title: text above the row.
        other_projections: up to 3 projections `(height, width, channels)` of the same feature map
            from other images, of any size.
    """

    result: object
    pixels: np.ndarray
    class_names: Mapping[int, str] | Sequence[str] | None = None
    title: str | None = None
    other_projections: Sequence = ()

    def name(self, index: int) -> str:
        """The name of a class; its number if it has none."""
        names = {} if self.class_names is None else self.class_names
        by_index = names if isinstance(names, Mapping) else dict(enumerate(names))
        return str(by_index.get(int(index), f"class {index}"))


def has_classes(result):
    """Whether the values are those of classes, not of a user's function."""
    return result.class_index >= 0


def interpretation(results):
    """How the models' outputs were interpreted, as sentences; "" if it is unknown."""
    sentences = dict.fromkeys(
        f"Taken as {result.measure}: {result.activation}."
        for result in results
        if result.activation
    )
    return " ".join(sentences)


def probability_scale(result):
    """0 to the highest probability; for other measures the range of the values.

    The value without occlusion is one of them. From 0 on, small differences look small.
    """
    values = [*np.ravel(result.probability), result.base_probability]
    if result.measure == PROBABILITY:
        return ColourScale(0, float(np.max(values)) or 1, PROBABILITY)
    return ColourScale.of(values, result.measure)


def activity_scale(result):
    """The range of the activities, including that without occlusion."""
    return ColourScale.of([*np.ravel(result.activity), result.base_activity], ACTIVITY)


def shortened(text, width, style):
    """The text, its end replaced by an ellipsis if it is wider than `width` inches."""
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
            "Give the result of occlusion_sensitivity. Received: a "
            f"{type(row.result).__name__} without {', '.join(missing)}"
        )
    _check_image(row)
    _check_maps(row.result)
    if len(row.other_projections) > 3:
        raise ValueError(
            "Give at most 3 projections from other images. "
            f"Received: {len(row.other_projections)} projections"
        )


def _check_image(row):
    pixels, size = np.asarray(row.pixels), tuple(row.result.image_size)
    if pixels.dtype != np.uint8 or pixels.shape != (*size, 3):
        raise ValueError(
            f"Give the occluded image as uint8 pixels of shape {(*size, 3)}. "
            f"Received: {pixels.dtype} pixels of shape {pixels.shape}"
        )


def _check_maps(result):
    shape = np.shape(result.probability)
    if len(shape) != 2 or 0 in shape:
        raise ValueError(
            "Give probabilities of shape (rows, columns), at least one of each. "
            f"Received: shape {shape}"
        )
    expected = {"label": shape, "boxes": (*shape, 4)}
    if result.activity is not None:
        expected["activity"] = shape
    for field, wanted in expected.items():
        actual = np.shape(getattr(result, field))
        if actual != wanted:
            raise ValueError(
                f"Give {field} of shape {wanted} with probabilities of shape {shape}. "
                f"Received: {field} of shape {actual}"
            )
    for field in ("probability", *expected):
        if not np.isfinite(getattr(result, field)).all():
            raise ValueError(
                f"The values of {field} contain NaN or infinity: look for NaN or overflow in the "
                f"model and its images. Received: {field} with "
                f"{np.count_nonzero(~np.isfinite(getattr(result, field))):,} values not finite"
            )
    top, left, bottom, right = np.moveaxis(np.asarray(result.boxes), -1, 0)
    height, width = result.image_size
    fits = (top >= 0) & (top < bottom) & (bottom <= height)
    fits &= (left >= 0) & (left < right) & (right <= width)
    if not fits.all():
        raise ValueError(
            f"Boxes must be (top, left, bottom, right) inside the image of {height} × {width} "
            f"pixels. Received: box {np.asarray(result.boxes)[~fits][0].tolist()}"
        )
