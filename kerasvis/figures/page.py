"""Pictures and lines of text on a page measured in inches from its top left corner.

A figure is first laid out as plain data, with a position that moves down the page, and drawn when
its height is known. All sizes are print sizes, so letters and pictures have the same size on full
and on empty pages.
"""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from kerasvis.figures.figure import Figure

MARGIN = 0.04  # inches
DPI = 300  # at which the figure is saved unless told otherwise
POINTS = 72  # per inch
# Names may contain underscores or dollar signs, which do not make them formulas.
PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}
HINTING = 1.06  # letters aligned to the pixels of a coarse raster need more space


class Style(NamedTuple):
    """The style of a line of text: size in points, weight and colour."""

    size: float
    weight: str = "normal"
    colour: str = "black"

    @property
    def font(self):
        return FontProperties(family="sans-serif", size=self.size, weight=self.weight)

    @property
    def line_height(self):
        """In inches."""
        return 1.3 * self.size / POINTS


TITLE = Style(9, "bold")
HEADING = Style(7.5, "bold")
BESIDE_HEADING = Style(6.5, colour="0.35")
LABEL = Style(6, colour="0.25")
CAPTION = Style(6, colour="0.25")


class Line(NamedTuple):
    """One line of text; `left` and `baseline` in inches."""

    left: float
    baseline: float
    text: str
    style: Style


class Picture(NamedTuple):
    """uint8 `pixels` `(height, width, 3)` in a rectangle in inches; `label` says what it shows."""

    left: float
    top: float
    width: float
    height: float
    pixels: np.ndarray
    label: str


class Page:
    """A page that is filled from top to bottom.

    Args:
        width: width in inches, including the margins.
    """

    def __init__(self, width):
        self.width = width
        self.position = MARGIN
        self.lines = []
        self.pictures = []

    def move_down(self, inches):
        self.position += inches

    def put_text(self, text, style, *, left=MARGIN, beside=None):
        """Writes a line at the current position, or on the baseline of the style `beside`."""
        baseline = self.position + (beside or style).size / POINTS
        self.lines.append(Line(left, baseline, text, style))

    def write(self, text, style):
        """Writes a paragraph over the whole width, and moves below it."""
        for line in wrap(text, self.width - 2 * MARGIN, style):
            self.put_text(line, style)
            self.move_down(style.line_height)

    def put_picture(self, pixels, label, *, left, width, height):
        """Puts a picture at the current position, without moving."""
        self.pictures.append(Picture(left, self.position, width, height, pixels, label))

    def figure(self):
        """Draws the page: a matplotlib Figure with one Axes in inches."""
        height = self.position + MARGIN
        figure = blank_figure(self.width, height)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        for picture in self.pictures:
            right, bottom = picture.left + picture.width, picture.top + picture.height
            axes.imshow(
                picture.pixels,
                extent=(picture.left, right, bottom, picture.top),
                origin="upper",
                aspect="auto",
                interpolation="antialiased",
                label=picture.label,
            )
        axes.set(xlim=(0, self.width), ylim=(height, 0))  # imshow has moved them
        for left, baseline, text, style in self.lines:
            axes.text(left, baseline, text, font=style.font, color=style.colour, **PLAIN)
        return figure


def blank_figure(width, height):
    """A white Figure; no setting of matplotlib changes its size, in inches, or its layout."""
    figure = Figure((width, height), dpi=DPI, facecolor="white")
    figure.set_layout_engine("none")
    return figure


def write_around(figure, caption, caption_height, title="", margin=MARGIN):
    """Writes a caption below the panels of a figure, and a title above them.

    Args:
        figure: the Figure.
        caption: lines of the caption.
        caption_height: where the caption begins, in inches from the bottom.
        title: one line, or "".
        margin: space on the left and above the title, in inches.
    """
    width, height = figure.get_size_inches()
    for number, line in enumerate(caption):
        baseline = caption_height - number * CAPTION.line_height - CAPTION.size / POINTS
        position = (margin / width, baseline / height)
        figure.text(*position, line, font=CAPTION.font, color=CAPTION.colour, **PLAIN)
    if title:
        baseline = height - margin - TITLE.size / POINTS
        figure.text(margin / width, baseline / height, title, font=TITLE.font, **PLAIN)


def text_width(text, style):
    """The width in inches of a line of text, sufficient at any resolution."""
    points = text_to_path.get_text_width_height_descent(text, style.font, False)[0]
    return HINTING * points / POINTS


def wrap(text, width, style):
    """Lines of at most `width` inches; a longer word has its own line."""
    lines = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, style) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
