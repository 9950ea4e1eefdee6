"""Section 5.1 of the paper: errors of a convnet without some of its layers, as a dot plot."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from kerasvis.figures.figure import Figure
from kerasvis.figures.page import (
    CAPTION,
    HEADING,
    LABEL,
    MARGIN,
    POINTS,
    TITLE,
    blank_figure,
    text_width,
    wrap,
)
from kerasvis.storage.counted import counted

if TYPE_CHECKING:
    from kerasvis.analyses.ablation.layer_ablation import LayerAblation


# In inches; the width of a journal page, or more if names are too long for it.
WIDTH, ROW_HEIGHT = 7.2, 0.2
COLUMN_GAP, PANEL_GAP, RIGHT_MARGIN = 0.14, 0.2, 0.12
NARROWEST_PANEL = 1.1
FIRST_PANEL = 1.4  # times the width of the others
BELOW_PANELS, LEGEND_HEIGHT = 0.36, 0.2

TOP_1_COLOUR, TOP_5_COLOUR = "tab:blue", "tab:orange"
MARKS = {
    "training images, top-1": {  # a ring, visible around the next dot if both are equal
        "color": TOP_1_COLOUR,
        "markerfacecolor": "none",
        "markersize": 5,
    },
    "validation images, top-1": {"color": TOP_1_COLOUR, "markersize": 2.6},
    "validation images, top-5": {"color": TOP_5_COLOUR, "marker": "s", "markersize": 2.6},
}

ABLATION_CAPTION = (
    "Errors of a convnet with layers left out or resized, each trained from scratch in the same "
    "way for {epochs} on {train:,} training images of {classes} classes, with {validation:,} "
    "validation images. Bars: ± two standard errors of the validation errors, from the number of "
    "images; another seed also moves the dots. Thin line: validation top-1 error of the first row. "
    "Dashed line: chance, top-1. Parameters: trainable weights. Seconds: training time."
)
PAPER_CAPTION = (
    "The paper's errors are for the 1000 classes of ImageNet: compare their pattern with that of "
    "this run, not their size. Sizes in the names are those of the paper's convnets."
)


def ablation_chart(
    ablation: "LayerAblation",
    paper: Mapping[str, dict] | None = None,
    *,
    title: str | None = None,
    caption: str | None = None,
) -> Figure:
    """Training and validation errors of the variants of a model, one row each.

    Args:
        ablation: a `LayerAblation`. Fields read: `variants`, names; `train_errors` and
            `validation_errors` `(variants, 2)`, top-1 and top-5 in %; `num_parameters` and
            `seconds` `(variants,)`; `num_images`, of training and validation; `num_classes` and
            `num_epochs`.
        paper: `{convnet: {variant: (training top-1, validation top-1, validation top-5)}}`, in %:
            another panel for each convnet of the paper, such as `kerasvis.analyses.PAPER_ERRORS`.
            Rows of variants that are missing there stay empty.
        title: text above the figure.
        caption: text below the figure; by default a description, "" for none.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if there is no variant, or shapes do not fit.

    Reference:
        Zeiler & Fergus 2013, Section 5.1, Table 3.

    Example:
        >>> import numpy as np
        >>> import kerasvis as kv
        >>> ablation = kv.analyses.LayerAblation(
        ...     variants=("full", "without layers 6, 7"),
        ...     train_errors=np.array([[20.0, 5.0], [24.0, 7.0]]),
        ...     validation_errors=np.array([[40.0, 18.0], [44.0, 21.0]]),
        ...     num_parameters=np.array([62_000, 8_000]),
        ...     seconds=np.array([900.0, 700.0]),
        ...     num_images=np.array([15_000, 1_500]),
        ...     num_classes=30,
        ...     num_epochs=70,
        ... )
        >>> figure = kv.figures.ablation_chart(ablation, kv.analyses.PAPER_ERRORS)
        >>> figure.savefig("ablation.png")
    """
    _check(ablation)
    columns = _columns(ablation)
    errors = {"this run": _errors(ablation), **_errors_of_paper(ablation, paper)}
    places = _places(columns, len(errors))
    page_width = sum(places[-1]) + RIGHT_MARGIN
    text = _caption(ablation, paper) if caption is None else caption
    lines = wrap(text, page_width - 2 * MARGIN, CAPTION)
    text_height = len(lines) * CAPTION.line_height + MARGIN
    panel_bottom = text_height + LEGEND_HEIGHT + BELOW_PANELS
    panel_height = ROW_HEIGHT * len(ablation.variants)
    height = panel_bottom + panel_height + 1.6 * HEADING.line_height
    height += 1.3 * TITLE.line_height if title else 0
    figure = blank_figure(page_width, height)

    for (heading, values), (left, width) in zip(errors.items(), places, strict=True):
        box = (left / page_width, panel_bottom / height, width / page_width, panel_height / height)
        axes = figure.add_axes(box)
        axes.set_title(heading, loc="left", pad=4, font=HEADING.font)
        _draw(axes, values)
        _style(axes, len(ablation.variants))
    _draw_uncertainty(figure.axes[0], ablation)
    _write_columns(figure.axes[0], columns)
    _add_legend(figure, text_height / height)
    _write_lines(figure, lines, text_height)
    if title:
        _write(figure, title, TITLE, height - MARGIN)
    return figure


def standard_errors(errors, num_images):
    """Standard errors in % of error rates in %, measured on a random sample of images."""
    shares = np.asarray(errors, "float64") / 100
    return 100 * np.sqrt(shares * (1 - shares) / num_images)


def _errors(ablation):
    """`(variants, 3)`: training top-1, validation top-1 and top-5."""
    return np.column_stack([np.asarray(ablation.train_errors)[:, 0], ablation.validation_errors])


def _errors_of_paper(ablation, paper):
    """`{heading: errors}`, see `_errors`; NaN for variants that the paper does not have."""
    missing = (np.nan,) * len(MARKS)
    return {
        f"paper: {convnet}": np.array([errors.get(name, missing) for name in ablation.variants])
        for convnet, errors in (paper or {}).items()
    }


def _columns(ablation):
    """`{heading: its texts}` beside the panels."""
    return {
        "": list(ablation.variants),
        "parameters": [f"{number:,}" for number in ablation.num_parameters],
        "seconds": [f"{seconds:,.0f}" for seconds in ablation.seconds],
    }


def _widths(columns):
    return [
        max(text_width(text, LABEL) for text in [key, *texts]) for key, texts in columns.items()
    ]


def _places(columns, num_panels):
    """`(left, width)` of the panels, in inches."""
    left = MARGIN + sum(width + COLUMN_GAP for width in _widths(columns))
    room = WIDTH - RIGHT_MARGIN - left - PANEL_GAP * (num_panels - 1)
    width = max(room / (FIRST_PANEL + num_panels - 1), NARROWEST_PANEL)
    widths = np.array([FIRST_PANEL * width] + [width] * (num_panels - 1))
    lefts = left + np.cumsum(widths + PANEL_GAP) - (widths + PANEL_GAP)
    return list(zip(lefts.tolist(), widths.tolist(), strict=True))


def _draw(axes, errors):
    rows = np.arange(len(errors))
    axes.hlines(rows, *errors[:, :2].T, color=TOP_1_COLOUR, linewidth=0.8, alpha=0.5)
    for (name, style), values in zip(MARKS.items(), errors.T, strict=True):
        options = {"marker": "o", "markersize": 3, "markeredgewidth": 0.8} | style
        axes.plot(values, rows, linestyle="none", label=name, zorder=3, **options)
    axes.axvline(errors[0, 1], color=TOP_1_COLOUR, linewidth=0.5, alpha=0.6, zorder=1)


def _draw_uncertainty(axes, ablation):
    num_validation = ablation.num_images[1]
    for errors, colour in zip(
        np.asarray(ablation.validation_errors).T, (TOP_1_COLOUR, TOP_5_COLOUR), strict=True
    ):
        bars = 2 * standard_errors(errors, num_validation)
        rows = np.arange(len(errors))
        axes.errorbar(errors, rows, xerr=bars, fmt="none", ecolor=colour, elinewidth=0.8, capsize=2)
    chance = 100 * (1 - 1 / ablation.num_classes)
    axes.axvline(chance, color="0.4", linewidth=0.7, linestyle="--", zorder=1)


def _write_columns(axes, columns):
    """Writes the columns next to the rows of the first panel, numbers right-aligned."""
    left = MARGIN - axes.get_position().x0 * axes.figure.get_figwidth()
    for (heading, texts), width in zip(columns.items(), _widths(columns), strict=True):
        is_name = heading == ""
        inches = left if is_name else left + width
        for row, text in enumerate([heading, *texts], start=-1):
            axes.annotate(
                text,
                (0, row),
                (inches * POINTS, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                horizontalalignment="left" if is_name else "right",
                verticalalignment="center_baseline",
                font=LABEL.font,
                color="black" if is_name else LABEL.colour,
                parse_math=False,
                annotation_clip=False,
            )
        left += width + COLUMN_GAP


def _add_legend(figure, bottom):
    """One legend below all panels."""
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        loc="lower right",
        bbox_to_anchor=(1 - RIGHT_MARGIN / figure.get_figwidth(), bottom),
        ncols=len(MARKS),
        frameon=False,
        fontsize=LABEL.size,
        borderaxespad=0,
    )


def _write_lines(figure, lines, top):
    for number, line in enumerate(lines):
        _write(figure, line, CAPTION, top - number * CAPTION.line_height)


def _write(figure, line, style, top):
    """Writes a line of text with its top `top` inches above the lower border."""
    width, height = figure.get_size_inches()
    position = (MARGIN / width, (top - style.size / POINTS) / height)
    figure.text(
        *position, line, font=style.font, color=style.colour, parse_math=False, usetex=False
    )


def _style(axes, num_rows):
    axes.set(xlim=(0, 100), ylim=(num_rows - 0.5, -0.5), xticks=range(0, 101, 20), yticks=[])
    axes.set_xlabel("error in %", fontsize=LABEL.size + 0.5, labelpad=2)
    axes.tick_params(labelsize=LABEL.size, length=2, width=0.6)
    axes.grid(axis="x", color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.hlines(np.arange(1, num_rows) - 0.5, 0, 100, color="0.92", linewidth=0.6, zorder=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_linewidth(0.6)


def _check(ablation):
    num_variants = len(ablation.variants)
    if not num_variants:
        raise ValueError("Give an ablation of at least one variant. Received: variants=()")
    shapes = {
        "train_errors": (num_variants, 2),
        "validation_errors": (num_variants, 2),
        "num_parameters": (num_variants,),
        "seconds": (num_variants,),
    }
    for field, expected in shapes.items():
        shape = np.shape(getattr(ablation, field))
        if shape != expected:
            raise ValueError(f"Give {field} of shape {expected}. Received: shape {shape}")


def _caption(ablation, paper):
    num_epochs = ablation.num_epochs
    train, validation = ablation.num_images
    text = ABLATION_CAPTION.format(
        epochs=counted(num_epochs, "epoch"),
        train=train,
        validation=validation,
        classes=ablation.num_classes,
    )
    return f"{text} {PAPER_CAPTION}" if paper else text
