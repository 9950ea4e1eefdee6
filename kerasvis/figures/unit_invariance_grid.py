"""A unit's invariances: images along the directions in which its activation curves."""

from typing import TYPE_CHECKING

import numpy as np

from kerasvis.figures.page import BESIDE_HEADING, CAPTION, DPI, LABEL, MARGIN, TITLE, Page
from kerasvis.figures.resampling import enlarge

if TYPE_CHECKING:
    from kerasvis.analyses.unit_invariance import UnitInvariance
    from kerasvis.figures.figure import Figure


IMAGE_SIZE = 0.9  # inches; seven in a row nearly fill the width of a journal page
COLUMN_GAP, ROW_GAP = 0.04, 0.05
MIN_COLUMN = 0.55  # space for the numbers below a narrow image

GRID_CAPTION = (
    "Each row: images of equal strength, rotated from the image in the middle along one direction, "
    "clipped to the range of pixels; below, the unit's activation relative to the middle. First "
    "rows: directions of fastest decrease, to which the unit is selective; last rows: of slowest "
    "decrease, to which it is invariant. If the activation increases, the image in the middle is "
    "not the unit's optimal one. Curvature: second derivative of the activation with respect to "
    "the angle in radians, relative to the activation, from gradients {} radians to either side."
)


def unit_invariance_grid(
    invariance: "UnitInvariance",
    pixels: np.ndarray,
    *,
    image_size: float = IMAGE_SIZE,
    title: str | None = None,
    caption: str | None = None,
) -> "Figure":
    """A row for each direction, a column for each angle.

    Args:
        invariance: a `UnitInvariance`. Fields read: `activation`, `step`, `curvatures`
            `(directions,)`, `angles` `(angles,)` in degrees and `activations` `(directions,
            angles)`.
        pixels: uint8 `(directions, angles, height, width, channels)`: its `images` as RGB pixels,
            as `Preprocessing.pixels` makes them; 1 channel (grey) or 3.
        image_size: longer side of each image in inches.
        title: text above the figure.
        caption: text below the figure; by default a description, "" for none.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if shapes do not fit, or the activation is 0, so that nothing is relative to it.

    Reference:
        Zeiler & Fergus 2013, Section 1.1, on Le et al. 2010.

    Example:
        >>> import keras, numpy as np
        >>> import kerasvis as kv
        >>> model = keras.Sequential(
        ...     [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, activation="softplus", name="a")]
        ... )
        >>> image = np.random.default_rng(0).uniform(-1, 1, (8, 8, 3)).astype("float32")
        >>> invariance = kv.analyses.unit_invariance(
        ...     model, "a", image, kv.targets.Unit(0, 2, 3), num_directions=1
        ... )
        >>> pixels = kv.data.Preprocessing("tf").pixels(invariance.images)
        >>> kv.figures.unit_invariance_grid(invariance, pixels).savefig("invariance.png")
    """
    pixels = np.asarray(pixels)
    _check(invariance, pixels, image_size)
    size = np.array(pixels.shape[2:4])
    height, width = (size * (image_size / max(size))).tolist()
    column = max(width, MIN_COLUMN)
    lefts = [MARGIN + place * (column + COLUMN_GAP) for place in range(pixels.shape[1])]
    page = Page(max(lefts[-1] + column + MARGIN, 3))
    if title:
        page.write(title, TITLE)
    for angle, left in zip(invariance.angles, lefts, strict=True):
        label = _with_minus(f"{angle:+g}°") if angle else "image"
        page.put_text(label, BESIDE_HEADING, left=left)
    page.move_down(BESIDE_HEADING.line_height)
    shares = invariance.activations / invariance.activation
    for number, row in enumerate(pixels):
        curvature = invariance.curvatures[number] / invariance.activation
        page.put_text(_with_minus(f"direction {number + 1}, curvature {curvature:.3g}"), LABEL)
        page.move_down(LABEL.line_height)
        for place, (tile, left) in enumerate(zip(row, lefts, strict=True)):
            tile = enlarge(np.broadcast_to(tile, (*tile.shape[:2], 3)), image_size * DPI)
            label = f"direction {number} angle {place}"
            page.put_picture(tile, label, left=left, width=width, height=height)
        page.move_down(height)
        for share, left in zip(shares[number], lefts, strict=True):
            page.put_text(_with_minus(f"{share:.2f}"), LABEL, left=left)
        page.move_down(LABEL.line_height + ROW_GAP)
    page.write(GRID_CAPTION.format(invariance.step) if caption is None else caption, CAPTION)
    return page.figure()


def _with_minus(text):
    return text.replace("-", "\N{MINUS SIGN}")


def _check(invariance, pixels, image_size):
    expected = np.shape(invariance.activations)
    if pixels.ndim != 5 or pixels.shape[:2] != expected or pixels.dtype != "uint8":
        raise ValueError(
            f"Give uint8 pixels of shape {expected} + (height, width, channels). "
            f"Received: {pixels.dtype} pixels of shape {pixels.shape}"
        )
    if image_size <= 0:
        raise ValueError(f"Give image_size above 0. Received: image_size={image_size}")
    if invariance.activation == 0:
        raise ValueError(
            "The unit is not active in the image: give an invariance around an image that excites "
            "it. Received: activation=0"
        )
