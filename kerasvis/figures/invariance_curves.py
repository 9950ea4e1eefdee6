"""Features and predictions under translation, scaling and rotation: Figure 5 of arXiv v3."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import color_sequences

from kerasvis.figures.figure import Figure
from kerasvis.figures.page import (
    CAPTION,
    LABEL,
    MARGIN,
    PLAIN,
    TITLE,
    blank_figure,
    text_width,
    wrap,
)
from kerasvis.storage.counted import counted

if TYPE_CHECKING:
    from kerasvis.analyses.invariance.feature_invariance import FeatureInvariance


# In inches; with two layers the width of a journal page, 7.2.
PANEL_WIDTH, PANEL_HEIGHT = 1.19, 1.2
EXAMPLES_WIDTH, VALUES_WIDTH = 2.05, 0.28
BETWEEN, BELOW, HEADING_HEIGHT, KEY_WIDTH = 0.4, 0.36, 0.26, 0.35
TILE_GAP, STROKE_HEIGHT = 0.03, 0.035
COLOURS = color_sequences["tab10"]
LINE_STYLES = ("-", "--", ":", "-.")

AXIS_LABELS = {
    "translation": "vertical translation (pixels)",
    "scale": "scale (factor)",
    "rotation": "rotation (degrees)",
}
UNTRANSFORMED = {"translation": 0, "scale": 1, "rotation": 0}

INVARIANCE_CAPTION = (
    "Left: transformed images with their values, marked in the colours of the curves. Positive "
    "translations are downwards, positive rotations counter-clockwise; beyond the photograph's "
    "border the nearest pixel is repeated. Distance: Euclidean, between the features of the "
    "transformed and the untransformed image, in units of the activations. {measure}: of the true "
    "class{taken}. Vertical line: untransformed image."
)
PROBABILITY = "probability"


def invariance_curves(
    invariance: "FeatureInvariance",
    names: Sequence[str] | None = None,
    *,
    title: str | None = None,
    caption: str | None = None,
) -> Figure:
    """Distances of features and probabilities over transformations, a curve for each image.

    Each transformation has one row, with panels of example images, of the distance at each layer,
    and of the probability of the true class.

    Args:
        invariance: a `FeatureInvariance`. Fields read: `layers`, names, and `curves`, each with
            `transformation`; `values` `(values,)`; `distances` `(layers, images, values)`;
            `probabilities` `(images, values)`; `example_values` `(examples,)`; and `examples` uint8
            `(first images, examples, height, width, channels)`; `measure`, what the probabilities
            are, and `activation`, how the model's output was interpreted.
        names: names of the images; their numbers by default.
        title: text above the figure.
        caption: text below the figure; by default a description, "" for none.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if there is nothing to draw, or shapes do not fit.

    Reference:
        Zeiler & Fergus 2013, Section 4, "Feature Invariance", and Figure 5 of arXiv v3.

    Example:
        >>> import kerasvis as kv
        >>> planted = kv.data.PlantedObjects(2, (80, 80))
        >>> pixels = planted[:].astype("uint8")
        >>> model = kv.convnets.ZFNet((64, 64, 3), classes=8, width=0.1, dense_units=32)
        >>> invariance = kv.analyses.feature_invariance(
        ...     model, None, pixels, planted.labels, transformations={"scale": [1, 1.5]}, verbose=0
        ... )
        >>> kv.figures.invariance_curves(invariance).savefig("invariance.png")
    """
    _check(invariance, names)
    names = _default_names(invariance) if names is None else list(names)
    num_panels = len(invariance.layers) + 1
    width = MARGIN + VALUES_WIDTH + EXAMPLES_WIDTH + num_panels * (BETWEEN + PANEL_WIDTH) + 0.06
    caption = _caption(invariance) if caption is None else caption
    caption = wrap(caption, width - 2 * MARGIN, CAPTION)
    caption_height = len(caption) * CAPTION.line_height + MARGIN
    num_columns = _legend_columns(names, width)
    legend_height = -(-len(names) // num_columns) * 1.5 * LABEL.line_height + 0.05
    title_height = 1.3 * TITLE.line_height if title else 0
    top = title_height + HEADING_HEIGHT
    row_height = PANEL_HEIGHT + BELOW
    height = top + len(invariance.curves) * row_height + legend_height + caption_height
    sheet = Sheet(blank_figure(width, height))
    for number, curves in enumerate(invariance.curves):
        _draw_row(sheet, curves, top + number * row_height, invariance.measure == PROBABILITY)
    _head_columns(sheet, invariance.layers, invariance.measure, title_height)
    _draw_legend(sheet, names, num_columns, caption_height)
    for number, line in enumerate(caption):
        baseline = height - caption_height + CAPTION.size / 72 + number * CAPTION.line_height
        sheet.write(MARGIN, baseline, line, CAPTION)
    if title:
        sheet.write(MARGIN, MARGIN + TITLE.size / 72, title, TITLE)
    return sheet.figure


class Sheet:
    """A figure measured in inches from its top left corner."""

    def __init__(self, figure):
        self.figure = figure
        self.width, self.height = figure.get_size_inches()

    def axes(self, left, top, width, height):
        box = (left, self.height - top - height, width, height)
        sides = (self.width, self.height, self.width, self.height)
        return self.figure.add_axes([x / side for x, side in zip(box, sides, strict=True)])

    def write(self, left, baseline, text, style, **options):
        position = (left / self.width, 1 - baseline / self.height)
        self.figure.text(*position, text, font=style.font, color=style.colour, **options, **PLAIN)


def image_styles(number):
    """Colour and line style of an image's curves; the style changes when colours repeat."""
    times, place = divmod(number, len(COLOURS))
    return {"color": COLOURS[place], "linestyle": LINE_STYLES[times % len(LINE_STYLES)]}


