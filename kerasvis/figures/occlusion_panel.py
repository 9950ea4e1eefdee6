"""Figure 6 of the paper: how occluding parts of an image changes a feature map and the class."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kerasvis.figures.channels import is_picture, signed_picture
from kerasvis.figures.contrast import CONTRAST_RULE, GREY, signed_to_rgb
from kerasvis.figures.label_map import label_counts, label_pixels
from kerasvis.figures.occlusion_row import (
    OcclusionRow,
    activity_scale,
    check_row,
    has_classes,
    interpretation,
    probability_scale,
    shortened,
)
from kerasvis.figures.page import (
    CAPTION,
    DPI,
    LABEL,
    MARGIN,
    TITLE,
    Page,
    text_width,
    wrap,
)
from kerasvis.figures.resampling import enlarge, shrink

if TYPE_CHECKING:
    from kerasvis.figures.figure import Figure


# In inches; five panels with a legend fill the width of a journal page, 7.2.
PANEL_SIZE, LEGEND_WIDTH = 1.1, 1.19
PANEL_GAP, ROW_GAP, HEADING_GAP = 0.085, 0.1, 0.04
TILE_GAP, FRAME_WIDTH, KEY_SIZE = 0.04, 0.02, 0.07
FRAME_COLOUR = (230, 85, 13)

OTHER = "other"
STRONG = LABEL._replace(weight="bold")

HEADINGS = {
    "a": "(a) image, occluder",
    "b": "(b) summed activity",
    "c": "(c) projections",
    "d": "(d) correct class",
    "e": "(e) most probable label",
}
CAPTIONS = {
    "a": "A grey occluder slides over the image. (a) The occluder where the {value} is lowest.",
    "b": "(b) Summed activity of one feature map.",
    "c": f"(c) Projections of that feature map, {CONTRAST_RULE}; framed: from this image, the "
    "others from other images.",
    "d": "(d) The {value}. Colour of a pixel: mean over the occluder positions that contain it. "
    "Stroke on a scale: value without occlusion.",
    "e": "(e) Most probable label, at each pixel that of the nearest occluder position, with its "
    "share of all positions; bold: the correct class; below: the label without occlusion.",
}
NEVER_OCCLUDED_CAPTION = "Light grey: pixels that are never occluded."


def occlusion_panel(
    rows: OcclusionRow | Sequence[OcclusionRow],
    *,
    panel_size: float = PANEL_SIZE,
    title: str | None = None,
    caption: str | None = None,
) -> "Figure":
    """The effect of occlusion as maps over the image, one row per image.

    Five panels: (a) the image with the occluder to scale, (b) the summed activity of a feature map,
    (c) the projection of that map, framed, with those from other images, (d) the probability of the
    correct class, (e) the most probable label with a legend. All but (c) are aligned with the
    pixels of the image. Colours of probabilities begin at 0. (b) and (c) are left out if no row has
    them; without a projection, (c) gives the reason. For a function instead of classes, (d) shows
    its values, and (e) is left out.

    Args:
        rows: one `OcclusionRow` or a list of them.
        panel_size: longer side of an image in inches.
        title: text above the figure.
        caption: text below the figure; by default a description, "" for none.

    Returns:
        A `matplotlib.figure.Figure`; `savefig(filepath)` writes it at 300 dots per inch.

    Raises:
        ValueError: if there is nothing to show, shapes do not fit, a box exceeds the image, or a
            number is NaN or infinite.

    Reference:
        Zeiler & Fergus 2013, Section 4.2 and Figure 6 (Figure 7 in arXiv v3).

    Example:
        >>> import keras
        >>> from keras import layers
        >>> import kerasvis as kv
        >>> model = keras.Sequential(
        ...     [keras.Input((32, 40, 3)), layers.Conv2D(4, 5, 4, activation="relu", name="a")]
        ...     + [layers.Flatten(), layers.Dense(8, activation="softmax", name="scores")]
        ... )
        >>> planted = kv.data.PlantedObjects(1, (32, 40))
        >>> pixels = planted[0].astype("uint8")
        >>> result = kv.occlusion_sensitivity(
        ...     model, pixels, class_index=0, patch_size=8, strides=4, verbose=0
        ... )
        >>> row = kv.figures.OcclusionRow(result, pixels, planted.class_names)
        >>> kv.figures.occlusion_panel(row).savefig("occlusion.png")
    """
    rows = [rows] if isinstance(rows, OcclusionRow) else list(rows)
    _check(rows, panel_size)
    letters = _letters(rows)
    headings = HEADINGS if "e" in letters else HEADINGS | {"d": "(d) score"}
    column = max(panel_size, *(text_width(headings[letter], LABEL) for letter in letters))
    lefts = [MARGIN + place * (column + PANEL_GAP) for place in range(len(letters) + 1)]
    page = Page(lefts[-1] + (LEGEND_WIDTH if "e" in letters else -PANEL_GAP) + MARGIN)
    if title:
        page.write(title, TITLE)
        page.move_down(HEADING_GAP)
    for letter, left in zip(letters, lefts, strict=False):
        page.put_text(headings[letter], LABEL, left=left)
    page.move_down(LABEL.line_height + HEADING_GAP)
    for number, row in enumerate(rows):
        RowPanels(page, row, f"row {number}", column, panel_size).put(letters, lefts)
        page.move_down(ROW_GAP)
    page.write(_caption(rows, letters) if caption is None else caption, CAPTION)
    return page.figure()


def _letters(rows):
    """The panels that at least one row has."""
    results = [row.result for row in rows]
    has = {
        "b": any(result.activity is not None for result in results),
        "c": any(len(row.other_projections) for row in rows)
        or any(result.projection is not None or result.projection_reason for result in results),
        "e": any(map(has_classes, results)),
    }
    return [letter for letter in HEADINGS if has.get(letter, True)]


class RowPanels:
    """The panels of one image.

    Attributes:
        size: `(height, width)` of the image on the page, in inches.
        column: width of a panel with the text below it, in inches.
    """

    def __init__(self, page, row, label, column, panel_size):
        self.page, self.row, self.result = page, row, row.result
        self.label = label
        self.column = column
        size = np.array(row.result.image_size)
        self.size = tuple((size * (panel_size / size.max())).tolist())

    def put(self, letters, lefts):
        """Puts the panels side by side with the legend last, and moves below the lowest."""
        panels = {
            "a": self._put_image,
            "b": self._put_activity,
            "c": self._put_projections,
            "d": self._put_probability,
            "e": self._put_labels,
        }
        if self.row.title:
            self.page.write(self.row.title, STRONG)
        begin, ends = self.page.position, []
        for put, left in zip([*map(panels.get, letters), self._put_legend], lefts, strict=True):
            self.page.position = begin
            put(left)
            ends.append(self.page.position)
        self.page.position = max(ends)

    def _put_image(self, left):
        self._put_pixels(occluded(self.row), "a", left)
        height, width = self.result.patch_size
        strides = " × ".join(map(str, np.broadcast_to(self.result.strides, 2)))
        self._put_line(f"occluder {height} × {width} pixels,", left)
        self._put_line(f"strides {strides} pixels", left)

    def _put_activity(self, left):
        if self.result.activity is not None:
            scale = activity_scale(self.result)
            self._put_heat_map(scale, self.result.activity, self.result.base_activity, "b", left)
            self._put_line(f"{self.result.layer}, feature {self.result.feature_index}", left)

    def _put_probability(self, left):
        scale = probability_scale(self.result)
        base = self.result.base_probability
        self._put_heat_map(scale, self.result.probability, base, "d", left)
        if has_classes(self.result):
            self._put_line(f"of {self.row.name(self.result.class_index)}", left)

    def _put_heat_map(self, scale, values, base, letter, left):
        self._put_pixels(scale.rgb(self.result.heat_map(values)), letter, left)
        label = f"{self.label} {letter} bar"
        scale.put_bar(self.page, label, left=left, width=self.column, mark=base)

    def _put_projections(self, left):
        """The projection of this image, framed; a quarter of the panel each if there are others."""
        begin, others = self.page.position, self.row.other_projections
        room = [
            ((side - TILE_GAP) / 2 if len(others) else side) - 2 * FRAME_WIDTH for side in self.size
        ]
        down, right = (side + 2 * FRAME_WIDTH + TILE_GAP for side in room)
        for number, projection in enumerate([self.result.projection, *others]):
            if projection is not None:
                self.page.position = begin + FRAME_WIDTH + number // 2 * down
                place = left + FRAME_WIDTH + number % 2 * right
                self._put_projection(projection, number, place, room)
        self.page.position = begin
        if self.result.projection is None and not len(others):
            for line in wrap(self.result.projection_reason, self.column, LABEL):
                self._put_line(line, left)
        self.page.position = max(self.page.position, begin + self.size[0])

    def _put_projection(self, projection, number, left, room):
        """As large as fits in `room`, (height, width) in inches; the first one with a frame."""
        rows, columns = np.shape(projection)[:2]
        inches = min(room[0] / rows, room[1] / columns)
        height, width = rows * inches, columns * inches
        label = f"{self.label} c {number}"
        if number == 0:
            self.page.move_down(-FRAME_WIDTH)
            self.page.put_picture(
                np.full((1, 1, 3), FRAME_COLOUR, "uint8"),
                f"{label} frame",
                left=left - FRAME_WIDTH,
                width=width + 2 * FRAME_WIDTH,
                height=height + 2 * FRAME_WIDTH,
            )
            self.page.move_down(FRAME_WIDTH)
        pixels = projection_pixels(projection, max(height, width) * DPI)
        self.page.put_picture(pixels, label, left=left, width=width, height=height)

    def _put_labels(self, left):
        if not has_classes(self.result):
            return
        self._put_pixels(label_pixels(self.result), "e", left)
        self._put_line(f"without: {self.row.name(self.result.base_label)}", left)

    def _put_legend(self, left):
        if not has_classes(self.result):
            return
        for label, (colour, count) in label_counts(self.result).items():
            name = OTHER if label is None else self.row.name(label)
            style = STRONG if label == self.result.class_index else LABEL
            share = f" {100 * count / np.size(self.result.label):.0f} %"
            self._put_key(colour, name, share, style, left)

    def _put_key(self, colour, name, share, style, left):
        """A coloured square followed by the name."""
        above = (style.line_height - KEY_SIZE) / 2
        self.page.move_down(above)
        self.page.put_picture(
            np.full((1, 1, 3), colour, "uint8"),
            f"{self.label} legend {name}",
            left=left,
            width=KEY_SIZE,
            height=KEY_SIZE,
        )
        self.page.move_down(-above)
        beside = 1.4 * KEY_SIZE
        room = LEGEND_WIDTH - beside - text_width(share, style)
        self.page.put_text(shortened(name, room, style) + share, style, left=left + beside)
        self.page.move_down(1.15 * style.line_height)

    def _put_pixels(self, pixels, letter, left):
        height, width = self.size
        label = f"{self.label} {letter}"
        self.page.put_picture(pixels, label, left=left, width=width, height=height)
        self.page.move_down(height)

    def _put_line(self, text, left):
        self.page.put_text(shortened(text, self.column, LABEL), LABEL, left=left)
        self.page.move_down(LABEL.line_height)


def occluded(row):
    """The image's pixels with the occluder where the correct class is least probable."""
    place = np.unravel_index(np.argmin(row.result.probability), row.result.probability.shape)
    top, left, bottom, right = row.result.boxes[place]
    pixels = np.array(row.pixels)
    pixels[top:bottom, left:right] = GREY
    return pixels


