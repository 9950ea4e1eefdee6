"""The panels of a fidelity report: one for each number, with all methods."""

import functools
from typing import NamedTuple

import numpy as np
from matplotlib.ticker import PercentFormatter

from kerasvis.figures.page import LABEL, text_width

MIN_BELOW = 0.32  # inches, for the names at an axis
MAX_NAMES = 30  # of layers at an axis
NAME = LABEL._replace(size=5)
RANDOM_COLOUR = "0.6"
ABSOLUTE, SIGNED = "rank, absolute", "rank, signed"
WHISKERS = {"elinewidth": 0.6, "ecolor": "0.25", "capsize": 0}
MARKED = {"linewidth": 1, "marker": "o", "markersize": 1.8, "elinewidth": 0.6}


class ChartPanel(NamedTuple):
    """A title, a function that draws on axes, and names of layers for upright labels."""

    title: str
    draw: object
    names: tuple = ()

    @property
    def below(self):
        """Space below the axes, in inches."""
        return max([MIN_BELOW, *(text_width(name, NAME) + 0.12 for name in self.names)])


def panels_of(report, colours):
    """The panels of all checks of the report, in order."""
    panels = []
    if (check := report.weight_randomization) is not None:
        for array, measure, heading in (
            ("cascading", ABSOLUTE, "random from the top, absolute"),
            ("cascading", SIGNED, "random from the top, signed"),
            ("independent", SIGNED, "one layer random, signed"),
        ):
            values = getattr(check, array)[..., check.measures.index(measure)]
            draw = functools.partial(_draw_layers, check=check, values=values, colours=colours)
            panels.append(ChartPanel(heading, draw, check.layers))
    if (check := report.selectivity) is not None:
        draw = functools.partial(_draw_selectivity, check=check, colours=colours)
        panels.append(ChartPanel("units and images, signed", draw))
    if (check := report.cosine_convergence) is not None and check.methods:
        draw = functools.partial(_draw_cosines, check=check, colours=colours)
        panels.append(ChartPanel("cosine of two random signals", draw, check.calls))
    if (check := report.patch_sufficiency) is not None:
        draw = functools.partial(_draw_patches, check=check, colours=colours)
        panels.append(ChartPanel("activation, occluded or alone", draw))
    if (check := report.insertion_deletion) is not None:
        for name in ("deletion", "insertion"):
            draw = functools.partial(_draw_curves, check=check, name=name, colours=colours)
            panels.append(ChartPanel(f"activation during {name}", draw))
    return panels


def _draw_layers(axes, check, values, colours):
    """Means over images with their standard errors, for each layer from the top."""
    places = np.arange(len(check.layers))
    for method, of_method in zip(check.methods, values, strict=True):
        means, errors = mean_and_error(of_method)
        axes.errorbar(places, means, errors, color=colours[method], **MARKED)
    _name_layers(axes, check.layers)
    axes.axhline(0, color="0.8", linewidth=0.6, zorder=0)
    axes.set_ylim(min(-0.1, axes.get_ylim()[0]), 1.05)


def _draw_cosines(axes, check, colours):
    places = np.arange(len(check.calls))
    for method, cosines in zip(check.methods, check.cosines, strict=True):
        flat = np.reshape(cosines, (len(places), -1))
        is_defined = ~np.isnan(flat).all(axis=1)
        lower, median, upper = np.nanpercentile(flat[is_defined], (25, 50, 75), axis=1)
        colour = colours[method]
        axes.fill_between(places[is_defined], lower, upper, color=colour, alpha=0.2, linewidth=0)
        axes.plot(places[is_defined], median, color=colour, linewidth=1)
    _name_layers(axes, check.calls)
    axes.set_ylim(min(-0.1, axes.get_ylim()[0]), 1.05)


