"""Maps of one image, with trained and with random weights: a row for each method."""

import numpy as np

from kerasvis.figures.contrast import PERCENTILE
from kerasvis.figures.page import LABEL, MARGIN, POINTS, text_width

MAX_MAP, MAP_GAP = 1.0, 0.04  # inches
HEADING_HEIGHT = 2.4 * LABEL.line_height


def map_strip_height(check, width):
    """Height in inches of the maps with their headings, on a page of `width`; 0 without maps."""
    if check is None:
        return 0
    _, height = map_size(check, width)
    return HEADING_HEIGHT + len(check.methods) * (height + MAP_GAP) + 2 * MAP_GAP


def map_size(check, page_width):
    """`(width, height)` of a map in inches."""
    num_maps, rows, columns = np.shape(check.examples)[1:]
    width = (page_width - method_names_width(check) - MARGIN) / num_maps - MAP_GAP
    width = min(width, MAX_MAP)
    return width, min(width * rows / columns, 1.5 * MAX_MAP)


def method_names_width(check):
    """Space in inches to the left of the maps."""
    return max(text_width(name, LABEL) for name in check.methods) + 3 * MARGIN


def draw_maps(figure, check, top):
    """Draws a row of maps for each method: trained, and random down to some layers.

    Args:
        figure: where to draw.
        check: a `WeightRandomization`; None draws nothing.
        top: upper edge in inches from the bottom of the figure.
    """
    if check is None:
        return
    page_width, page_height = figure.get_size_inches()
    width, height = map_size(check, page_width)
    names_width = method_names_width(check)
    headings = [("trained", ""), *(("random down to", name) for name in check.example_layers)]
    for column, heading in enumerate(headings):
        left = names_width + column * (width + MAP_GAP)
        for line, text in enumerate(heading):
            baseline = top - MARGIN - LABEL.size / POINTS - line * LABEL.line_height
            put_text(figure, left, baseline, text, LABEL)
    top -= HEADING_HEIGHT
    for row, (name, maps) in enumerate(zip(check.methods, check.examples, strict=True)):
        bottom = top - (row + 1) * (height + MAP_GAP)
        put_text(figure, MARGIN, bottom + height / 2 - LABEL.size / POINTS / 2, name, LABEL)
        for column, strengths in enumerate(maps):
            left = names_width + column * (width + MAP_GAP)
            corner = (left / page_width, bottom / page_height)
            axes = figure.add_axes((*corner, width / page_width, height / page_height))
            axes.imshow(as_ink(strengths), aspect="auto", interpolation="antialiased")
            axes.set_axis_off()


def as_ink(strengths):
    """Strengths `(rows, columns)` as uint8 RGB: white for 0, black from a high percentile up."""
    present = strengths[strengths > 0]
    full = np.percentile(present, PERCENTILE) if present.size else 1.0
    greys = np.rint(255 * (1 - np.minimum(strengths / full, 1))).astype("uint8")
    return np.repeat(greys[..., None], 3, axis=-1)


def put_text(figure, left, baseline, text, style):
    """Writes a line of text at a position in inches from the lower left corner of a figure."""
    width, height = figure.get_size_inches()
    # Underscores and dollar signs in a name do not make it a formula.
    plain = {"parse_math": False, "usetex": False}
    figure.text(left / width, baseline / height, text, font=style.font, color=style.colour, **plain)
