"""Joins tiles in one array."""

import math
from typing import Any

import numpy as np


def near_square(num_tiles):
    """`(rows, columns)` of a grid for `num_tiles`: the smallest square, without empty rows."""
    columns = math.isqrt(num_tiles - 1) + 1
    return -(-num_tiles // columns), columns


def mosaic(
    tiles: Any, *, columns: int | None = None, gap: int = 1, background: float = 255
) -> np.ndarray:
    """Tiles of one size, row by row from the top left, with gaps between them.

    Args:
        tiles: array `(tiles, height, width, channels)`, or a sequence of such tiles, in which None
            or an array of size zero is an absent tile that stays blank.
        columns: number of tiles in a row; by default the smallest square that fits all tiles.
        gap: pixels between neighbours.
        background: value of gaps, absent tiles and the rest of the last row.

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
            "Give columns of 1 or more and gap of 0 or more. "
            f"Received: columns={columns}, gap={gap}"
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
            f"Give at least one tile. Received: {len(tiles)} tiles of which none is present"
        )
    if len(shapes) > 1 or len(min(shapes)) != 3:
        raise ValueError(
            "Give tiles of one shape (height, width, channels): resize them first. "
            f"Received: tiles of shapes {sorted(shapes)}"
        )
    return shapes.pop()
