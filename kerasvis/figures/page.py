"""Pictures and lines of text on a page measured in inches from its top left corner.

A figure is first laid out as plain data, with a position that moves down the page, and drawn at the
end, when its height is known. All sizes are print sizes, so letters and pictures come out alike on
pages with much and with little on them.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from kerasvis.figures.figure import Figure

MARGIN = 0.04  # inches
DPI = 300  # at which the figure is saved unless told otherwise
POINTS = 72  # an inch
HINTING = 1.06  # letters moved onto the dots of a coarse raster take more room


class Style(NamedTuple):
    """How a line of text is set: size in points, weight and colour."""

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
        width: in inches, margins included.
    """

    def __init__(self, width):
        self.width = width
        self.position = MARGIN
        self.lines = []
        self.pictures = []

    def move_down(self, inches):
        self.position += inches

    def put_text(self, text, style, *, left=MARGIN, beside=None):
        """Sets a line at the present position, if wanted on the line of another style; stays."""
        baseline = self.position + (beside or style).size / POINTS
        self.lines.append(Line(left, baseline, text, style))

    def write(self, text, style):
        """Sets a paragraph over the whole width, and moves below it."""
        for line in wrap(text, self.width - 2 * MARGIN, style):
            self.put_text(line, style)
            self.move_down(style.line_height)

    def put_picture(self, pixels, label, *, left, width, height):
        """Puts a picture at the present position and stays there."""
        self.pictures.append(Picture(left, self.position, width, height, pixels, label))

    def figure(self):
        """The page, drawn: a matplotlib Figure with one axes in inches."""
        height = self.position + MARGIN
        figure = Figure((self.width, height), dpi=DPI, facecolor="white", layout="none")
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
        # A name of a layer with an underscore or a dollar sign is no formula.
        plain = {"parse_math": False, "usetex": False}
        for left, baseline, text, style in self.lines:
            axes.text(left, baseline, text, font=style.font, color=style.colour, **plain)
        return figure


def text_width(text, style):
    """Room in inches that a line of text needs at any resolution."""
    points = text_to_path.get_text_width_height_descent(text, style.font, False)[0]
    return HINTING * points / POINTS


def wrap(text, width, style):
    """Lines of at most `width` inches; a word that is longer has a line to itself."""
    lines = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, style) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
