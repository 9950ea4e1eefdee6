"""Numbers as colours, and the colour bar that explains them."""

import dataclasses

import numpy as np
from matplotlib import colormaps

from kerasvis.figures.page import LABEL, text_width

COLOURS = colormaps["viridis"]
MISSING = 232  # light grey, where there is no number
BAR_HEIGHT, BAR_GAP, MARK_WIDTH, MARK_RISE = 0.06, 0.03, 0.014, 0.02  # inches


@dataclasses.dataclass(frozen=True)
class ColourScale:
    """Colours from `low` (dark) to `high` (light).

    Attributes:
        low: number of the darkest colour.
        high: number of the lightest colour.
        unit: what the numbers are.
    """

    low: float
    high: float
    unit: str

    @classmethod
    def of(cls, values, unit):
        """The scale over the range of finite `values`; one unit wide if they are all equal."""
        low, high = float(np.min(values)), float(np.max(values))
        return cls(low, high if high > low else low + 1, unit)

    def shares(self, values):
        """Numbers scaled so that `low` is 0 and `high` is 1, clipped to [0, 1]."""
        return np.clip((np.asarray(values, "float64") - self.low) / (self.high - self.low), 0, 1)

    def rgb(self, values):
        """Numbers `(height, width)` as uint8 `(height, width, 3)`; light grey where NaN."""
        colours = COLOURS(self.shares(values), bytes=True)[..., :3]
        return np.where(np.isnan(values)[..., None], np.uint8(MISSING), colours)

    def put_bar(self, page, label, *, left, width, mark=None):
        """Puts the bar with its ends and its unit at the current position, and moves below it.

        Args:
            page: a `Page`.
            label: label of the bar's picture.
            left: left edge in inches.
            width: width in inches.
            mark: a number to mark with a stroke.
        """
        page.move_down(BAR_GAP)
        colours = COLOURS(np.linspace(0, 1, 256), bytes=True)[None, :, :3]
        page.put_picture(colours, label, left=left, width=width, height=BAR_HEIGHT)
        if mark is not None:
            self._put_mark(page, f"{label} mark", left + width * float(self.shares(mark)))
        page.move_down(BAR_HEIGHT + MARK_RISE)
        low, high = three_digits(self.low), three_digits(self.high)
        page.put_text(low, LABEL, left=left)
        page.put_text(high, LABEL, left=left + width - text_width(high, LABEL))
        page.put_text(self.unit, LABEL, left=left + (width - text_width(self.unit, LABEL)) / 2)
        page.move_down(LABEL.line_height)

    def _put_mark(self, page, label, middle):
        page.move_down(-MARK_RISE)
        page.put_picture(
            np.zeros((1, 1, 3), "uint8"),
            label,
            left=middle - MARK_WIDTH / 2,
            width=MARK_WIDTH,
            height=BAR_HEIGHT + 2 * MARK_RISE,
        )
        page.move_down(MARK_RISE)


def three_digits(number):
    """A number with three significant digits, without an exponent if possible: 4910, 0.0032."""
    exponent = int(np.floor(np.log10(abs(number)))) if number else 0
    return f"{number:.3g}" if not 3 <= exponent <= 5 else f"{round(number, 2 - exponent):.0f}"
