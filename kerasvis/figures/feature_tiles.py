"""RGB mosaics of the projections and the image patches of one feature map."""

import numpy as np

from kerasvis.figures.contrast import signed_to_rgb
from kerasvis.figures.mosaic import mosaic, near_square
from kerasvis.figures.resampling import enlarge, shrink

ABSENT, OUTSIDE = 255, 232  # white like the page; light grey
FIELDS = "layer feature_indices image_indices projections patches boxes".split()


def feature_mosaics(layer, number, *, size, gap, columns=None):
    """The mosaics of one feature map, at print resolution.

    Small windows are enlarged by whole numbers. Large ones are averaged. Projections are averaged
    before they are scaled: their signs alternate from pixel to pixel, so averaging their colours
    would fade them to grey.

    Args:
        layer: a checked `FeatureVisualization`.
        number: which of its feature maps.
        size: longer side of the mosaic in printed dots.
        gap: dots between neighbouring tiles.
        columns: number of tiles in a row; by default the smallest square that fits all tiles.

    Returns:
        `{"projections": pixels, "patches": pixels}`, uint8 arrays of one shape
        `(height, width, 3)`; without patches if they were left out.
    """
    k, height, width = layer.projections.shape[1:4]
    columns = columns or near_square(k)[1]
    rows = -(-k // columns)
    dots_per_pixel = size / max(rows * height, columns * width)
    tile_size = max(round(max(height, width) * dots_per_pixel), 1)
    mosaics = {}
    for kind, tiles in _tiles(layer, number, tile_size).items():
        tiles = enlarge(tiles, tile_size)
        pixels = max(round(gap * max(tiles.shape[1:3]) / tile_size), 1)
        mosaics[kind] = mosaic(tiles, columns=columns, gap=pixels, background=ABSENT)
    return mosaics


def _tiles(layer, number, tile_size):
    """RGB tiles of at most `tile_size`, light grey outside the image, white where absent."""
    present = layer.image_indices[number][:, None, None, None] >= 0
    inside = _inside(layer.boxes[number], layer.projections.shape[2:4]) & present
    share_inside = shrink(inside.astype("float32"), tile_size)
    ground = np.where(present, OUTSIDE, ABSENT) * (1 - share_inside)
    projections = shrink(np.where(inside, layer.projections[number], 0), tile_size)
    shown = {"projections": signed_to_rgb(projections) * share_inside}
    if has_patches(layer):
        shown["patches"] = shrink(np.where(inside, layer.patches[number], 0), tile_size)
    rgb = np.zeros(3)  # broadcasts the channel of grey images
    return {kind: np.rint(tiles + ground + rgb).astype("uint8") for kind, tiles in shown.items()}


def _inside(boxes, size):
    """Which pixels of the windows lie inside the image: bool `(k, height, width, 1)`."""
    inside = np.zeros((len(boxes), *size, 1), bool)
    for window, (top, left, bottom, right) in zip(inside, boxes, strict=True):
        window[top:bottom, left:right] = True
    return inside


def has_patches(layer):
    """Whether the layer has image patches; snapshots may lack them."""
    return 0 not in layer.patches.shape[2:4]


def hangs_over(layer):
    """Whether a window of the layer extends beyond the border of its image."""
    whole = (0, 0, *layer.projections.shape[2:4])
    return bool(np.any(layer.boxes[layer.image_indices >= 0] != whole))


def check_layer(layer, with_patches=True):
    """Raises a ValueError unless `layer` can be shown, with or without its image patches."""
    missing = [field for field in FIELDS if not hasattr(layer, field)]
    if missing:
        raise ValueError(
            "Give the result of visualize_features. Received: a "
            f"{type(layer).__name__} without {', '.join(missing)}"
        )
    _check_shapes(layer)
    _check_values(layer)
    if with_patches and not has_patches(layer):
        raise ValueError(
            f"Layer {layer.layer!r} has no image patches, as they were left out: show it without "
            "patches, or compute it again with them. Received: patches of shape "
            f"{layer.patches.shape}"
        )


def _check_shapes(layer):
    shape, channels = layer.projections.shape, layer.patches.shape[-1:]
    if len(shape) != 5 or 0 in shape or shape[-1] not in (1, 3):
        raise ValueError(
            f"Give projections of layer {layer.layer!r} of shape (features, k, height, width, "
            "channels), with at least one of each and 1 or 3 channels. "
            f"Received: projections of shape {shape}"
        )
    expected = {
        "feature_indices": shape[:1],
        "image_indices": shape[:2],
        "patches": (
            *shape[:2],
            *(shape[2:4] if has_patches(layer) else (0, 0)),
            *(channels if channels in [(1,), (3,)] else shape[4:]),
        ),
        "boxes": (*shape[:2], 4),
    }
    for field, wanted in expected.items():
        actual = np.shape(getattr(layer, field))
        if actual != wanted:
            raise ValueError(
                f"Give {field} of layer {layer.layer!r} of shape {wanted} with projections of "
                f"shape {shape}. Received: {field} of shape {actual}"
            )


def _check_values(layer):
    if layer.patches.dtype != np.uint8:
        raise ValueError(
            f"Give patches of layer {layer.layer!r} as uint8 pixels. "
            f"Received: patches of dtype {layer.patches.dtype}"
        )
    broken = np.argwhere(~np.isfinite(layer.projections).all(axis=(2, 3, 4)))
    if len(broken):
        feature, number = broken[0]
        raise ValueError(
            f"A projection of layer {layer.layer!r} contains NaN or infinity: look for NaN or "
            f"overflow in the model and its images. Received: projection {number} of feature "
            f"{layer.feature_indices[feature]}"
        )
    height, width = layer.projections.shape[2:4]
    top, left, bottom, right = np.moveaxis(layer.boxes, -1, 0)
    fits = (top >= 0) & (top <= bottom) & (bottom <= height)
    fits &= (left >= 0) & (left <= right) & (right <= width)
    wrong = ~fits & (layer.image_indices >= 0)
    if wrong.any():
        box = layer.boxes[wrong][0].tolist()
        raise ValueError(
            f"Boxes of layer {layer.layer!r} must be (top, left, bottom, right) inside their "
            f"window of {height} × {width} pixels. Received: box {box}"
        )
