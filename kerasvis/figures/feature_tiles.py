"""What a figure shows of one feature map: its projections and its image patches as RGB mosaics."""

import numpy as np

from kerasvis.figures.contrast import signed_to_rgb
from kerasvis.figures.mosaic import mosaic, near_square
from kerasvis.figures.resampling import enlarge, shrink

ABSENT, OUTSIDE = 255, 232  # white like the page; light grey
FIELDS = "layer feature_indices image_indices projections patches boxes".split()


def feature_mosaics(layer, number, *, size, gap, columns=None):
    """The mosaics of one feature map, in as many pixels as a print can show.

    Small fields are enlarged by whole numbers. Large ones are averaged, projections before they are
    given contrast: their signs alternate from pixel to pixel, so afterwards they would fade into
    grey.

    Args:
        layer: a checked `FeatureVisualization`.
        number: which of its feature maps.
        size: longer side of the mosaic in printed dots.
        gap: dots between neighbouring tiles.
        columns: number of tiles in a row; by default the smallest square that holds all tiles.

    Returns:
        `{"projections": pixels, "patches": pixels}`, uint8 arrays of one shape
        `(height, width, 3)`; no patches where they were left out.
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
    cover = shrink(inside.astype("float32"), tile_size)
    ground = np.where(present, OUTSIDE, ABSENT) * (1 - cover)
    projections = shrink(np.where(inside, layer.projections[number], 0), tile_size)
    shown = {"projections": signed_to_rgb(projections) * cover}
    if has_patches(layer):
        shown["patches"] = shrink(np.where(inside, layer.patches[number], 0), tile_size)
    rgb = np.zeros(3)  # spreads the one channel of grey images
    return {kind: np.rint(tiles + ground + rgb).astype("uint8") for kind, tiles in shown.items()}


def _inside(boxes, size):
    """Which pixels of the windows lie inside the image: bool `(k, height, width, 1)`."""
    inside = np.zeros((len(boxes), *size, 1), bool)
    for window, (top, left, bottom, right) in zip(inside, boxes, strict=True):
        window[top:bottom, left:right] = True
    return inside


def has_patches(layer):
    """Whether the image patches are there; a snapshot can be without."""
    return 0 not in layer.patches.shape[2:4]


def hangs_over(layer):
    """Whether a window of the layer hangs over the border of its image."""
    whole = (0, 0, *layer.projections.shape[2:4])
    return bool(np.any(layer.boxes[layer.image_indices >= 0] != whole))


def check_layer(layer, with_patches=True):
    """Raises a ValueError unless `layer` can be shown, with its image patches or without."""
    missing = [field for field in FIELDS if not hasattr(layer, field)]
    if missing:
        raise ValueError(
            f"feature_grid got a {type(layer).__name__} without {', '.join(missing)}, expected "
            "what visualize_features returns."
        )
    _check_shapes(layer)
    _check_values(layer)
    if with_patches and not has_patches(layer):
        raise ValueError(
            f"Layer {layer.layer!r} came without its image patches, which were left out: show it "
            "without patches, or take it again with them."
        )


def _check_shapes(layer):
    shape, channels = layer.projections.shape, layer.patches.shape[-1:]
    if len(shape) != 5 or 0 in shape or shape[-1] not in (1, 3):
        raise ValueError(
            f"Layer {layer.layer!r}: projections have shape {shape}, expected at least one of each "
            "in (features, k, height, width, channels), and 1 or 3 channels."
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
                f"Layer {layer.layer!r}: {field} have shape {actual}, expected {wanted} beside "
                f"projections of shape {shape}."
            )


def _check_values(layer):
    if layer.patches.dtype != np.uint8:
        raise ValueError(
            f"Layer {layer.layer!r}: patches are {layer.patches.dtype}, expected uint8 pixels."
        )
    broken = np.argwhere(~np.isfinite(layer.projections).all(axis=(2, 3, 4)))
    if len(broken):
        feature, place = broken[0]
        raise ValueError(
            f"Layer {layer.layer!r}: projection {place} of feature "
            f"{layer.feature_indices[feature]} holds NaN or infinity; look for NaN or overflow in "
            "the model and its images."
        )
    height, width = layer.projections.shape[2:4]
    top, left, bottom, right = np.moveaxis(layer.boxes, -1, 0)
    fits = (top >= 0) & (top <= bottom) & (bottom <= height)
    fits &= (left >= 0) & (left <= right) & (right <= width)
    wrong = ~fits & (layer.image_indices >= 0)
    if wrong.any():
        box = layer.boxes[wrong][0].tolist()
        raise ValueError(
            f"Layer {layer.layer!r}: box {box} does not fit its window of {height} × {width} "
            "pixels; boxes are (top, left, bottom, right) relative to the window."
        )
