"""Accuracies of transferred features, as curves over training images and over layers."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.ticker import NullLocator, PercentFormatter

from kerasvis.figures.figure import Figure
from kerasvis.figures.page import (
    CAPTION,
    LABEL,
    TITLE,
    blank_figure,
    text_width,
    wrap,
    write_around,
)
from kerasvis.storage.counted import counted

if TYPE_CHECKING:
    from kerasvis.analyses.transfer.feature_transfer import FeatureTransfer


# In inches; the width of a journal page.
WIDTH, PANEL_HEIGHT = 7.2, 2.6
SIDES = {"left": 0.5, "right": 0.08, "above": 0.22}
BELOW, BETWEEN = 0.4, 0.6
HANDLE = 0.3  # before a name in the legend
COLOURS = colormaps["viridis"]
HEAD_STYLES = ("-", "--", ":")
HEAD_COLOURS = ("black", "tab:orange", "tab:blue")
SCRATCH_STYLE = {"color": "tab:red", "linewidth": 1.3, "marker": "s", "markersize": 3}

TRANSFER_CAPTION = (
    "Accuracy of a linear classifier of {classes} new classes on the features of one layer with "
    "fixed weights: the share of test images that are classified correctly, averaged over classes. "
    "Points: means over {folds}; bars: standard deviations. Left: by number of training images per "
    "class; line styles as on the right. Right: by layer, with {size} per class."
)
SCRATCH_CAPTION = "From scratch: the same architecture, trained on the new images alone."


def transfer_curves(
    transfer: "FeatureTransfer", *, title: str | None = None, caption: str | None = None
) -> Figure:
    """Learning curves of every layer, and the accuracy layer by layer.

    Args:
        transfer: a `FeatureTransfer`. Fields read: `layers` and `heads`, names; `per_class`
            `(sizes,)`; `accuracies` `(layers, heads, sizes, folds)` and `scratch_accuracies`
            `(sizes, folds)`, in [0, 1], the latter with no folds if not computed; `class_names`.
        title: text above the figure.
        caption: text below the figure; by default a description, "" for none.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if there is nothing to draw, or shapes do not fit.

    Reference:
        Zeiler & Fergus 2013, Sections 5.2 and 5.3: Figure 9, Table 7.

    Example:
        >>> import keras
        >>> from keras import layers
        >>> import kerasvis as kv
        >>> planted = kv.data.PlantedObjects(32, (32, 32))
        >>> images = kv.data.LabelledImages(planted[:].astype("uint8"), planted.labels)
        >>> data = kv.data.LabelledData(images, images, planted.class_names, (32, 32))
        >>> model = keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(4, 5, 4, name="a")])
        >>> transfer = kv.transfer_features(
        ...     model, ["a"], data, per_class=[1, 2], folds=2, heads=["svm"], verbose=0
        ... )
        >>> kv.figures.transfer_curves(transfer).savefig("transfer.png")
    """
    _check(transfer)
    text = _caption(transfer) if caption is None else caption
    lines = wrap(text, WIDTH - 2 * 0.04, CAPTION)
    text_height = len(lines) * CAPTION.line_height + 0.04
    title_height = 1.3 * TITLE.line_height if title else 0
    panel_bottom = (
        text_height + 0.4 + (_longest(transfer.layers) if _upright(transfer.layers) else 0)
    )
    height = panel_bottom + PANEL_HEIGHT + SIDES["above"] + title_height
    figure = blank_figure(WIDTH, height)
    width = _panel_width(transfer.layers)
    panels = [
        figure.add_axes((left / WIDTH, panel_bottom / height, width / WIDTH, PANEL_HEIGHT / height))
        for left in (SIDES["left"], WIDTH - SIDES["right"] - width)
    ]
    _draw_sizes(panels[0], transfer)
    _draw_layers(panels[1], transfer)
    for panel in panels:
        _style(panel)
    write_around(figure, lines, text_height, title, margin=0.04)
    return figure


def mean_and_deviation(accuracies):
    """Mean and sample standard deviation over folds, the last axis; deviation 0 for one fold."""
    accuracies = np.asarray(accuracies, "float64")
    num_folds = accuracies.shape[-1]
    deviation = accuracies.std(axis=-1, ddof=1) if num_folds > 1 else 0 * accuracies[..., 0]
    return accuracies.mean(axis=-1), deviation


def _draw_sizes(axes, transfer):
    means, deviations = mean_and_deviation(transfer.accuracies)
    colours = COLOURS(np.linspace(0, 0.9, len(transfer.layers)))
    for layer, colour in enumerate(colours):
        for head, style in enumerate(HEAD_STYLES[: len(transfer.heads)]):
            axes.errorbar(
                transfer.per_class,
                means[layer, head],
                deviations[layer, head],
                color=colour,
                linestyle=style,
                label=transfer.layers[layer] if head == 0 else "_",  # one entry for each layer
                **_MARKED,
            )
    if np.shape(transfer.scratch_accuracies)[1]:
        means, deviations = mean_and_deviation(transfer.scratch_accuracies)
        axes.errorbar(transfer.per_class, means, deviations, label="from scratch", **SCRATCH_STYLE)
    axes.set_title("few images of each class", loc="left", **_heading())
    axes.set_xscale("log")
    axes.set_xticks(transfer.per_class, list(map(str, transfer.per_class)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("training images per class (logarithmic)", fontsize=LABEL.size + 1)
    beside = {"loc": "center left", "bbox_to_anchor": (1, 0.5), "borderaxespad": 0.3}
    legend = axes.legend(**beside, **_LEGEND)
    for text in legend.get_texts():
        text.set_parse_math(False)
    axes.set_ylabel("mean per-class accuracy", fontsize=LABEL.size + 1)


def _draw_layers(axes, transfer):
    means, deviations = mean_and_deviation(np.asarray(transfer.accuracies)[:, :, -1])
    places = np.arange(len(transfer.layers))
    for head, name in enumerate(transfer.heads):
        axes.errorbar(
            places,
            means[:, head],
            deviations[:, head],
            color=HEAD_COLOURS[head],
            linestyle=HEAD_STYLES[head],
            label=name,
            **_MARKED,
        )
    if np.shape(transfer.scratch_accuracies)[1]:
        mean, _ = mean_and_deviation(transfer.scratch_accuracies[-1])
        colour = SCRATCH_STYLE["color"]
        axes.axhline(mean, color=colour, linewidth=1, label="from scratch")
    axes.set_title("layer by layer", loc="left", **_heading())
    rotation = 90 if _upright(transfer.layers) else 0
    axes.set_xticks(places, transfer.layers, rotation=rotation, parse_math=False)
    axes.set_xlim(-0.4, len(places) - 0.6)
    axes.legend(loc="best", **_LEGEND)


_LEGEND = {"frameon": False, "fontsize": LABEL.size, "handlelength": 2.2}
_MARKED = {"linewidth": 1.3, "marker": "o", "markersize": 2.5, "elinewidth": 0.8, "capsize": 1.5}


def _longest(layers):
    """Width of the longest name in inches."""
    return max(text_width(name, LABEL) for name in layers)


def _upright(layers):
    """Whether the names are too long to stand side by side."""
    return _longest(layers) > 0.9 * _panel_width(layers) / len(layers)


def _panel_width(layers):
    """Width of each of two panels, with space for the names of the layers between them."""
    names = max(_longest(layers), text_width("from scratch", LABEL)) + HANDLE
    return (WIDTH - SIDES["left"] - SIDES["right"] - BETWEEN - names) / 2


def _heading():
    return {"fontsize": LABEL.size + 1.5, "fontweight": "bold", "pad": 4}


def _style(axes):
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.tick_params(labelsize=LABEL.size, length=2, width=0.6)
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_linewidth(0.6)


def _check(transfer):
    sizes = len(transfer.layers), len(transfer.heads), len(transfer.per_class)
    shape = np.shape(transfer.accuracies)
    if not all(sizes) or len(shape) != 4 or shape[:3] != sizes or not shape[3]:
        raise ValueError(
            f"Give accuracies of shape ({', '.join(map(str, sizes))}, folds), none of them 0. "
            f"Received: shape {shape}"
        )
    if np.shape(transfer.scratch_accuracies)[:-1] != sizes[2:]:
        raise ValueError(
            f"Give accuracies from scratch of shape ({sizes[2]}, folds). "
            f"Received: shape {np.shape(transfer.scratch_accuracies)}"
        )


def _caption(transfer):
    num_folds = np.shape(transfer.accuracies)[-1]
    text = TRANSFER_CAPTION.format(
        classes=len(transfer.class_names),
        folds=counted(num_folds, "fold"),
        size=counted(transfer.per_class[-1], "training image"),
    )
    return f"{text} {SCRATCH_CAPTION}" if np.shape(transfer.scratch_accuracies)[1] else text
