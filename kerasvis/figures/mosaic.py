"""Tiles side by side in one array."""

import math
from typing import Any

import numpy as np


def near_square(num_tiles):
    """`(rows, columns)` of a grid for that many tiles: the smallest square, without empty rows."""
    columns = math.isqrt(num_tiles - 1) + 1
    return -(-num_tiles // columns), columns


def mosaic(
    tiles: Any, *, columns: int | None = None, gap: int = 1, background: float = 255
) -> np.ndarray:
    """Tiles of one size, row by row from the top left, with gaps between them.

    Args:
        tiles: array `(tiles, height, width, channels)`, or a sequence of such tiles in which None
            or an array of size zero is an absent tile, whose place stays blank.
        columns: number of tiles in a row; by default the smallest square that holds all tiles.
        gap: pixels between neighbours.
        background: value of gaps, absent tiles and the places left in the last row.

    Returns:
        Array of the tiles' dtype and of shape
        `(rows * (height + gap) - gap, columns * (width + gap) - gap, channels)`, where
        `rows = ceil(tiles / columns)`.

    Raises:
        ValueError: if there are no tiles, none is present, or their shapes differ.

    Example:
        >>> import numpy as np
        >>> import kerasvis as kv
        >>> kv.figures.mosaic(np.zeros((9, 7, 5, 3), "uint8"), gap=2).shape
        (25, 19, 3)
    """
    tiles = [None if tile is None or not np.size(tile) else np.asarray(tile) for tile in tiles]
    height, width, channels = _tile_shape(tiles)
    if columns is None:
        columns = near_square(len(tiles))[1]
    if columns < 1 or gap < 0:
        raise ValueError(
            f"mosaic got columns={columns}, gap={gap}, expected columns >= 1, gap >= 0."
        )
    rows = -(-len(tiles) // columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, channels)
    whole = np.full(shape, background, next(t.dtype for t in tiles if t is not None))
    for number, tile in enumerate(tiles):
        if tile is not None:
            row, column = divmod(number, columns)
            top, left = row * (height + gap), column * (width + gap)
            whole[top : top + height, left : left + width] = tile
    return whole


def _tile_shape(tiles):
    shapes = {tile.shape for tile in tiles if tile is not None}
    if not shapes:
        raise ValueError(
            f"mosaic got {len(tiles)} tiles of which none is present; give at least one."
        )
    if len(shapes) > 1 or len(min(shapes)) != 3:
        raise ValueError(
            f"mosaic got tiles of shapes {sorted(shapes)}, expected one shape (height, width, "
            "channels); bring them to one size first."
        )
    return shapes.pop()
