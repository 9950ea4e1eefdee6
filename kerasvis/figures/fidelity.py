"""How far maps of single units can be trusted, as maps and panels of numbers."""

import functools
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from kerasvis.figures.contrast import PERCENTILE
from kerasvis.figures.page import CAPTION, DPI, HEADING, LABEL, MARGIN, TITLE, text_width, wrap

# In inches; as wide as the page of a journal.
WIDTH, NUM_COLUMNS = 7.2, 3
PANEL_HEIGHT, ABOVE, BELOW = 1.35, 0.22, 0.32
LEFT, BETWEEN = 0.38, 0.46
MAX_MAP, MAP_GAP = 1.0, 0.04
MAX_NAMES = 30  # of layers at an axis
NAME = LABEL._replace(size=5)
COLOURS = colormaps["tab10"].colors
RANDOM_COLOUR = "0.6"
PLAIN = {"parse_math": False, "usetex": False}
ABSOLUTE, SIGNED = "rank, absolute", "rank, signed"

CAPTIONS = {
    "weight_randomization": (
        "Maps: of the first image, absolute values summed over channels, each scaled by its 99th "
        "percentile; white is zero. Random weights: rank correlation of the map with that of a "
        "copy of the net whose weights are random in a layer and all above it, or in this layer "
        "only; of absolute or of signed values, where the unit sees the image. A map that tells "
        "what was learned changes."
    ),
    "selectivity": (
        "Units and images: the same correlation between different units at one place, and between "
        "images for one feature."
    ),
    "cosine_convergence": (
        "Cosine: of two random signals on their way down, median and middle half; at 1 the picture "
        "no longer depends on what was sent."
    ),
    "patch_sufficiency": (
        "Patch: what remains of the activation when the {height}×{width} pixels with the largest "
        "energy are covered, or shown alone; grey: other boxes of this size that the unit sees."
    ),
    "insertion_deletion": (
        "Pixels: activation while they are deleted or inserted, the strongest of the map first; "
        "the area below the curve is in the key."
    ),
}
MEANS = "Means over {images} images; thin strokes: standard errors."


class Panel(NamedTuple):
    """A title, what draws it on axes, and names of layers that stand upright below it."""

    title: str
    draw: object
    names: tuple = ()

    @property
    def below(self):
        """Room below the axes, in inches."""
        return max([BELOW, *(text_width(name, NAME) + 0.12 for name in self.names)])


def fidelity_panels(report, *, title=None, caption=None):
    """Maps of one image under random weights, and a panel for each number that was measured.

    Args:
        report: a `FidelityReport`. Read are `methods`, `activations` `(images,)` and the checks
            that are there: `weight_randomization`, `selectivity`, `cosine_convergence`,
            `patch_sufficiency` and `insertion_deletion`, arrays as described in their classes.
        title: text above everything.
        caption: text below everything; by default what is seen, "" for none.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if the report holds no check.

    Reference:
        Adebayo et al. 2018, Mahendran & Vedaldi 2016, Sixt et al. 2020, Petsiuk et al. 2018.

    Example:
        fidelity_panels(fidelity_report(model, images, "conv5")).savefig("fidelity.png")
    """
    colours = dict(zip(report.methods, _cycled(COLOURS), strict=False))
    panels = panels_of(report, colours)
    if not panels:
        raise ValueError("fidelity_panels got a report without any check, expected at least one.")
    lines = wrap(_caption(report) if caption is None else caption, WIDTH - 2 * MARGIN, CAPTION)
    text_height = len(lines) * CAPTION.line_height + 2 * MARGIN
    rows = [panels[i : i + NUM_COLUMNS] for i in range(0, len(panels), NUM_COLUMNS)]
    row_heights = [ABOVE + PANEL_HEIGHT + max(panel.below for panel in row) for row in rows]
    strip_height = map_strip_height(report.weight_randomization)
    title_height = 1.4 * TITLE.line_height if title else 0
    key_height = 1.6 * HEADING.line_height
    height = text_height + sum(row_heights) + key_height + strip_height + title_height
    figure = Figure((WIDTH, height), dpi=DPI, facecolor="white", layout="none")
    top = height - title_height
    if title:
        baseline = height - MARGIN - TITLE.size / 72
        figure.text(MARGIN / WIDTH, baseline / height, title, font=TITLE.font, **PLAIN)
    _draw_maps(figure, report, top)
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
            _style(axes)
        top -= row_height
    for number, line in enumerate(lines):
        baseline = text_height - MARGIN - number * CAPTION.line_height - CAPTION.size / 72
        position = (MARGIN / WIDTH, baseline / height)
        figure.text(*position, line, font=CAPTION.font, color=CAPTION.colour, **PLAIN)
    return figure


def panels_of(report, colours):
    """The panels of all checks that are there, in order."""
    panels = []
    if (check := report.weight_randomization) is not None:
        for array, measure, heading in (
            ("cascading", ABSOLUTE, "random from the top, absolute"),
            ("cascading", SIGNED, "random from the top, signed"),
            ("independent", SIGNED, "one layer random, signed"),
        ):
            values = getattr(check, array)[..., check.measures.index(measure)]
            draw = functools.partial(_draw_layers, check=check, values=values, colours=colours)
            panels.append(Panel(heading, draw, check.layers))
    if (check := report.selectivity) is not None:
        draw = functools.partial(_draw_selectivity, check=check, colours=colours)
        panels.append(Panel("units and images, signed", draw))
    if (check := report.cosine_convergence) is not None and check.methods:
        draw = functools.partial(_draw_cosines, check=check, colours=colours)
        panels.append(Panel("cosine of two random signals", draw, check.calls))
    if (check := report.patch_sufficiency) is not None:
        draw = functools.partial(_draw_patches, check=check, colours=colours)
        panels.append(Panel("activation, covered or alone", draw))
    if (check := report.insertion_deletion) is not None:
        for name in ("deletion", "insertion"):
            draw = functools.partial(_draw_curves, check=check, name=name, colours=colours)
            panels.append(Panel(f"activation during {name}", draw))
    return panels


