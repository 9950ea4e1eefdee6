"""Occluded parts compared with random boxes, as bars: Table 1 of the paper."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

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
    write_around,
)

if TYPE_CHECKING:
    from kerasvis.analyses.correspondence import Correspondence


# In inches; with two layers the width of one and a half journal columns.
PANEL_WIDTH, ROW_HEIGHT, BAR_HEIGHT = 2.0, 0.34, 0.13
HEADING_HEIGHT, BELOW, BETWEEN = 0.24, 0.38, 0.18
NUMBERS_SHARE = 0.38  # of a panel, right of the longest bar
PART_COLOUR, RANDOM_COLOUR = "tab:blue", "0.72"
NAME, NUMBER = LABEL._replace(size=7.5, colour="black"), LABEL._replace(size=6.5)

# attributes of the part and of random boxes, label of the axis
MEASURES = (
    ("delta", "random_delta", "Δ, share of units"),
    ("opposition", "random_opposition", "opposite changes, share of units"),
)

CORRESPONDENCE_CAPTION = (
    "Changes of features when a part is occluded in {images} images; means over all pairs of "
    "images. Δ: share of a layer's units whose change differs in sign (−, 0, +) between two "
    "images. Opposite changes: share of units that increase in one image and decrease in the "
    "other, among those that change in both; dashed line: chance. Blue: the part. Grey: boxes of "
    "the same sizes at random positions, {draws}. Blue shorter than grey: the model relates the "
    "parts; Δ shows it only if they lie at about the same position in all images."
)


def correspondence_bars(
    correspondence: "Correspondence", *, title: str | None = None, caption: str | None = None
) -> Figure:
    """Δ and the opposite changes of every part, compared with random boxes of its sizes.

    One column of panels for each layer.

    Args:
        correspondence: a `Correspondence`. Fields read: `layers` and `parts`, names; `delta` and
            `opposition` `(layers, parts)`, `random_delta` and `random_opposition` `(layers, parts,
            draws)`, in [0, 1], NaN where undefined; `boxes` `(parts, images, 4)`.
        title: text above the figure.
        caption: text below the figure; by default a description, "" for none.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if there is nothing to draw, or shapes do not fit.

    Reference:
        Zeiler & Fergus 2013, Section 4.3 and Table 1.

    Example:
        >>> import numpy as np
        >>> import kerasvis as kv
        >>> model = kv.convnets.ZFNet((64, 64, 3), classes=10, width=0.1, dense_units=32)
        >>> images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3))
        >>> noses = [[20, 30, 30, 40], [22, 28, 32, 38], [25, 33, 35, 43]]
        >>> found = kv.analyses.measure_correspondence(
        ...     model, ["conv5"], images, {"nose": noses}, verbose=0
        ... )
        >>> kv.figures.correspondence_bars(found).savefig("bars.png")
    """
    _check(correspondence)
    names_width = MARGIN + max(text_width(name, NAME) for name in correspondence.parts) + 0.08
    num_layers, num_parts = np.shape(correspondence.delta)
    width = names_width + num_layers * (PANEL_WIDTH + BETWEEN)
    text = _caption(correspondence) if caption is None else caption
    lines = wrap(text, width - 2 * MARGIN, CAPTION)
    text_height = len(lines) * CAPTION.line_height + MARGIN
    title_height = 1.3 * TITLE.line_height if title else 0
    panel_height = num_parts * ROW_HEIGHT
    measures_height = len(MEASURES) * (panel_height + BELOW)
    height = text_height + measures_height + HEADING_HEIGHT + title_height
    figure = blank_figure(width, height)
    for layer, row in np.ndindex(num_layers, len(MEASURES)):
        left = names_width + layer * (PANEL_WIDTH + BETWEEN)
        bottom = text_height + measures_height - row * (panel_height + BELOW) - panel_height
        box = (left / width, bottom / height, PANEL_WIDTH / width, panel_height / height)
        axes = figure.add_axes(box)
        part, random, label = MEASURES[row]
        values = np.asarray(getattr(correspondence, part))
        draws = mean_and_deviation(getattr(correspondence, random))
        _draw_bars(axes, values[layer], *(numbers[layer] for numbers in draws))
        _style(axes, correspondence.parts if layer == 0 else [""] * num_parts, label)
        axes.set_xlim(0, _longest(values, *draws) / (1 - NUMBERS_SHARE))
        if row == 0:
            axes.set_title(correspondence.layers[layer], **_heading())
        else:
            axes.axvline(0.5, color="0.6", linewidth=0.8, linestyle="--", zorder=0)
    write_around(figure, lines, text_height, title)
    return figure


def mean_and_deviation(deltas):
    """Mean and sample standard deviation over the last axis, ignoring NaN.

    The deviation of a single value is 0. Where all values are NaN, both are NaN.
    """
    deltas = np.asarray(deltas, "float64")
    number = np.isfinite(deltas).sum(axis=-1)
    means = np.nansum(deltas, axis=-1) / np.where(number, number, np.nan)
    squares = np.nansum((deltas - means[..., None]) ** 2, axis=-1)
    return means, np.sqrt(squares / np.maximum(number - 1, 1)) + 0 * means


def _draw_bars(axes, values, means, deviations):
    """Two bars for each part, each followed by its number."""
    rows, height = np.arange(len(values)), BAR_HEIGHT / ROW_HEIGHT
    axes.barh(rows - height / 2, values, height, color=PART_COLOUR)
    whiskers = {"elinewidth": 0.8, "capsize": 1.5, "ecolor": "0.3"}
    axes.barh(
        rows + height / 2, means, height, xerr=deviations, color=RANDOM_COLOUR, error_kw=whiskers
    )
    for row, value, mean, deviation in zip(rows, values, means, deviations, strict=True):
        _write_after(axes, value, row - height / 2, f"{value:.3f}", "bold")
        text = f"{mean:.3f} ± {deviation:.3f}"
        _write_after(axes, mean + deviation, row + height / 2, text, "normal")


def _write_after(axes, place, row, text, weight):
    place, text = (0, "none") if np.isnan(place) else (place, text)
    font = NUMBER._replace(weight=weight).font
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
    offset = {"xytext": (3, 0), "textcoords": "offset points", "va": "center_baseline"}
    axes.annotate(text, (place, row), font=font, bbox=box, **offset)


def _longest(values, means, deviations):
    """The length of the longest bar, including its whisker."""
    lengths = np.append(values, means + deviations)
    return max([1e-6, *lengths[~np.isnan(lengths)]])


def _heading():
    return {"loc": "left", "fontsize": NAME.size, "fontweight": "bold", "pad": 4, **PLAIN}


def _style(axes, names, label):
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(np.arange(len(names)), names, fontsize=NAME.size, parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel(label, fontsize=LABEL.size + 1, labelpad=1.5)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=LABEL.size, length=2, width=0.6, pad=1.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_linewidth(0.6)


def _check(correspondence):
    expected = (len(correspondence.layers), len(correspondence.parts))
    for part, random, _ in MEASURES:
        of_parts = np.shape(getattr(correspondence, part))
        of_random = np.shape(getattr(correspondence, random))
        is_fitting = of_parts == expected == of_random[:2] and len(of_random) == 3
        if not is_fitting or 0 in of_random:
            raise ValueError(
                f"Give {part} of shape {expected} and {random} of shape ({expected[0]}, "
                f"{expected[1]}, draws), none of them 0. Received: shapes {of_parts} and "
                f"{of_random}"
            )


def _caption(correspondence):
    num_draws = np.shape(correspondence.random_delta)[-1]
    draws = "one sample"
    if num_draws > 1:
        draws = f"mean ± standard deviation of {num_draws} samples"
    return CORRESPONDENCE_CAPTION.format(images=np.shape(correspondence.boxes)[1], draws=draws)
