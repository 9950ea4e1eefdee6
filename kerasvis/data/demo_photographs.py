"""Freely licensed photographs bundled with Python packages, as crops at several scales.

Nothing is downloaded. From scikit-image: astronaut, hubble_deep_field (NASA, public domain),
rocket (SpaceX, public domain), coins (Brooklyn Museum, no known copyright restrictions), and under
CC0 brick, camera (Lav Varshney), chelsea (Stefan van der Walt), coffee (Rachel Michetti), grass
(Linolafett) and gravel. From scikit-learn, under CC BY 2.0: china (danielbuechele) and flower
(vultilion).
"""

import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from kerasvis.data.photographs import standardize_channels, with_channels
from kerasvis.data.preprocessing import Preprocessing

FROM_SKIMAGE = """
    astronaut brick camera chelsea coffee coins grass gravel hubble_deep_field rocket
""".split()
NUM_WINDOWS_ACROSS = (1, 2, 3, 4, 5, 6, 8, 10)
MAX_ENLARGEMENT = 2


class Crop(NamedTuple):
    """A window of a photograph; `box` is its (left, top, right, bottom) in pixels."""

    photograph: str
    box: tuple[float, float, float, float]

    def __str__(self):
        left, top, right, bottom = self.box
        return f"{self.photograph} {left:.0f},{top:.0f}-{right:.0f},{bottom:.0f}"


class DemoPhotographs:
    """Crops of bundled photographs: a read-only array of images, computed on demand.

    Every photograph is divided into windows at several scales, from the whole photograph down to
    windows that are enlarged twofold. Windows of one scale do not overlap, so that the strongest
    activations come from different positions. The images and their order are always the same.

    Args:
        size: `(height, width)` of the images in pixels.
        preprocessing: what `Preprocessing.of` takes.
        channels: 1 for luminance, 3 for RGB, 4 for RGBA.

    Attributes:
        crops: tuple of `Crop`s, one per image.
        shape: `(images, height, width, channels)`.
    """

    def __init__(self, size: Sequence[int], preprocessing: Any = "raw", channels: int = 3):
        channels = standardize_channels(channels)
        self.preprocessing = Preprocessing.of(preprocessing)
        self.preprocessing.check_channels(channels)
        self._photographs = {
            name: with_channels(photograph, channels)
            for name, photograph in load_photographs().items()
        }
        self.crops = tuple(
            Crop(name, box)
            for name, photograph in self._photographs.items()
            for box in windows(photograph.size[::-1], size)
        )
        self.shape = (len(self.crops), *size, channels)

    def __len__(self):
        return len(self.crops)

    def __getitem__(self, indices):
        """Images at `indices`, an integer, a list of integers or a slice; float32."""
        numbers = np.arange(len(self))[indices]
        pixels = [self._cropped(self.crops[n]) for n in numbers.ravel()]
        pixels = np.array(pixels, "uint8").reshape(*numbers.shape, *self.shape[1:])
        return self.preprocessing.images(pixels)

    def _cropped(self, crop):
        height, width = self.shape[1:3]
        photograph = self._photographs[crop.photograph]
        return np.asarray(photograph.resize((width, height), Image.Resampling.BICUBIC, crop.box))


@functools.cache
def load_photographs():
    """`{name: RGB Image}`, in a fixed order."""
    import skimage.data
    from sklearn.datasets import load_sample_image

    pixels = {name: getattr(skimage.data, name)() for name in FROM_SKIMAGE}
    pixels |= {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}
    return {name: Image.fromarray(array).convert("RGB") for name, array in pixels.items()}


def windows(photograph_size, size):
    """Adjacent boxes of the aspect ratio of `size`, centred in a photograph, scale by scale.

    Args:
        photograph_size: `(height, width)` of the photograph in pixels.
        size: `(height, width)` of the images.

    Yields:
        `(left, top, right, bottom)` in pixels.
    """
    ratios = [whole / side for whole, side in zip(photograph_size, size, strict=True)]
    for number in NUM_WINDOWS_ACROSS:
        scale = min(ratios) / number
        if number > 1 and scale * MAX_ENLARGEMENT < 1:
            return
        height, width = (side * scale for side in size)
        num_rows, num_columns = (int(ratio / scale + 1e-9) for ratio in ratios)
        top = (photograph_size[0] - num_rows * height) / 2
        left = (photograph_size[1] - num_columns * width) / 2
        for row, column in itertools.product(range(num_rows), range(num_columns)):
            begin = (left + column * width, top + row * height)
            end = (begin[0] + width, begin[1] + height)
            # Rounding must not exceed the photograph, which would be an error in Pillow.
            yield (*(max(x, 0) for x in begin), *map(min, end, photograph_size[::-1]))
