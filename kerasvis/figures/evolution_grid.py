"""Figure 4 of the paper: what feature maps respond to, from the first epochs to the last."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kerasvis.figures.channels import channel_by_channel
from kerasvis.figures.contrast import CONTRAST_RULE
from kerasvis.figures.cut_windows import cut_windows
from kerasvis.figures.feature_tiles import check_layer, feature_mosaics, hangs_over
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
    from kerasvis.analyses.evolution.evolution_result import Evolution
    from kerasvis.figures.figure import Figure


# In inches; two blocks of eight tiles side by side fill the width of a journal page, 7.2.
TILE_SIZE = 0.38
TILE_GAP, MAP_GAP, BLOCK_GAP, HEADING_GAP = 0.02, 0.02, 0.12, 0.02
PATCH_GAP = 0.06  # before the image patch at the end of a row
MARK_SIZE = (0.02, 0.09)  # width, height
MARK_COLOUR = (230, 85, 13)

GRID_CAPTION = (
    "Rows: feature maps with their index. Columns: projection of the strongest activation over all "
    f"images at the end of that epoch, {CONTRAST_RULE}."
)
PATCH_CAPTION = "Last column: image patch that caused the last projection."
JUMP_CAPTION = "Orange tick between two columns: the strongest image changes."
OUTSIDE_CAPTION = "Light grey: outside the image."


def evolution_grid(
    evolution: "Evolution",
    *,
    layers: Sequence[str] | None = None,
    num_features: int | None = None,
    blocks_per_row: int = 2,
    tile_size: float = TILE_SIZE,
    channels: Sequence[int] | None = None,
    with_patches: bool = False,
    title: str | None = None,
    caption: str | None = None,
) -> "Figure":
    """The evolution of feature maps: a block per layer, a row per feature map, a column per epoch.

    Projections are shown on neutral grey, each scaled separately by `signed_to_rgb` at its print
    size. If another image becomes the strongest between two epochs, a tick marks the change between
    their columns.

    All sizes are print sizes; two blocks of eight epochs fill the width of a journal page.

    Args:
        evolution: an `Evolution`. Fields read: `epochs` `(epochs,)` and `features`, `{layer:
            LayerEvolution}`, with `feature_indices` `(features,)`, `image_indices` `(features,
            epochs)`, `projections` `(features, epochs, height, width, channels)`, signed, `patches`
            uint8 of the same shape, or of 0 × 0 pixels if they were left out, and `boxes`
            `(features, epochs, 4)`.
        layers: names of the layers to show, in this order; all by default.
        num_features: how many of the first feature maps of each layer to show; all by default.
        blocks_per_row: number of layers side by side.
        tile_size: longer side of a projection in inches.
        channels: numbers of the channels to show, one or three; by default all: 1 as grey, 3 as
            RGB, others one by one, see `channel_by_channel`.
        with_patches: whether to show the image patch of the last epoch in a last column.
        title: text above the figure.
        caption: text below the figure; by default a description with the contrast rule, "" for
            none.

    Returns:
        A `matplotlib.figure.Figure`; `savefig(filepath)` writes it at 300 dots per inch.

    Raises:
        ValueError: if there is nothing to show, shapes do not fit, or a projection contains NaN or
            infinity.

    Reference:
        Zeiler & Fergus 2013, Figure 4.

    Example:
        >>> import kerasvis as kv
        >>> images = kv.data.PlantedObjects(8)[:]
        >>> models = [kv.convnets.ZFNet((64, 64, 3), 8, width=0.1, dense_units=8) for _ in range(2)]
        >>> evolution = kv.analyses.evolution_of_models(models, ["conv1"], images, epochs=[1, 2])
        >>> kv.figures.evolution_grid(evolution, num_features=2).savefig("evolution.png")
    """
    blocks = [
        Block(evolution, name, num_features, tile_size, channels, with_patches)
        for name in (evolution.features if layers is None else layers)
    ]
    _check(blocks, blocks_per_row, tile_size)
    rows = [blocks[i : i + blocks_per_row] for i in range(0, len(blocks), blocks_per_row)]
    pitch = max(block.width for block in blocks) + BLOCK_GAP
    page = Page(2 * MARGIN + len(rows[0]) * pitch - BLOCK_GAP)
    if title:
        page.write(title, TITLE)
        page.move_down(HEADING_GAP)
    for row in rows:
        begin, ends = page.position, []
        for number, block in enumerate(row):
            page.position = begin
            block.put(page, MARGIN + number * pitch)
            ends.append(page.position)
        page.position = max(ends) + BLOCK_GAP
    page.write(_caption(blocks, with_patches) if caption is None else caption, CAPTION)
    return page.figure()


class Block:
    """The rows of one layer.

    Attributes:
        width: width in inches.
    """

    def __init__(self, evolution, name, num_features, tile_size, channels, with_patches):
        if name not in evolution.features:
            raise ValueError(
                f"There is no layer {name!r} in the evolution: choose among "
                f"{', '.join(evolution.features)}. Received: layers including {name!r}"
            )
        self.layer = channel_by_channel(evolution.features[name], channels)
        check_layer(self.layer, with_patches)
        self.layer = cut_windows(self.layer)
        self.epochs = list(map(str, evolution.epochs))
        if self.layer.projections.shape[1] != len(self.epochs):
            raise ValueError(
                f"Give projections of layer {name!r} for each of the {len(self.epochs)} epochs. "
                f"Received: shape {self.layer.projections.shape}"
            )
        self.features = [str(index) for index in self.layer.feature_indices[:num_features]]
        self.with_patches = with_patches
        window = np.array(self.layer.projections.shape[2:4])
        self.tile_height, self.tile_width = window * (tile_size / window.max())
        self.label_width = max(text_width(text, LABEL) for text in [*self.features, "epoch"])
        self.width = max(self._tiles_width(), self._heading_width())

    @property
    def jumps(self):
        """bool `(features, epochs - 1)`: whether the strongest image changes after each epoch."""
        images = self.layer.image_indices[: len(self.features)]
        return images[:, 1:] != images[:, :-1]

    def put(self, page, left):
        """Puts the block at the current position, and moves below it."""
        page.put_text(self.layer.layer, HEADING, left=left)
        beside = left + self._beside_heading()
        page.put_text(self._window(), BESIDE_HEADING, left=beside, beside=HEADING)
        page.move_down(HEADING.line_height + HEADING_GAP)
        self._put_epochs(page, left)
        for number in range(len(self.features)):
            self._put_row(page, left, number)
            page.move_down(self.tile_height + MAP_GAP)
        page.move_down(-MAP_GAP)

    def _put_epochs(self, page, left):
        page.put_text("epoch", LABEL, left=left)
        for number, epoch in enumerate(self.epochs):
            indent = (self.tile_width - text_width(epoch, LABEL)) / 2
            page.put_text(epoch, LABEL, left=self._tile_left(left, number) + indent)
        page.move_down(LABEL.line_height)

    def _put_row(self, page, left, number):
        """The index of a feature map, its projections, and ticks where the image changes."""
        num_epochs, name = len(self.epochs), f"{self.layer.layer} {self.features[number]}"
        width = num_epochs * (self.tile_width + TILE_GAP) - TILE_GAP
        rows = feature_mosaics(
            self.layer, number, size=width * DPI, gap=TILE_GAP * DPI, columns=num_epochs
        )
        top, height = page.position, self.tile_height
        first = self._tile_left(left, 0)
        page.put_picture(rows["projections"], name, left=first, width=width, height=height)
        if self.with_patches:
            tile = _last_tile(rows["patches"], num_epochs, width, self.tile_width)
            place = first + width + PATCH_GAP
            page.put_picture(
                tile, f"{name} patch", left=place, width=self.tile_width, height=height
            )
        page.position = top + (height - LABEL.line_height) / 2
        indent = self.label_width - text_width(self.features[number], LABEL)
        page.put_text(self.features[number], LABEL, left=left + indent)
        page.position = top + (height - MARK_SIZE[1]) / 2
        for column in np.flatnonzero(self.jumps[number]) + 1:
            middle = self._tile_left(left, column) - TILE_GAP / 2
            self._put_mark(page, f"{name} jump {self.epochs[column]}", middle)
        page.position = top

    def _put_mark(self, page, label, middle):
        width, height = MARK_SIZE
        pixels = np.full((1, 1, 3), MARK_COLOUR, "uint8")
        page.put_picture(pixels, label, left=middle - width / 2, width=width, height=height)

    def _tile_left(self, left, column):
        return left + self.label_width + 0.04 + column * (self.tile_width + TILE_GAP)

    def _tiles_width(self):
        patch = PATCH_GAP + self.tile_width if self.with_patches else 0
        return self._tile_left(0, len(self.epochs)) - TILE_GAP + patch

    def _beside_heading(self):
        return text_width(self.layer.layer, HEADING) + 0.08

    def _heading_width(self):
        return self._beside_heading() + text_width(self._window(), BESIDE_HEADING)

    def _window(self):
        height, width = self.layer.projections.shape[2:4]
        return f"receptive field {height} × {width} pixels"


def _last_tile(row, num_tiles, row_width, tile_width):
    """The last tile of a row of tiles."""
    return row[:, -round(row.shape[1] * tile_width / row_width) :]


def _check(blocks, blocks_per_row, tile_size):
    if not blocks:
        raise ValueError("Give at least one layer. Received: layers=[]")
    if blocks_per_row < 1 or tile_size <= 0:
        raise ValueError(
            "Give blocks_per_row of 1 or more and tile_size above 0. Received: "
            f"blocks_per_row={blocks_per_row}, tile_size={tile_size}"
        )


def _caption(blocks, with_patches):
    sentences = [GRID_CAPTION]
    if with_patches:
        sentences.append(PATCH_CAPTION)
    if any(block.jumps.any() for block in blocks):
        sentences.append(JUMP_CAPTION)
    if any(hangs_over(block.layer) for block in blocks):
        sentences.append(OUTSIDE_CAPTION)
    return " ".join(sentences)
