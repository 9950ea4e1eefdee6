"""Heat maps of the occlusion analysis laid over the photograph."""

from typing import TYPE_CHECKING

import numpy as np

from kerasvis.figures.occlusion_row import (
    OcclusionRow,
    activity_scale,
    check_row,
    has_classes,
    interpretation,
    probability_scale,
    shortened,
)
from kerasvis.figures.page import BESIDE_HEADING, CAPTION, MARGIN, TITLE, Page

if TYPE_CHECKING:
    from kerasvis.analyses.occlusion.occlusion_result import OcclusionSensitivity
    from kerasvis.figures.figure import Figure


# In inches; three photographs fill the width of a journal page.
PHOTOGRAPH_SIZE, PANEL_GAP, CAPTION_GAP = 2.3, 0.12, 0.04
MIN_COLUMN = 1.6  # space for the headings above a tall image
LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue

OVERLAY_CAPTION = (
    "Colour of a pixel: mean over the occluder positions that contain it. Stroke on a scale: value "
    "without occlusion."
)
ACTIVITY_CAPTION = "Activity: summed over the feature map."
NEVER_OCCLUDED_CAPTION = "Without colour: pixels that are never occluded."


def occlusion_overlay(
    result: "OcclusionSensitivity",
    pixels: np.ndarray,
    *,
    class_name: str | None = None,
    opacity: float = 0.55,
    photograph_size: float = PHOTOGRAPH_SIZE,
    title: str | None = None,
    caption: str | None = None,
) -> "Figure":
    """The photograph, overlaid with the probability of the class and the recorded activity, if any.

    The photograph below a heat map is grey, so that all colour comes from the heat map. Colours
    of probabilities begin at 0, as in `occlusion_panel`.

    Args:
        result: an `OcclusionSensitivity`; `OcclusionRow` lists the fields that are read.
        pixels: uint8 `(height, width, 3)`, the image without occlusion, RGB.
        class_name: name of the correct class; by default its number.
        opacity: share of the heat map in each pixel, in [0, 1].
        photograph_size: longer side of the image in inches.
        title: text above the figure.
        caption: text below the figure; by default a description, "" for none.

    Returns:
        A `matplotlib.figure.Figure`; `savefig(filepath)` writes it at 300 dots per inch.

    Raises:
        ValueError: if shapes do not fit, a number is NaN or infinite, or an argument is out of
            range.

    Reference:
        Zeiler & Fergus 2013, Figure 6 (b) and (d). Deviation: the paper shows the maps beside the
        image.

    Example:
        >>> import keras
        >>> from keras import layers
        >>> import kerasvis as kv
        >>> model = keras.Sequential(
        ...     [keras.Input((32, 40, 3)), layers.Conv2D(4, 5, 4, activation="relu", name="a")]
        ...     + [layers.Flatten(), layers.Dense(8, activation="softmax", name="scores")]
        ... )
        >>> pixels = kv.data.PlantedObjects(1, (32, 40))[0].astype("uint8")
        >>> result = kv.occlusion_sensitivity(
        ...     model, pixels, class_index=0, patch_size=8, strides=4, verbose=0
        ... )
        >>> figure = kv.figures.occlusion_overlay(result, pixels, class_name="striped disc")
        >>> figure.savefig("overlay.png")
    """
    check_row(OcclusionRow(result, pixels))
    if not 0 <= opacity <= 1 or photograph_size <= 0:
        raise ValueError(
            "Give opacity from 0 to 1 and photograph_size above 0. Received: "
            f"opacity={opacity}, photograph_size={photograph_size}"
        )
    height, width = np.multiply(
        result.image_size, photograph_size / max(result.image_size)
    ).tolist()
    maps = _maps(result, class_name)
    headings = ["image", *maps]
    column = max(width, MIN_COLUMN)
    pitch = column + PANEL_GAP
    page = Page(len(headings) * pitch - PANEL_GAP + 2 * MARGIN)
    if title:
        page.write(title, TITLE)
    lefts = [MARGIN + place * pitch for place in range(len(headings))]
    for heading, left in zip(headings, lefts, strict=True):
        page.put_text(shortened(heading, column, BESIDE_HEADING), BESIDE_HEADING, left=left)
    page.move_down(BESIDE_HEADING.line_height)
    begin = page.position
    page.put_picture(np.asarray(pixels), "image", left=lefts[0], width=width, height=height)
    for (scale, values, base), left in zip(maps.values(), lefts[1:], strict=True):
        page.position = begin
        laid = overlaid(pixels, scale, result.heat_map(values), opacity)
        page.put_picture(laid, scale.unit, left=left, width=width, height=height)
        page.move_down(height)
        scale.put_bar(page, f"{scale.unit} bar", left=left, width=column, mark=base)
    page.move_down(CAPTION_GAP)
    page.write(_caption(result) if caption is None else caption, CAPTION)
    return page.figure()


def overlaid(pixels, scale, values, opacity):
    """Colours of `values` `(height, width)` mixed with the image in grey; only the image at NaN."""
    grey = (np.asarray(pixels) @ np.array(LUMINANCE))[..., None]
    share = np.where(np.isnan(values), 0, opacity)[..., None]
    return np.rint(share * scale.rgb(values) + (1 - share) * grey).astype("uint8")


def _maps(result, class_name):
    """`{heading: (scale, values, value without occlusion)}`."""
    name = f"class {result.class_index}" if class_name is None else class_name
    heading = f"{result.measure} of {name}" if has_classes(result) else result.measure
    scale = probability_scale(result)
    maps = {heading: (scale, result.probability, result.base_probability)}
    if result.activity is not None:
        heading = f"activity of {result.layer}, feature {result.feature_index}"
        maps[heading] = (activity_scale(result), result.activity, result.base_activity)
    return maps


def _caption(result):
    sentences = [OVERLAY_CAPTION, *filter(None, [interpretation([result])])]
    if result.activity is not None:
        sentences.append(ACTIVITY_CAPTION)
    if np.isnan(result.heat_map(result.probability)).any():
        sentences.append(NEVER_OCCLUDED_CAPTION)
    return " ".join(sentences)