def projection_pixels(projection, dots):
    """A projection as RGB pixels, its longer side about `dots` long."""
    # Averaged before it is scaled: its signs alternate, so colours would fade to grey.
    return enlarge(signed_to_rgb(shrink(signed_picture(projection), dots)), dots)


def _check(rows, panel_size):
    if not rows:
        raise ValueError("Give one OcclusionRow or a list of them. Received: rows=[]")
    if panel_size <= 0:
        raise ValueError(f"Give panel_size above 0. Received: panel_size={panel_size}")
    for row in rows:
        check_row(row)


def _caption(rows, letters):
    results = [row.result for row in rows]
    values = " or ".join(dict.fromkeys(map(_value, results)))
    sentences = [CAPTIONS[letter].format(value=values) for letter in letters]
    shown = [result.projection for result in results if result.projection is not None]
    num_channels = {np.shape(projection)[-1] for projection in shown}
    if "c" in letters and not all(map(is_picture, num_channels)):
        sentences.append(f"Of {max(num_channels)} channels, (c) shows the sum.")
    sentences += filter(None, [interpretation(results)])
    if any(np.isnan(row.result.heat_map(row.result.probability)).any() for row in rows):
        sentences.append(NEVER_OCCLUDED_CAPTION)
    return " ".join(sentences)


def _value(result):
    """The values of (d), in words."""
    return f"{result.measure} of the correct class" if has_classes(result) else result.measure
