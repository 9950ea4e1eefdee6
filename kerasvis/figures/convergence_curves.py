"""When feature maps converge, as curves: the paper's conclusion from Figure 4, measured."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.ticker import NullLocator, PercentFormatter

from kerasvis.figures.figure import Figure
from kerasvis.figures.page import CAPTION, LABEL, TITLE, blank_figure, wrap, write_around
from kerasvis.storage.counted import counted

if TYPE_CHECKING:
    from kerasvis.analyses.evolution.feature_convergence import Convergence


# In inches; the width of a journal page.
WIDTH, PANEL_HEIGHT = 7.2, 2.3
SIDES = {"left": 0.5, "right": 0.08, "below": 0.4, "above": 0.22}
BETWEEN = 0.55
BORDER = (1.005, 1.03)  # right of a panel, in shares of its width
COLOURS = colormaps["viridis"]

CURVES_CAPTION = (
    "Left: similarity of a feature map's projection to its projection at the last epoch, as the "
    "cosine of the angle between the two windows of pixels, which lie in the same way around the "
    "unit whatever its image. Lines: medians over the feature maps of a layer; bands: the middle "
    "half. Strokes at the right border: median similarity of different feature maps at the last "
    "epoch, which is expected by chance. Right: share of feature maps whose strongest image is "
    "already that of the last epoch."
)
SILENT_CAPTION = "Feature maps that are inactive at the last epoch are left out on the left: {}."


def convergence_curves(
    convergence: "Convergence", *, title: str | None = None, caption: str | None = None
) -> Figure:
    """How similar feature maps are to their final state, per layer over epochs.

    Two panels show the same epochs on a logarithmic scale: the similarity of projections to the
    final ones, with a line for the median and a band between the quartiles; and the share of
    feature maps whose strongest image is the final one, which shows how much of the first is due to
    other images.

    Args:
        convergence: a `Convergence`. Fields read: `epochs` `(epochs,)` and `layers`, each with
            `layer`, `similarities` `(features, epochs)` in [-1, 1] (NaN: undefined),
            `is_final_image` bool `(features, epochs)`, and `between_maps`, a number.
        title: text above the figure.
        caption: text below the figure; by default a description, "" for none.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if there are no layers, fewer than two epochs, or shapes that do not fit.

    Reference:
        Zeiler & Fergus 2013, Section 4, "Feature Evolution during Training".

    Example:
        >>> import kerasvis as kv
        >>> images = kv.data.PlantedObjects(8)[:]
        >>> models = [kv.convnets.ZFNet((64, 64, 3), 8, width=0.1, dense_units=8) for _ in range(2)]
        >>> evolution = kv.analyses.evolution_of_models(models, ["conv1"], images, epochs=[1, 2])
        >>> figure = kv.figures.convergence_curves(kv.analyses.convergence(evolution))
        >>> figure.savefig("convergence.png")
    """
    _check(convergence)
    text = _caption(convergence) if caption is None else caption
    lines = wrap(text, WIDTH - 2 * 0.04, CAPTION)
    text_height = len(lines) * CAPTION.line_height + 0.04
    title_height = 1.3 * TITLE.line_height if title else 0
    panel_bottom = text_height + SIDES["below"]
    height = panel_bottom + PANEL_HEIGHT + SIDES["above"] + title_height
    figure = blank_figure(WIDTH, height)
    width = (WIDTH - SIDES["left"] - SIDES["right"] - BETWEEN) / 2
    panels = [
        figure.add_axes((left / WIDTH, panel_bottom / height, width / WIDTH, PANEL_HEIGHT / height))
        for left in (SIDES["left"], SIDES["left"] + width + BETWEEN)
    ]
    _draw_similarities(panels[0], convergence)
    _draw_final_images(panels[1], convergence)
    for panel in panels:
        _style(panel, convergence.epochs)
    panels[1].legend(frameon=False, fontsize=LABEL.size, loc="upper left", handlelength=1.5)
    write_around(figure, lines, text_height, title, margin=0.04)
    return figure


def quartiles(similarities):
    """Lower quartile, median and upper quartile over feature maps: `(3, epochs)`.

    Feature maps whose similarity is undefined (NaN) are left out; NaN if none remains.
    """
    defined = similarities[~np.isnan(similarities).any(axis=1)]
    if not len(defined):
        return np.full((3, similarities.shape[1]), np.nan)
    return np.percentile(defined, (25, 50, 75), axis=0)


def _draw_similarities(axes, convergence):
    epochs = convergence.epochs
    for layer, colour in _coloured(convergence):
        lower, median, upper = quartiles(np.asarray(layer.similarities))
        axes.fill_between(epochs, lower, upper, color=colour, alpha=0.13, linewidth=0)
        axes.plot(epochs, median, color=colour, zorder=3, **_MARKED)
        axes.axhline(layer.between_maps, *BORDER, color=colour, linewidth=1.3, clip_on=False)
    axes.set_title("similarity to the last projection", loc="left", **_heading())
    axes.set_ylabel("cosine", fontsize=LABEL.size + 1)
    axes.set_ylim(top=1.03)


def _draw_final_images(axes, convergence):
    for layer, colour in _coloured(convergence):
        share = np.asarray(layer.is_final_image).mean(axis=0)
        axes.plot(convergence.epochs, share, color=colour, label=layer.layer, **_MARKED)
    axes.set_title("strongest image is that of the last epoch", loc="left", **_heading())
    axes.set_ylabel("share of feature maps", fontsize=LABEL.size + 1)
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1))


_MARKED = {"linewidth": 1.3, "marker": "o", "markersize": 2.5}


def _heading():
    return {"fontsize": LABEL.size + 1.5, "fontweight": "bold", "pad": 4}


def _coloured(convergence):
    """Layers with colours, dark for lower and light for upper layers."""
    places = np.linspace(0, 0.9, len(convergence.layers))
    return list(zip(convergence.layers, map(COLOURS, places), strict=True))


def _style(axes, epochs):
    axes.set_xscale("log")
    axes.set_xticks(epochs, list(map(str, epochs)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("epoch (logarithmic)", fontsize=LABEL.size + 1)
    axes.tick_params(labelsize=LABEL.size, length=2, width=0.6)
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_linewidth(0.6)


def _check(convergence):
    if not convergence.layers or len(convergence.epochs) < 2:
        raise ValueError(
            "Give at least one layer and two epochs. Received: "
            f"{counted(len(convergence.layers), 'layer')}, "
            f"{counted(len(convergence.epochs), 'epoch')}"
        )
    for layer in convergence.layers:
        for field in ("similarities", "is_final_image"):
            shape = np.shape(getattr(layer, field))
            if len(shape) != 2 or not shape[0] or shape[1] != len(convergence.epochs):
                raise ValueError(
                    f"Give {field} of layer {layer.layer!r} of shape (features, "
                    f"{len(convergence.epochs)}). Received: shape {shape}"
                )


def _caption(convergence):
    silent = [
        f"{num} of {len(layer.similarities)} in {layer.layer}"
        for layer in convergence.layers
        if (num := int(np.isnan(layer.similarities).any(axis=1).sum()))
    ]
    return " ".join(
        [CURVES_CAPTION, *([SILENT_CAPTION.format(", ".join(silent))] if silent else [])]
    )
