"""Methods side by side: what each says about the same activation of the same image."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kerasvis.figures.channels import as_rgb, is_picture
from kerasvis.figures.colour_scale import ColourScale
from kerasvis.figures.contrast import CONTRAST_RULE, signed_to_rgb
from kerasvis.figures.occlusion_overlay import overlaid
from kerasvis.figures.occlusion_row import shortened
from kerasvis.figures.page import BESIDE_HEADING, CAPTION, DPI, LABEL, MARGIN, TITLE, Page
from kerasvis.figures.resampling import enlarge, shrink

if TYPE_CHECKING:
    from kerasvis.analyses.method_comparison import MethodComparison
    from kerasvis.figures.figure import Figure


# In inches; seven columns of this size are as wide as the page of a journal, 7.2 inches.
IMAGE_SIZE = 0.98
COLUMN_GAP, ROW_GAP = 0.04, 0.07
MIN_COLUMN = 0.8  # room for the headings over a narrow image
OPACITY = 0.55  # of a heat map over the photograph

METHOD_NAMES = {
    "guided": "guided backprop",
    "gradient_times_input": "gradient × input",
    "smoothgrad": "SmoothGrad",
    "grad_cam": "Grad-CAM",
    "activation_maximization": "preferred image",
}
SIGNED_CAPTION = f"Signed maps {CONTRAST_RULE}."
HEAT_CAPTION = "Heat maps, over the photograph in grey, each from 0 (dark) to its maximum (light)."

MADE_CAPTION = "Activation maximization: images that the unit prefers, whatever the photograph."


def method_comparison_grid(
    comparison: "MethodComparison",
    *,
    row_names: Sequence[str] | None = None,
    image_size: float = IMAGE_SIZE,
    title: str | None = None,
    caption: str | None = None,
) -> "Figure":
    """A row for each image, a column for each method.

    Signed maps are shown by the rule of `signed_to_rgb`, each by itself, at the size at which they
    are printed; heat maps lie over the photograph in grey.

    Args:
        comparison: a `MethodComparison`. Read are `layer`, `feature_indices` `(images,)`,
            `activations` `(images,)`, `pixels` uint8 `(images, height, width, channels)`, and
            `maps`, `{method: array}`: float `(images, height, width, channels)`, signed; float
            `(images, height, width)`, at least 0; or uint8 as `pixels`, images that a method made.
            Of other than 1 (grey) or 3 (RGB) channels the mean of the image and the sum of a map
            are shown, as grey.
        row_names: a line of text above each row; by default the feature.
        image_size: longer side of each image in inches.
        title: text above everything.
        caption: text below everything; by default how the maps are shown, "" for none.

    Returns:
        A `matplotlib.figure.Figure`; `savefig(filepath)` writes it at 300 dots per inch.

    Raises:
        ValueError: if there is nothing to show, shapes do not fit, or a map holds NaN or infinity.

    Example:
        >>> import keras
        >>> from keras import layers
        >>> import kerasvis as kv
        >>> model = keras.Sequential(
        ...     [keras.Input((32, 40, 3)), layers.Conv2D(4, 5, 4, activation="relu", name="a")]
        ... )
        >>> images = kv.data.PlantedObjects(2, (32, 40))[:]
        >>> target = kv.targets.Strongest(3)
        >>> found = kv.compare_methods(model, "a", images, target, ["deconvnet", "gradient"])
        >>> kv.figures.method_comparison_grid(found).savefig("methods.png")
    """
    _check(comparison, row_names, image_size)
    size = np.array(comparison.pixels.shape[1:3])
    height, width = (size * (image_size / max(size))).tolist()
    column = max(width, MIN_COLUMN)
    headings = ["image", *(METHOD_NAMES.get(m, m.replace("_", " ")) for m in comparison.maps)]
    lefts = [MARGIN + place * (column + COLUMN_GAP) for place in range(len(headings))]
    page = Page(lefts[-1] + column + MARGIN)
    if title:
        page.write(title, TITLE)
    for heading, left in zip(headings, lefts, strict=True):
        page.put_text(shortened(heading, column, BESIDE_HEADING), BESIDE_HEADING, left=left)
    page.move_down(BESIDE_HEADING.line_height)
    names = _row_names(comparison) if row_names is None else row_names
    for number, name in enumerate(names):
        page.put_text(shortened(name, page.width - 2 * MARGIN, LABEL), LABEL)
        page.move_down(LABEL.line_height)
        tiles = _tiles(comparison, number, image_size * DPI)
        for heading, tile, left in zip(headings, tiles, lefts, strict=True):
            page.put_picture(tile, f"{heading} {number}", left=left, width=width, height=height)
        page.move_down(height + ROW_GAP)
    page.write(_caption(comparison) if caption is None else caption, CAPTION)
    return page.figure()


def _tiles(comparison, number, num_dots):
    """RGB pixels of one row: the image, then each method's map."""
    pixels = as_rgb(comparison.pixels[number])
    tiles = [pixels]
    for maps in comparison.maps.values():
        if maps.dtype == "uint8":
            tiles.append(as_rgb(maps[number]))
        elif maps.ndim == 3:
            tiles.append(_heat(pixels, maps[number]))
        else:
            tiles.append(signed_to_rgb(shrink(_as_picture(maps[number]), num_dots)))
    return [enlarge(tile, num_dots) for tile in tiles]


def _as_picture(values):
    """Signed values of 1 or 3 channels; of others their sum, as grey."""
    is_one = is_picture(values.shape[-1])
    return values if is_one else values.sum(axis=-1, keepdims=True)


def _heat(pixels, values):
    highest = float(values.max())
    return overlaid(pixels, ColourScale(0, highest if highest > 0 else 1, ""), values, OPACITY)


def _row_names(comparison):
    return [
        f"{comparison.layer}, feature {feature}: {activation:.4g}"
        for feature, activation in zip(
            comparison.feature_indices, comparison.activations, strict=True
        )
    ]


def _caption(comparison):
    kinds = {(maps.dtype == "uint8", maps.ndim) for maps in comparison.maps.values()}
    sentences = {(False, 4): SIGNED_CAPTION, (False, 3): HEAT_CAPTION, (True, 4): MADE_CAPTION}
    said = [sentence for kind, sentence in sentences.items() if kind in kinds]
    if not is_picture(comparison.pixels.shape[-1]):
        said.append(
            f"Of {comparison.pixels.shape[-1]} channels the image shows the mean, maps the sum."
        )
    return " ".join(said)


def _check(comparison, row_names, image_size):
    shape = comparison.pixels.shape
    if not len(comparison.pixels) or not comparison.maps or image_size <= 0:
        raise ValueError(
            f"method_comparison_grid got {len(comparison.pixels)} images, {len(comparison.maps)} "
            f"methods and image_size={image_size}, expected at least one of each and a size above "
            "0."
        )
    if row_names is not None and len(row_names) != shape[0]:
        raise ValueError(
            f"method_comparison_grid got {len(row_names)} row names for {shape[0]} images, "
            "expected one for each."
        )
    for method, maps in comparison.maps.items():
        if maps.shape not in (shape, shape[:3]):
            raise ValueError(
                f"The maps of {method!r} have the shape {maps.shape}, expected {shape} or "
                f"{shape[:3]}."
            )
        if not np.isfinite(maps).all():
            raise ValueError(
                f"The maps of {method!r} hold NaN or infinity; look for NaN or overflow in the "
                "model and its images."
            )