def map_strip_height(check):
    """Height in inches of the maps with their headings; 0 without them."""
    if check is None:
        return 0
    _, height = map_size(check)
    return 2.4 * LABEL.line_height + len(check.methods) * (height + MAP_GAP) + 2 * MAP_GAP


def map_size(check):
    """`(width, height)` of a map in inches."""
    num_maps, rows, columns = np.shape(check.examples)[1:]
    width = (WIDTH - method_names_width(check) - MARGIN) / num_maps - MAP_GAP
    width = min(width, MAX_MAP)
    return width, min(width * rows / columns, 1.5 * MAX_MAP)


def method_names_width(check):
    """Room in inches left of the maps."""
    return max(text_width(name, LABEL) for name in check.methods) + 3 * MARGIN


def _draw_maps(figure, report, top):
    """A row of maps for each method: trained, and random down to some layers."""
    check = report.weight_randomization
    if check is None:
        return
    height = figure.get_figheight()
    map_width, map_height = map_size(check)
    names_width = method_names_width(check)
    headings = [("trained", ""), *(("random down to", name) for name in check.example_layers)]
    for column, heading in enumerate(headings):
        left = names_width + column * (map_width + MAP_GAP)
        for line, text in enumerate(heading):
            baseline = top - MARGIN - LABEL.size / 72 - line * LABEL.line_height
            _write(figure, left, baseline, text, LABEL)
    top -= 2.4 * LABEL.line_height
    for row, (name, maps) in enumerate(zip(check.methods, check.examples, strict=True)):
        bottom = top - (row + 1) * (map_height + MAP_GAP)
        _write(figure, MARGIN, bottom + map_height / 2 - LABEL.size / 144, name, LABEL)
        for column, strengths in enumerate(maps):
            left = names_width + column * (map_width + MAP_GAP)
            sides = (map_width / WIDTH, map_height / height)
            axes = figure.add_axes((left / WIDTH, bottom / height, *sides))
            axes.imshow(as_ink(strengths), aspect="auto", interpolation="antialiased")
            axes.set_axis_off()


def as_ink(strengths):
    """Strengths `(rows, columns)` as uint8 RGB: white for 0, black from a high percentile on."""
    present = strengths[strengths > 0]
    full = np.percentile(present, PERCENTILE) if present.size else 1.0
    greys = np.rint(255 * (1 - np.minimum(strengths / full, 1))).astype("uint8")
    return np.repeat(greys[..., None], 3, axis=-1)


def _draw_key(figure, colours, top):
    """The methods' names in their colours, in a line."""
    left, baseline = MARGIN, top - 1.1 * HEADING.line_height
    for name, colour in colours.items():
        _write(figure, left, baseline, f"— {name}", HEADING._replace(colour=colour))
        left += text_width(f"— {name}", HEADING) + 0.2


def _draw_layers(axes, check, values, colours):
    """Means over images with their standard errors, for each layer from the top."""
    places = np.arange(len(check.layers))
    for method, of_method in zip(check.methods, values, strict=True):
        means, errors = mean_and_error(of_method)
        axes.errorbar(places, means, errors, color=colours[method], **_MARKED)
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
    groups = {"patch covered": "covered", "patch alone": "shown"}
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
        names: of the groups.
        bars: `{method: [(height, error) for each group]}`.
        colours: `{method: colour}`.
    """
    width = 0.8 / len(bars)
    for place, (method, pairs) in enumerate(bars.items()):
        heights, errors = np.transpose(pairs)
        places = np.arange(len(names)) + (place - (len(bars) - 1) / 2) * width
        colour = colours.get(method, RANDOM_COLOUR)
        axes.bar(places, heights, width * 0.9, yerr=errors, color=colour, error_kw=_WHISKERS)
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
    place = "upper right" if name == "deletion" else "lower right"
    ground = {"facecolor": "white", "edgecolor": "none", "framealpha": 0.8}
    axes.legend(fontsize=LABEL.size, loc=place, handlelength=1.2, **ground)


_WHISKERS = {"elinewidth": 0.6, "ecolor": "0.25", "capsize": 0}
_MARKED = {"linewidth": 1, "marker": "o", "markersize": 1.8, "elinewidth": 0.6}


def mean_and_error(values):
    """Mean and standard error over the last axis, without NaN; no error for a single value."""
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


def _style(axes):
    axes.tick_params(axis="y", labelsize=LABEL.size)
    axes.tick_params(length=2, width=0.6, pad=1.5)
    for label in axes.get_xticklabels():
        label.set_fontsize(min(label.get_fontsize(), LABEL.size))
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_linewidth(0.6)


def _write(figure, left, baseline, text, style):
    position = (left / WIDTH, baseline / figure.get_figheight())
    figure.text(*position, text, font=style.font, color=style.colour, **PLAIN)


def _cycled(colours):
    while True:
        yield from colours


def _caption(report):
    parts = [CAPTIONS[name] for name in CAPTIONS if getattr(report, name) is not None]
    text = " ".join([*parts, MEANS.format(images=len(report.activations))])
    if (check := report.patch_sufficiency) is not None:
        height, width = check.patch_size
        text = text.replace("{height}×{width}", f"{height}×{width}")
    return text
