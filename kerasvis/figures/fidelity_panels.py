"""How far maps of single units can be trusted, as maps and panels of numbers."""

import itertools
from typing import TYPE_CHECKING

from matplotlib import color_sequences

from kerasvis.figures.fidelity_maps import draw_maps, map_strip_height, put_text
from kerasvis.figures.fidelity_numbers import panels_of, style
from kerasvis.figures.figure import Figure
from kerasvis.figures.page import (
    CAPTION,
    HEADING,
    MARGIN,
    POINTS,
    TITLE,
    blank_figure,
    text_width,
    wrap,
)
from kerasvis.storage.counted import counted

if TYPE_CHECKING:
    from kerasvis.analyses.fidelity.fidelity_result import FidelityReport


# In inches; the width of a journal page.
WIDTH, NUM_COLUMNS = 7.2, 3
PANEL_HEIGHT, ABOVE = 1.35, 0.22
LEFT, BETWEEN = 0.38, 0.46
COLOURS = color_sequences["tab10"]

CAPTIONS = {
    "weight_randomization": (
        "Maps: absolute values for the first image, summed over channels, each scaled by its 99th "
        "percentile; white is zero. Random weights: rank correlation of the map with that of a "
        "copy of the model whose weights are random in a layer and all above it, or in this layer "
        "only; for absolute or signed values, in the unit's receptive field. A map that depends on "
        "the learned weights changes."
    ),
    "selectivity": (
        "Units and images: the same correlation between different units at one position, and "
        "between images for one feature."
    ),
    "cosine_convergence": (
        "Cosine: between two random signals as they are projected, median and middle half; at 1 "
        "the projection no longer depends on the starting signal."
    ),
    "patch_sufficiency": (
        "Patch: share of the activation that remains when the {height}×{width} pixels with the "
        "largest energy are occluded, or shown alone; grey: other boxes of this size in the "
        "receptive field."
    ),
    "insertion_deletion": (
        "Pixels: activation while pixels are deleted or inserted, the strongest of the map first; "
        "the legend gives the area below the curve."
    ),
}
MEANS = "Means over {images}; thin bars: standard errors."


def fidelity_panels(
    report: "FidelityReport", *, title: str | None = None, caption: str | None = None
) -> Figure:
    """Maps of one image under random weights, and a panel for each number of the report.

    Args:
        report: a `FidelityReport`. Fields read: `methods`, `activations` `(images,)` and the checks
            that are not None: `weight_randomization`, `selectivity`, `cosine_convergence`,
            `patch_sufficiency` and `insertion_deletion`, arrays as described in their classes.
        title: text above the figure.
        caption: text below the figure; by default a description, "" for none.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if the report contains no check.

    Reference:
        Adebayo et al. 2018, Mahendran & Vedaldi 2016, Sixt et al. 2020, Petsiuk et al. 2018.

    Example:
        >>> import keras
        >>> from keras import layers
        >>> import kerasvis as kv
        >>> model = keras.Sequential(
        ...     [keras.Input((32, 32, 3)), layers.Conv2D(4, 5, 4, activation="relu", name="a")]
        ... )
        >>> images = kv.data.PlantedObjects(2, (32, 32))[:]
        >>> report = kv.fidelity_report(model, "a", images, checks=["selectivity"], verbose=0)
        >>> kv.figures.fidelity_panels(report).savefig("fidelity.png")
    """
    colours = dict(zip(report.methods, itertools.cycle(COLOURS), strict=False))
    panels = panels_of(report, colours)
    if not panels:
        raise ValueError(
            "Give a report with at least one check. Received: a FidelityReport without any"
        )
    lines = wrap(_caption(report) if caption is None else caption, WIDTH - 2 * MARGIN, CAPTION)
    text_height = len(lines) * CAPTION.line_height + 2 * MARGIN
    rows = [panels[i : i + NUM_COLUMNS] for i in range(0, len(panels), NUM_COLUMNS)]
    row_heights = [ABOVE + PANEL_HEIGHT + max(panel.below for panel in row) for row in rows]
    strip_height = map_strip_height(report.weight_randomization, WIDTH)
    title_height = 1.4 * TITLE.line_height if title else 0
    key_height = 1.6 * HEADING.line_height
    height = text_height + sum(row_heights) + key_height + strip_height + title_height
    figure = blank_figure(WIDTH, height)
    top = height - title_height
    if title:
        put_text(figure, MARGIN, height - MARGIN - TITLE.size / POINTS, title, TITLE)
    draw_maps(figure, report.weight_randomization, top)
    top -= strip_height
    _draw_key(figure, colours, top)
    top -= key_height
    width = (WIDTH - LEFT - MARGIN * 2 - (NUM_COLUMNS - 1) * BETWEEN) / NUM_COLUMNS
    for row, row_height in zip(rows, row_heights, strict=True):
        bottom = top - ABOVE - PANEL_HEIGHT
        for column, panel in enumerate(row):
            left = LEFT + column * (width + BETWEEN)
            box = (left / WIDTH, bottom / height, width / WIDTH, PANEL_HEIGHT / height)
            axes = figure.add_axes(box)
            panel.draw(axes)
            axes.set_title(panel.title, loc="left", fontsize=HEADING.size, fontweight="bold", pad=4)
            style(axes)
        top -= row_height
    for number, line in enumerate(lines):
        baseline = text_height - MARGIN - number * CAPTION.line_height - CAPTION.size / POINTS
        put_text(figure, MARGIN, baseline, line, CAPTION)
    return figure


def _draw_key(figure, colours, top):
    """The methods' names in their colours, in a line."""
    left, baseline = MARGIN, top - 1.1 * HEADING.line_height
    for name, colour in colours.items():
        put_text(figure, left, baseline, f"— {name}", HEADING._replace(colour=colour))
        left += text_width(f"— {name}", HEADING) + 0.2


def _caption(report):
    parts = [CAPTIONS[name] for name in CAPTIONS if getattr(report, name) is not None]
    text = " ".join([*parts, MEANS.format(images=counted(len(report.activations), "image"))])
    if (check := report.patch_sufficiency) is not None:
        height, width = check.patch_size
        text = text.replace("{height}×{width}", f"{height}×{width}")
    return text
