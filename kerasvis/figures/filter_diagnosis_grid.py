"""Figure 5 of the paper: first and second layers of convnets side by side, with numbers."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from kerasvis.figures.channels import is_picture, pictures
from kerasvis.figures.contrast import CONTRAST_RULE, signed_to_rgb
from kerasvis.figures.mosaic import mosaic, near_square
from kerasvis.figures.page import (
    BESIDE_HEADING,
    CAPTION,
    DPI,
    HEADING,
    LABEL,
    MARGIN,
    TITLE,
    Page,
    wrap,
)
from kerasvis.figures.resampling import enlarge, shrink
from kerasvis.storage.counted import counted

if TYPE_CHECKING:
    from kerasvis.analyses.filters.filter_diagnosis import FilterDiagnosis
    from kerasvis.figures.figure import Figure


# In inches; two columns fill the width of a journal page.
COLUMN_WIDTH, COLUMN_GAP = 3.46, 0.2
CHART_HEIGHT, CHART_SIDES = 1.15, {"left": 0.3, "right": 0.06, "below": 0.3, "above": 0.16}
TILE_GAP, ROW_GAP = 0.02, 0.06
FEATURES_PER_ROW, MAX_COLUMNS = 8, 64

# Cycles per pixel, as in the analysis; the upper end is the corner of the spectrum.
BANDS = {"low": (0, 0.1), "middle": (0.1, 0.25), "high": (0.25, 0.71)}

DIAGNOSIS_CAPTION = (
    "First layer: filters on mid-grey (zero); full contrast is the largest absolute weight of all "
    "filters. Spectrum: share of a filter's energy in rings of 1/32 cycles per pixel, a line for "
    "each filter, the mean in black; above each band the share of filters with most energy there."
)
PROJECTIONS_CAPTION = (
    "Second layer: projections of the strongest units of active feature maps, evenly spaced over "
    f"their indices, {CONTRAST_RULE}."
)
CHANNELS_CAPTION = "Channels are shown one by one unless there are 1 or 3 of them."


def filter_diagnosis_grid(
    diagnoses: "FilterDiagnosis | Sequence[FilterDiagnosis]",
    *,
    num_features: int = 32,
    title: str | None = None,
    caption: str | None = None,
) -> "Figure":
    """First-layer filters, their spectra and second-layer projections of convnets side by side.

    Each convnet has a column, with the numbers of each part below its heading.

    Args:
        diagnoses: a `FilterDiagnosis` or a list of them. Fields read: `model`, `first_layer`,
            `second_layer`, `kernels` `(height, width, channels, filters)`, `strides` `(2,)`,
            `frequencies` `(frequencies,)`, `spectra` `(filters, frequencies)`, `band_shares`
            `(filters, 3)`, `correlations` `(filters,)`, `dominance`, `first.is_dead`, `projections`
            `(features, height, width, channels)`, `activations` `(features,)` and
            `median_aliasing`. Channels are shown one by one unless there are 1 or 3 of them.
        num_features: maximum number of projections.
        title: text above the figure.
        caption: text below the figure; by default a description, "" for none.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if there is nothing to show, or filters or projections are not images.

    Reference:
        Zeiler & Fergus 2013, Figure 5 (Figure 6 in arXiv v3), (b) to (e).

    Example:
        >>> import kerasvis as kv
        >>> zfnet = kv.convnets.ZFNet((64, 64, 3), 10, width=0.1, dense_units=8)
        >>> alexnet = kv.convnets.AlexNet((67, 67, 3), 10, width=0.1, dense_units=8)
        >>> diagnoses = [kv.diagnose_filters(alexnet), kv.diagnose_filters(zfnet)]
        >>> kv.figures.filter_diagnosis_grid(diagnoses).savefig("filters.png")
    """
    diagnoses = list(diagnoses) if isinstance(diagnoses, Iterable) else [diagnoses]
    _check(diagnoses, num_features)
    lefts = [MARGIN + n * (COLUMN_WIDTH + COLUMN_GAP) for n in range(len(diagnoses))]
    page = Page(lefts[-1] + COLUMN_WIDTH + MARGIN)
    columns = list(zip(diagnoses, lefts, strict=True))
    if title:
        page.write(title, TITLE)
        page.move_down(ROW_GAP)
    _put_side_by_side(page, columns, _put_filters)
    charts_top = page.position + CHART_SIDES["above"]
    page.move_down(CHART_HEIGHT + CHART_SIDES["above"] + CHART_SIDES["below"] + ROW_GAP)
    has_projections = any(len(_active_features(d)) for d in diagnoses)
    if has_projections:
        _put_side_by_side(page, columns, _put_projections, num_features)
    page.write(_caption(diagnoses, has_projections) if caption is None else caption, CAPTION)
    figure = page.figure()
    _draw_spectra(figure, columns, charts_top)
    return figure


def _caption(diagnoses, has_projections):
    sentences = [DIAGNOSIS_CAPTION, *[PROJECTIONS_CAPTION] * has_projections]
    if not all(is_picture(np.shape(diagnosis.kernels)[2]) for diagnosis in diagnoses):
        sentences.append(CHANNELS_CAPTION)
    return " ".join(sentences)


def _put_side_by_side(page, columns, put, *options):
    """Fills the columns from the current position down, then moves below the longest."""
    top, bottoms = page.position, []
    for diagnosis, left in columns:
        page.position = top
        put(page, diagnosis, left, *options)
        bottoms.append(page.position)
    page.position = max(bottoms) + ROW_GAP


def _put_filters(page, diagnosis, left):
    height, width, _, num_filters = diagnosis.kernels.shape
    page.put_text(diagnosis.model, HEADING, left=left)
    page.move_down(HEADING.line_height)
    strides = "×".join(map(str, np.asarray(diagnosis.strides).tolist()))
    _put_paragraph(
        page,
        left,
        f"{diagnosis.first_layer}: {num_filters} filters {height}×{width}, stride {strides}; "
        f"largest RMS {diagnosis.dominance:.1f} × the median; "
        f"{int(np.sum(diagnosis.first.is_dead))} dead; two filters correlate by up to "
        f"{np.max(diagnosis.correlations):.2f}",
    )
    filters = np.moveaxis(np.asarray(diagnosis.kernels), -1, 0)
    num_tiles, filters = _one_after_the_other(filters)
    columns = _columns_for_width(len(filters), num_tiles)
    pixels = signed_to_rgb(filters, percentile=100, shared=True)
    _put_mosaic(page, pixels, columns, left, f"{diagnosis.model} filters")


def _one_after_the_other(values):
    """`(tiles of each, all tiles)`; channels become tiles unless there are 1 or 3 of them."""
    tiles = pictures(values)
    return len(tiles), np.stack(tiles, axis=1).reshape(-1, *tiles[0].shape[1:])


def _columns_for_width(num_tiles, num_together=1):
    """The number of columns for which the block is about half as high as wide.

    It is a multiple of the number of tiles that belong together, if that many fit.
    """
    columns = min(num_tiles, 2 * near_square(-(-num_tiles // 2))[1], MAX_COLUMNS)
    return max(columns // num_together, 1) * num_together if num_together < columns else columns


def _put_projections(page, diagnosis, left, num_features):
    shown = evenly(_active_features(diagnosis), num_features)
    if not len(shown):
        _put_paragraph(page, left, "second layer: no projections")
        return
    height, width = diagnosis.projections.shape[1:3]
    page.put_text(diagnosis.second_layer, LABEL._replace(weight="bold"), left=left)
    page.move_down(LABEL.line_height)
    _put_paragraph(
        page,
        left,
        f"{len(shown)} of {len(diagnosis.projections)} features, {height}×{width} pixels; "
        f"{_aliasing(diagnosis)}",
    )
    size = COLUMN_WIDTH / FEATURES_PER_ROW * DPI
    num_tiles, projections = _one_after_the_other(np.asarray(diagnosis.projections)[shown])
    pixels = signed_to_rgb(shrink(projections, round(size)))
    label = f"{diagnosis.model} projections"
    per_row = FEATURES_PER_ROW // num_tiles * num_tiles or FEATURES_PER_ROW
    _put_mosaic(page, pixels, min(per_row, len(pixels)), left, label)


def _aliasing(diagnosis):
    if max(diagnosis.strides) == 1:
        return "no aliasing at stride 1"
    if np.isnan(diagnosis.median_aliasing):
        return "aliasing not measurable"
    return f"energy at the stride {diagnosis.median_aliasing:.2f} × that around it"


def evenly(indices, most):
    """At most `most` of `indices`, evenly spaced, including the first and last."""
    if len(indices) <= most:
        return indices
    return indices[np.linspace(0, len(indices) - 1, most).round().astype(int)]


def _active_features(diagnosis):
    return np.flatnonzero(np.asarray(diagnosis.activations) > 0)


def _put_paragraph(page, left, text):
    for line in wrap(text, COLUMN_WIDTH, BESIDE_HEADING):
        page.put_text(line, BESIDE_HEADING, left=left)
        page.move_down(BESIDE_HEADING.line_height)
    page.move_down(TILE_GAP)


def _put_mosaic(page, tiles, columns, left, label):
    """Tiles over the width of a column, or less so that no tile is wider than 0.5 inches."""
    tile_width = min((COLUMN_WIDTH - (columns - 1) * TILE_GAP) / columns, 0.5)
    tiles = enlarge(tiles, tile_width * DPI)
    pixels_per_inch = tiles.shape[2] / tile_width
    pixels = mosaic(tiles, columns=columns, gap=round(TILE_GAP * pixels_per_inch))
    height, width = np.divide(pixels.shape[:2], pixels_per_inch)
    page.put_picture(pixels, label, left=left, width=width, height=height)
    page.move_down(height)


def _draw_spectra(figure, columns, top):
    """A chart of filter spectra in each column, all on one scale; `top` in inches."""
    page_width, page_height = figure.get_size_inches()
    bottom = page_height - top - CHART_HEIGHT
    limit = max(np.nanmax(diagnosis.spectra, initial=0.01) for diagnosis, _ in columns)
    for diagnosis, left in columns:
        width = COLUMN_WIDTH - CHART_SIDES["left"] - CHART_SIDES["right"]
        axes = figure.add_axes(
            (
                (left + CHART_SIDES["left"]) / page_width,
                bottom / page_height,
                width / page_width,
                CHART_HEIGHT / page_height,
            )
        )
        _draw_spectrum(axes, diagnosis, 1.05 * limit)


def _draw_spectrum(axes, diagnosis, limit):
    spectra = np.asarray(diagnosis.spectra)
    spectra = spectra[~np.isnan(spectra).any(axis=1)]
    counts = np.bincount(band_of(diagnosis.band_shares), minlength=len(BANDS))
    for (band, (begin, end)), count, shade in zip(
        BANDS.items(), counts, ("0.93", "0.97", "0.93"), strict=True
    ):
        axes.axvspan(begin, end, color=shade, linewidth=0)
        label = f"{band} {count / max(counts.sum(), 1):.0%}"
        axes.text(
            (begin + end) / 2, 1.03 * limit, label, ha="center", va="bottom", fontsize=LABEL.size
        )
    axes.plot(diagnosis.frequencies, spectra.T, color="tab:blue", alpha=0.3, linewidth=0.5)
    if len(spectra):
        axes.plot(diagnosis.frequencies, spectra.mean(axis=0), color="black", linewidth=1.2)
    axes.set(xlim=(0, BANDS["high"][1]), ylim=(0, limit))
    axes.set_xticks([0, 0.1, 0.25, 0.5, 0.7])
    axes.set_xlabel("spatial frequency in cycles per pixel", fontsize=LABEL.size, labelpad=1)
    axes.set_ylabel("share of energy", fontsize=LABEL.size, labelpad=1)
    axes.tick_params(labelsize=LABEL.size, length=2, width=0.6, pad=1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_linewidth(0.6)


def band_of(band_shares):
    """For each filter with any energy, the band with most of it: int `(filters,)`."""
    band_shares = np.asarray(band_shares)
    return band_shares[~np.isnan(band_shares).any(axis=1)].argmax(axis=1)


def _check(diagnoses, num_features):
    if not diagnoses or num_features < 1:
        raise ValueError(
            "Give at least one diagnosis, and num_features of 1 or more. Received: "
            f"{counted(len(diagnoses), 'diagnosis', 'diagnoses')}, num_features={num_features}"
        )
    for diagnosis in diagnoses:
        shape = np.shape(diagnosis.kernels)
        if len(shape) != 4 or 0 in shape:
            raise ValueError(
                "Only filters of images can be shown: give kernels of shape (height, width, "
                f"channels, filters). Received: model {diagnosis.model!r} with kernels of shape "
                f"{shape}"
            )
