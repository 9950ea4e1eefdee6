"""First-layer filters as images, as in the paper's Figure 5."""

from typing import TYPE_CHECKING, Any

import numpy as np

from kerasvis.figures.contrast import signed_to_rgb
from kerasvis.figures.mosaic import mosaic, near_square
from kerasvis.figures.page import CAPTION, DPI, MARGIN, TITLE, Page
from kerasvis.figures.resampling import enlarge
from kerasvis.storage.counted import counted

if TYPE_CHECKING:
    from kerasvis.figures.figure import Figure


FILTER_SIZE = 0.32  # inches
FILTER_GAP = 0.03
CAPTIONS = {
    "shared": "Mid-grey: zero; full contrast: the largest absolute weight of all filters.",
    "each": "Mid-grey: zero; full contrast: the largest absolute weight of each filter.",
}


def filter_grid(
    kernels: Any,
    *,
    scale: str = "shared",
    filters_per_row: int | None = None,
    filter_size: float = FILTER_SIZE,
    title: str | None = None,
) -> "Figure":
    """The filters of a first layer as images on neutral grey.

    Filters are ordered by index, row by row. A shared scale shows whether a few filters dominate; a
    scale for each shows the patterns of the weak ones.

    Args:
        kernels: array `(height, width, channels, filters)`, the kernel of a `Conv2D`; 1 channel, or
            3 in RGB order (for a model that takes BGR, give `kernels[:, :, ::-1]`).
        scale: `"shared"`: full contrast is the largest absolute weight of all filters; `"each"`:
            that of each filter.
        filters_per_row: number of filters side by side; by default a square.
        filter_size: longer side of a filter in inches.
        title: text above the figure.

    Returns:
        A `matplotlib.figure.Figure`; a line below the filters states the scale.

    Raises:
        ValueError: if the kernels are not images, are NaN or infinite, or the scale is unknown.

    Reference:
        Zeiler & Fergus 2013, Figure 5 (Figure 6 in arXiv v3), (a) to (c).

    Example:
        >>> import kerasvis as kv
        >>> model = kv.convnets.ZFNet((64, 64, 3), classes=10, width=0.1, dense_units=32)
        >>> kv.figures.filter_grid(model.get_layer("conv1").kernel).savefig("conv1.png")
    """
    kernels = np.asarray(kernels)
    _check(kernels, scale, filters_per_row, filter_size)
    columns = filters_per_row or near_square(kernels.shape[-1])[1]
    filters = signed_to_rgb(np.moveaxis(kernels, -1, 0), percentile=100, shared=scale == "shared")
    tiles = enlarge(filters, filter_size * DPI)
    pixels_per_inch = max(tiles.shape[1:3]) / filter_size
    pixels = mosaic(tiles, columns=columns, gap=round(FILTER_GAP * pixels_per_inch))
    picture_height, picture_width = np.divide(pixels.shape[:2], pixels_per_inch)
    page = Page(picture_width + 2 * MARGIN)
    if title:
        page.write(title, TITLE)
    page.put_picture(pixels, "filters", left=MARGIN, width=picture_width, height=picture_height)
    page.move_down(picture_height + FILTER_GAP)
    page.write(CAPTIONS[scale], CAPTION)
    return page.figure()


def _check(kernels, scale, filters_per_row, filter_size):
    if kernels.ndim != 4 or 0 in kernels.shape or kernels.shape[2] not in (1, 3):
        raise ValueError(
            "Give kernels of shape (height, width, channels, filters) with 1 or 3 channels: choose "
            "some of the channels, as in kernels[:, :, [3, 2, 1]]. "
            f"Received: kernels of shape {kernels.shape}"
        )
    if scale not in CAPTIONS:
        raise ValueError(f"Give 'shared' or 'each'. Received: scale={scale!r}")
    if filter_size <= 0 or (filters_per_row is not None and filters_per_row < 1):
        raise ValueError(
            "Give filters_per_row of 1 or more and filter_size above 0. Received: "
            f"filters_per_row={filters_per_row}, filter_size={filter_size}"
        )
    broken = np.flatnonzero(~np.isfinite(kernels).all(axis=(0, 1, 2)))
    if len(broken):
        raise ValueError(
            "The kernels contain NaN or infinity: check whether the training diverged. "
            f"Received: {counted(len(broken), 'filter')} not finite, the first is {broken[0]}"
        )
