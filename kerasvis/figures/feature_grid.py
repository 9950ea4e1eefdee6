"""Figure 2 of the paper: feature maps as projections with the image patches that caused them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasvis.figures.channels import channel_by_channel
from kerasvis.figures.contrast import CONTRAST_RULE
from kerasvis.figures.cut_windows import cut_windows
from kerasvis.figures.feature_tiles import check_layer, feature_mosaics, hangs_over
from kerasvis.figures.mosaic import near_square
from kerasvis.figures.page import (
    BESIDE_HEADING,
    CAPTION,
    DPI,
    HEADING,
    LABEL,
    MARGIN,
    TITLE,
    Page,
    text_width,
)

if TYPE_CHECKING:
    from kerasvis.figures.figure import Figure


# In inches. Four pairs of the smallest mosaics are as wide as the page of a journal; a pair of the
# largest, nine tiles of a large receptive field, is as wide as a column.
PAGE_WIDTH, COLUMN_WIDTH = 7.2, 3.5
SMALLEST_MOSAIC = 0.82
PIXELS_PER_INCH = 150  # of a receptive field between the smallest and the largest mosaic
TILE_GAP, PAIR_GAP, MAP_GAP, ROW_GAP, LAYER_GAP = 0.012, 0.04, 0.13, 0.06, 0.12

PAIR_CAPTION = (
    "Left of each pair: projections of the strongest activations, the strongest first, "
    f"{CONTRAST_RULE}. Right: image patches that caused them."
)
OUTSIDE_CAPTION = "Light grey: outside the image."


def feature_grid(
    features: Any,
    *,
    channels: Sequence[int] | None = None,
    maps_per_row: int | None = None,
    mosaic_size: float | None = None,
    title: str | None = None,
    caption: str | None = None,
) -> "Figure":
    """Feature maps as mosaics of projections and of image patches, in blocks.

    There is a block for each layer, or for each method of a layer.

    Every feature map is a pair below its index: its projections on the left, the patches on the
    right, both row by row with the strongest activation first (3×3 for nine). Projections are shown
    on neutral grey, each scaled separately by `signed_to_rgb` at its print size. Windows are cut to
    what lies inside the images; pixels that are still outside are light grey. If there are fewer
    images than tiles, the remaining tiles are blank.

    All sizes are print sizes: mosaics and text have the same size on a figure of 4 or of 96 feature
    maps, and only the figure grows. By default the mosaics of a layer suit its receptive field: 150
    pixels to the inch, at least 0.82 inches, and at most so large that a pair fits into a column of
    3.5 inches. A row contains as many feature maps as fit on a page of 7.2 inches.

    Args:
        features: one `FeatureVisualization`, or a list or dict of them, one per layer or method; or
            a dict of such dicts, as `visualize_features` returns for several layers and methods.
            Fields read: `method`, `layer`, `feature_indices` `(features,)`, `image_indices`
            `(features, k)` (-1: none), `projections` `(features, k, height, width, channels)`,
            signed, `patches` uint8 of the same shape, and `boxes` `(features, k, 4)`, the `(top,
            left, bottom, right)` of the part inside the image.
        channels: numbers of the channels to show, one or three; by default all: 1 as grey, 3 as
            RGB, others one by one, see `channel_by_channel`.
        maps_per_row: number of feature maps side by side; by default as many as fit on the page.
        mosaic_size: longer side of a mosaic in inches; by default from the receptive field.
        title: text above the figure.
        caption: text below the figure; by default a description with the contrast rule, "" for
            none.

    Returns:
        A `matplotlib.figure.Figure`; `savefig(filepath)` writes it at 300 dots per inch.

    Raises:
        ValueError: if there is nothing to show, shapes do not fit, a box exceeds its window, or a
            projection contains NaN or infinity.

    Reference:
        Zeiler & Fergus 2013, Figure 2.

    Example:
        >>> import kerasvis as kv
        >>> from kerasvis.data.demo_photographs import DemoPhotographs
        >>> photographs = DemoPhotographs((64, 80))[:12]
        >>> model = kv.convnets.ZFNet((64, 80, 3), classes=10, width=0.1, dense_units=32)
        >>> features = kv.visualize_features(model, "conv2", photographs, [0, 5], k=4, verbose=0)
        >>> kv.figures.feature_grid(features).savefig("conv2.png")
    """
    layers = [channel_by_channel(layer, channels) for layer in _blocks(features)]
    _check(layers, maps_per_row, mosaic_size)
    is_named = len({_method(layer) for layer in layers} | {"deconvnet"}) > 1
    headings = [(layer.layer, _beside(layer, is_named)) for layer in layers]
    layers = list(map(cut_windows, layers))
    sizes = [mosaic_size or _mosaic_size(layer) for layer in layers]
    rows = [maps_per_row or _maps_that_fit(size) for size in sizes]
    page = Page(_page_width(layers, rows, sizes, headings))
    if title:
        page.write(title, TITLE)
        page.move_down(ROW_GAP)
    for number, (layer, row, size) in enumerate(zip(layers, rows, sizes, strict=True)):
        page.move_down(LAYER_GAP if number else 0)
        _put_heading(page, *headings[number])
        _put_maps(page, layer, row, size)
    page.write(_caption(layers) if caption is None else caption, CAPTION)
    return page.figure()


def _blocks(features):
    """The `FeatureVisualization`s in order, from any form of the argument."""
    if hasattr(features, "projections"):
        return [features]
    if not isinstance(features, dict):
        return list(features)
    return [block for each in features.values() for block in _blocks_of_layer(each)]


def _blocks_of_layer(features):
    return features.values() if isinstance(features, dict) else [features]


def _check(layers, maps_per_row, mosaic_size):
    if not layers:
        raise ValueError("Give one FeatureVisualization or a list of them. Received: features=[]")
    is_wrong = maps_per_row is not None and maps_per_row < 1
    if is_wrong or (mosaic_size is not None and mosaic_size <= 0):
        raise ValueError(
            "Give maps_per_row of 1 or more and mosaic_size above 0. Received: "
            f"maps_per_row={maps_per_row}, mosaic_size={mosaic_size}"
        )
    for layer in layers:
        check_layer(layer)


def _pitch(mosaic_size):
    """Inches from one feature map to its right neighbour."""
    return 2 * mosaic_size + PAIR_GAP + MAP_GAP


def _mosaic_size(layer):
    """Longer side of a layer's mosaics, from its receptive field."""
    k, height, width = layer.projections.shape[1:4]
    wanted = max(near_square(k)) * max(height, width) / PIXELS_PER_INCH
    largest = (COLUMN_WIDTH - PAIR_GAP - 2 * MARGIN) / 2
    return min(max(wanted, SMALLEST_MOSAIC), largest)