def _draw_row(sheet, curves, top, is_probability):
    _draw_examples(sheet, curves, top)
    panels = [*np.asarray(curves.distances), np.asarray(curves.probabilities)]
    for number, lines in enumerate(panels):
        axes = sheet.axes(_panel_left(number), top, PANEL_WIDTH, PANEL_HEIGHT)
        axes.axvline(UNTRANSFORMED[curves.transformation], color="0.8", linewidth=0.8, zorder=0)
        for image, values in enumerate(lines):
            axes.plot(curves.values, values, linewidth=1, **image_styles(image))
        is_full_range = is_probability and number == len(panels) - 1
        axes.set_ylim(0, 1.03 if is_full_range else max(1.05 * lines.max(), 1e-9))
        axes.ticklabel_format(axis="y", scilimits=(-3, 5))
        axes.yaxis.get_offset_text().set(fontsize=LABEL.size, x=-0.02)
        axes.set_xlabel(AXIS_LABELS[curves.transformation], fontsize=LABEL.size + 1, labelpad=1.5)
        axes.tick_params(labelsize=LABEL.size, length=2, width=0.6, pad=1.5)
        axes.grid(axis="y", color="0.9", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_linewidth(0.6)


def _panel_left(number):
    return MARGIN + VALUES_WIDTH + EXAMPLES_WIDTH + BETWEEN + number * (PANEL_WIDTH + BETWEEN)


def _draw_examples(sheet, curves, top):
    """A row for each value, a column for each image with a line in its colour above."""
    num_images, num_values, rows, columns = np.shape(curves.examples)[:4]
    room = EXAMPLES_WIDTH / max(num_images, 3) - TILE_GAP
    room_below = PANEL_HEIGHT / num_values - TILE_GAP
    inches = min(room / columns, room_below / rows)
    width, height = columns * inches, rows * inches
    for image in range(num_images):
        left = MARGIN + VALUES_WIDTH + image * (width + TILE_GAP)
        stroke = sheet.axes(left, top - STROKE_HEIGHT - 0.01, width, STROKE_HEIGHT)
        stroke.axhline(0.5, **image_styles(image), linewidth=1.5)
        stroke.set_axis_off()
        for place in range(num_values):
            position = top + 0.01 + place * (height + TILE_GAP)
            axes = sheet.axes(left, position, width, height)
            axes.imshow(
                curves.examples[image, place].squeeze(),
                cmap="gray",
                vmin=0,
                vmax=255,
                aspect="auto",
                interpolation="antialiased",
            )
            axes.set_axis_off()
    for place, value in enumerate(curves.example_values):
        middle = top + 0.01 + place * (height + TILE_GAP) + height / 2
        right = MARGIN + VALUES_WIDTH - 0.04
        sheet.write(
            right, middle, value_text(curves.transformation, value), LABEL, ha="right", va="center"
        )


def value_text(transformation, value):
    """The label of a value next to its examples."""
    unit = {"translation": "", "scale": "×", "rotation": "°"}[transformation]
    number = f"{value:.3g}".replace("-", "−")
    return f"{unit}{number}" if unit == "×" else f"{number}{unit}"


def _head_columns(sheet, layers, measure, title_height):
    style = LABEL._replace(size=LABEL.size + 1, weight="bold", colour="black")
    baseline = title_height + 0.12
    sheet.write(MARGIN + VALUES_WIDTH, baseline, "examples", style)
    headings = [*(f"distance, {layer}" for layer in layers), measure]
    for number, heading in enumerate(headings):
        sheet.write(_panel_left(number), baseline, heading, style)


def _legend_columns(names, width):
    longest = max(text_width(name, LABEL) for name in names)
    return min(len(names), max(1, int((width - 2 * MARGIN) / (longest + KEY_WIDTH))))


def _draw_legend(sheet, names, num_columns, caption_height):
    """The names, row by row."""
    style, line_height = LABEL, 1.5 * LABEL.line_height
    num_rows = -(-len(names) // num_columns)
    column_width = max(text_width(name, style) for name in names) + KEY_WIDTH
    top = sheet.height - caption_height - num_rows * line_height - 0.02
    for number, name in enumerate(names):
        row, column = divmod(number, num_columns)
        left, middle = MARGIN + column * column_width, top + (row + 0.5) * line_height
        key = sheet.axes(left, middle - 0.02, 0.18, 0.04)
        key.axhline(0.5, **image_styles(number), linewidth=1.5)
        key.set_axis_off()
        sheet.write(left + 0.22, middle, name, style, va="center_baseline")


def _caption(invariance):
    taken = f", taken as {invariance.activation}" if invariance.activation else ""
    return INVARIANCE_CAPTION.format(measure=invariance.measure.capitalize(), taken=taken)


def _default_names(invariance):
    return [f"image {number}" for number in range(len(invariance.curves[0].probabilities))]


def _check(invariance, names):
    if not invariance.curves or not invariance.layers:
        raise ValueError(
            "Give at least one transformation and one layer. Received: "
            f"{counted(len(invariance.curves), 'transformation')}, "
            f"{counted(len(invariance.layers), 'layer')}"
        )
    num_images = len(invariance.curves[0].probabilities)
    for curves in invariance.curves:
        expected = (len(invariance.layers), num_images, len(curves.values))
        shapes = np.shape(curves.distances), np.shape(curves.probabilities)
        if shapes != (expected, expected[1:]) or 0 in expected:
            raise ValueError(
                f"Give distances of shape {expected} and probabilities of shape {expected[1:]} for "
                f"{curves.transformation}, none of them 0. Received: shapes {shapes[0]} and "
                f"{shapes[1]}"
            )
        if len(np.shape(curves.examples)) != 5:
            raise ValueError(
                f"Give examples of shape (images, values, height, width, channels) for "
                f"{curves.transformation}. Received: shape {np.shape(curves.examples)}"
            )
    if names is not None and len(names) != num_images:
        raise ValueError(
            f"Give a name for each of the {counted(num_images, 'image')}. "
            f"Received: {counted(len(names), 'name')}"
        )