def _draw_selectivity(axes, check, colours):
    number = check.measures.index(SIGNED)
    groups = {
        "other unit,\nsame image": "between_units",
        "same feature,\nother image": "between_images",
    }
    bars = {
        method: [mean_and_error(getattr(check, name)[row, :, number]) for name in groups.values()]
        for row, method in enumerate(check.methods)
    }
    _draw_groups(axes, list(groups), bars, colours)
    axes.set_ylim(min(-0.1, axes.get_ylim()[0]), 1.05)


def _draw_patches(axes, check, colours):
    groups = {"patch occluded": "occluded", "patch alone": "shown"}
    bars = {
        method: [mean_and_error(getattr(check, name)[row]) for name in groups.values()]
        for row, method in enumerate(check.methods)
    }
    random = [
        mean_and_error(_mean_of_defined(getattr(check, f"random_{name}")).mean(axis=0))
        for name in groups.values()
    ]
    _draw_groups(axes, list(groups), {**bars, "random": random}, colours)


def _draw_groups(axes, names, bars, colours):
    """Bars side by side for each method, in groups.

    Args:
        axes: where to draw.
        names: names of the groups.
        bars: `{method: [(height, error) for each group]}`.
        colours: `{method: colour}`.
    """
    width = 0.8 / len(bars)
    for place, (method, pairs) in enumerate(bars.items()):
        heights, errors = np.transpose(pairs)
        places = np.arange(len(names)) + (place - (len(bars) - 1) / 2) * width
        colour = colours.get(method, RANDOM_COLOUR)
        axes.bar(places, heights, width * 0.9, yerr=errors, color=colour, error_kw=WHISKERS)
    axes.set_xticks(np.arange(len(names)), names, fontsize=LABEL.size)
    axes.axhline(0, color="0.5", linewidth=0.6)


def _draw_curves(axes, check, name, colours):
    areas = np.mean(getattr(check, f"{name}_area"), axis=1)
    curves = getattr(check, name)
    for method, of_images, area in zip(check.methods, curves, areas, strict=True):
        is_random = method not in colours
        style = {"color": RANDOM_COLOUR, "linestyle": "--"} if is_random else {}
        style = {"color": colours.get(method), **style}
        label = f"{area:.2f} random" if is_random else f"{area:.2f}"
        axes.plot(check.shares, np.mean(of_images, axis=0), linewidth=1, label=label, **style)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlim(0, 1)
    axes.set_xlabel("pixels", fontsize=LABEL.size, labelpad=1)
    ground = {"facecolor": "white", "edgecolor": "none", "framealpha": 0.8}
    axes.legend(fontsize=LABEL.size, loc="best", handlelength=1.2, **ground)


def mean_and_error(values):
    """Mean and standard error over the last axis, ignoring NaN; no error for a single value."""
    values = np.asarray(values, "float64")
    count = (~np.isnan(values)).sum(axis=-1)
    mean = _mean_of_defined(values)
    squares = np.nansum(np.square(values - np.expand_dims(mean, -1)), axis=-1)
    return mean, np.sqrt(squares / np.maximum(count - 1, 1) / np.maximum(count, 1))


def _mean_of_defined(values):
    values = np.asarray(values, "float64")
    count = (~np.isnan(values)).sum(axis=-1)
    mean = np.nansum(values, axis=-1) / np.maximum(count, 1)
    return np.where(count > 0, mean, np.nan)


def _name_layers(axes, names):
    step = -(-len(names) // MAX_NAMES)
    places = np.arange(len(names) - 1, -1, -step)[::-1]  # the last one is always named
    shown = [names[place] for place in places]
    axes.set_xticks(places, shown, rotation=90, fontsize=NAME.size, parse_math=False)
    axes.set_xlim(-0.5, len(names) - 0.5)


def style(axes):
    """Thin lines and small letters, only on the left and below."""
    axes.tick_params(axis="y", labelsize=LABEL.size)
    axes.tick_params(length=2, width=0.6, pad=1.5)
    for label in axes.get_xticklabels():
        label.set_fontsize(min(label.get_fontsize(), LABEL.size))
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_linewidth(0.6)