def _maps_that_fit(mosaic_size):
    """How many feature maps fit on a page side by side."""
    return max(int((PAGE_WIDTH - 2 * MARGIN + MAP_GAP) / _pitch(mosaic_size) + 0.01), 1)


def _page_width(layers, rows, sizes, headings):
    maps = [
        min(row, len(layer.feature_indices)) * _pitch(size) - MAP_GAP
        for layer, row, size in zip(layers, rows, sizes, strict=True)
    ]
    texts = [
        _beside_heading(name) + text_width(beside, BESIDE_HEADING) for name, beside in headings
    ]
    return 2 * MARGIN + max(*maps, *texts)


def _beside_heading(name):
    return text_width(name, HEADING) + 0.08


def _method(layer):
    return getattr(layer, "method", "deconvnet")


def _beside(layer, is_named):
    """What is written beside the layer's name: its receptive field, and the method."""
    height, width = layer.projections.shape[2:4]
    method = f", method {_method(layer).replace('_', ' ')}" if is_named else ""
    return f"receptive field {height} × {width} pixels{method}"


def _put_heading(page, name, beside):
    page.put_text(name, HEADING)
    left = MARGIN + _beside_heading(name)
    page.put_text(beside, BESIDE_HEADING, left=left, beside=HEADING)
    page.move_down(HEADING.line_height)


def _label(layer, number):
    """What is written above a feature map; also that no image makes it active."""
    activations = getattr(layer, "activations", None)
    is_dead = activations is not None and np.max(activations[number]) <= 0
    return f"feature {layer.feature_indices[number]}{', never active' if is_dead else ''}"


def _put_maps(page, layer, maps_per_row, mosaic_size):
    """The pairs of one layer, row by row, each below its index."""
    num_maps = len(layer.feature_indices)
    for first in range(0, num_maps, maps_per_row):
        row = range(first, min(first + maps_per_row, num_maps))
        lefts = [MARGIN + place * _pitch(mosaic_size) for place in range(len(row))]
        for number, left in zip(row, lefts, strict=True):
            page.put_text(_label(layer, number), LABEL, left=left)
        page.move_down(LABEL.line_height)
        for number, left in zip(row, lefts, strict=True):
            height = _put_pair(page, layer, number, mosaic_size, left)
        page.move_down(height + ROW_GAP)


def _put_pair(page, layer, number, mosaic_size, left):
    """Puts projections and patches of one feature map; returns their height in inches."""
    mosaics = feature_mosaics(layer, number, size=mosaic_size * DPI, gap=TILE_GAP * DPI)
    for kind, pixels in mosaics.items():
        height, width = np.multiply(pixels.shape[:2], mosaic_size / max(pixels.shape[:2]))
        label = f"{layer.layer} {layer.feature_indices[number]} {kind}"
        page.put_picture(pixels, label, left=left, width=width, height=height)
        left += width + PAIR_GAP
    return height


def _caption(layers):
    sentences = [PAIR_CAPTION]
    if any(map(hangs_over, layers)):
        sentences.append(OUTSIDE_CAPTION)
    ranges = sorted({getattr(layer, "pixel_range", "") for layer in layers} - {""})
    if ranges:
        sentences.append(f"Images: {' and '.join(ranges)}.")
    return " ".join(sentences)
