"""All pictures of one feature map in one small file: a sprite.

It consists of panels: the projections by each method, then the image patches; with other than 1 or
3 channels, a panel for each channel. The tiles of a panel are in row-major order, the strongest
activation first, without gaps; the page shows parts of the sprite. Pixels outside the image are
transparent.
"""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from kerasvis.figures.channels import num_pictures, pictures
from kerasvis.figures.contrast import signed_to_rgb
from kerasvis.figures.feature_tiles import has_patches
from kerasvis.figures.mosaic import mosaic, near_square
from kerasvis.figures.resampling import shrink

TILE_SIZE = 112  # pixels of a tile's longer side; smaller windows are not enlarged
LOSSLESS_BELOW = 40  # pixels; lossy compression would blur such small tiles
QUALITY = 80
LONGEST_SIDE = 16_383  # pixels of a WebP file


class SpriteLayout(NamedTuple):
    """Where the tiles of a sprite are.

    Attributes:
        rows: rows of tiles.
        columns: columns of tiles in a panel.
        tile_size: `(height, width)` in pixels.
        num_panels: number of panels side by side: one for each method and one for the image
            patches, or one for each channel of these.
    """

    rows: int
    columns: int
    tile_size: tuple[int, int]
    num_panels: int = 2

    @classmethod
    def of(cls, k, window_size, num_panels=2):
        """The layout for k windows of `(height, width)` pixels."""
        ratio = min(TILE_SIZE / max(window_size), 1)
        height, width = (max(round(length * ratio), 1) for length in window_size)
        return cls(*near_square(k), (height, width), num_panels)

    @classmethod
    def of_features(cls, features, channels=None):
        """The layout of a `FeatureVisualization` or `LayerEvolution`, for the chosen channels."""
        k, *window_size = features.projections.shape[1:4]
        values = (features.projections, features.patches)
        num_panels = sum(num_pictures(each.shape[-1], channels) for each in values)
        return cls.of(k, window_size, num_panels)

    @property
    def panel_size(self):
        """`(height, width)` of a panel in pixels."""
        return self.rows * self.tile_size[0], self.columns * self.tile_size[1]

    @property
    def size(self):
        """`(height, width)` of the sprite in pixels."""
        return self.panel_size[0], self.num_panels * self.panel_size[1]

    def check(self, layer):
        """Raises a ValueError if the sprite is larger than a WebP file can be."""
        if max(self.size) > LONGEST_SIDE:
            height, width = self.size
            raise ValueError(
                f"The pictures of a feature map of layer {layer!r} side by side would have "
                f"{width} × {height} pixels, more than {LONGEST_SIDE}: give a smaller k, fewer "
                f"methods, or one or three channels. Received: {self.num_panels} panels of "
                f"{self.rows} × {self.columns} tiles"
            )

    @property
    def is_pixelated(self):
        """Whether single pixels of the image should be visible."""
        return max(self.tile_size) < LOSSLESS_BELOW


class Panel(NamedTuple):
    """One panel of a sprite.

    Attributes:
        name: name of a method, or "projections" or "patches"; and the channel, if only one is
            shown.
        text: description of one of its pictures.
    """

    name: str
    text: str


def each_channel(panel, num_pictures):
    """A list of the panel, or of a panel for each channel if these are shown one by one."""
    if num_pictures == 1:
        return [panel]
    return [
        Panel(*(f"{text}, channel {channel}" for text in panel)) for channel in range(num_pictures)
    ]


def feature_sprite(by_method, number, channels=None):
    """The sprite of one feature map.

    Args:
        by_method: the `FeatureVisualization` of each method; or one `LayerEvolution`, whose epochs
            take the place of the strongest activations. Without image patches, their panels are
            transparent.
        number: which of their feature maps.
        channels: the channels to show, one or three; by default all, see
            `kerasvis.figures.channels.pictures`.

    Returns:
        uint8 `(height, width, 4)`, RGB and opacity, laid out as by `SpriteLayout`.
    """
    features = by_method[0]
    k, *window_size = features.projections.shape[1:4]
    columns = SpriteLayout.of(k, window_size).columns
    inside = _inside(features, number)
    cover = shrink(inside.astype("float32"), TILE_SIZE)
    opacity = np.rint(255 * cover)
    panels = []
    for each in by_method:
        for projections in pictures(each.projections[number], channels):
            projections = shrink(np.where(inside, projections, 0), TILE_SIZE)
            panels.append(_panel(signed_to_rgb(projections), opacity, columns))
    for patches in pictures(features.patches[number], channels):
        if has_patches(features):
            patches = shrink(np.where(inside, patches, 0), TILE_SIZE)
            patches = np.rint(patches / np.maximum(cover, 1e-6)).clip(0, 255) + np.zeros(3)
            panels.append(_panel(patches, opacity, columns))
        else:
            panels.append(np.zeros_like(panels[0]))
    return np.concatenate(panels, axis=1)


def _panel(rgb, opacity, columns):
    tiles = np.concatenate([rgb, opacity], axis=-1).astype("uint8")
    return mosaic(tiles, columns=columns, gap=0, background=0)


def _inside(features, number):
    """Which pixels of the windows lie inside an image: bool `(k, height, width, 1)`."""
    inside = np.zeros((*features.projections.shape[1:4], 1), bool)
    present = features.image_indices[number] >= 0
    for window, (top, left, bottom, right) in zip(inside, features.boxes[number], strict=True):
        window[top:bottom, left:right] = True
    return inside & present[:, None, None, None]


def filter_pixels(filters, channels=None):
    """Pictures of filters whose input is the image.

    Args:
        filters: `(height, width, channels, filters)`; 3 channels in RGB order.
        channels: the channels to show, see `feature_sprite`.

    Returns:
        uint8 `(filters, height, width, 3)`: grey is zero, and the largest weight of each filter has
        full contrast. Channels shown one by one lie side by side on white, in a square.
    """
    filters = np.moveaxis(np.asarray(filters), -1, 0)
    return np.stack(
        [
            mosaic(signed_to_rgb(np.stack(pictures(each, channels)), percentile=100, shared=True))
            for each in filters
        ]
    )


def webp(pixels, lossless=False):
    """Pixels as the bytes of a WebP file; the opacity is left out if all pixels are opaque."""
    if pixels.shape[-1] == 4 and (pixels[..., 3] == 255).all():
        pixels = pixels[..., :3]
    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(file, "WEBP", lossless=lossless, quality=QUALITY, method=4)
    return file.getvalue()
