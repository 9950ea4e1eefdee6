"""Generated images with known masks of their objects: a ground truth for occlusion maps.

The label of a photograph does not say which of its pixels determine a model's prediction. Here this
is known: each image contains one object, whose shape and texture define the class, over clutter
with the same distribution for all classes. The images have no parts or scenes, for which
photographs are needed.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

RADII = (0.15, 0.2)  # of a disc of the object's area, relative to the image's shorter side
PERIOD = 0.6  # of the textures, in radii
NUM_NOISE_VALUES = (3, 6, 12)  # of the background along the shorter side, coarse to fine
NOISE = (22, 14)  # standard deviations at each scale: shared by all channels, and per channel
NUM_SHARDS, SHARD_LENGTHS = 12, (0.04, 0.2)  # the latter relative to the shorter side
CONTRASTS = (85, 150)  # grey levels between the two colours of a texture
MIDDLES = (75, 180)  # of a channel, of backgrounds, shards and objects alike, in grey levels
GRAIN = 4  # standard deviation of every pixel, in grey levels
SAMPLES = 4  # per pixel and axis, for antialiasing


def _disc(row, column):
    return row**2 + column**2 < 1


def _ring(row, column):
    distance = row**2 + column**2
    return (distance < 1.3) & (distance > 0.3)


def _cross(row, column):
    row, column = np.abs(row), np.abs(column)
    return (np.minimum(row, column) < 0.3963) & (np.maximum(row, column) < 1.1890)


def _triangle(row, column):
    height = 0.7776
    return (row < height) & (np.abs(column) * 3**0.5 < row + 2 * height)


def _striped(row, column):
    return np.sin(row) > 0


def _checked(row, column):
    return (np.sin(row) > 0) ^ (np.sin(column) > 0)


# The masks of objects, and of their first colour; all shapes have the area of the unit disc.
SHAPES = {"disc": _disc, "ring": _ring, "cross": _cross, "triangle": _triangle}
TEXTURES = {"striped": _striped, "checked": _checked}
CLASSES = tuple((texture, shape) for shape in SHAPES for texture in TEXTURES)
EXTENT = 2 * 0.7776  # distance of the furthest corner, a triangle's, in radii


class Placement(NamedTuple):
    """An object's position: `centre` (row, column) and `radius` in pixels, `angle` in radians."""

    shape: str
    centre: tuple[float, float]
    radius: float
    angle: float


class PlantedObjects:
    """Images of one object each, with masks of the objects: a read-only array, computed on demand.

    An object is a disc, a ring, a cross or a triangle, striped or checked: eight classes. All
    shapes have equal areas, all textures two colours in equal parts. Position, size, angle and
    colours have the same distribution for all classes. So has the clutter behind the object, noise
    of several scales and plain shards. Only shape and texture tell the classes apart.

    Image `i` depends on `seed` and `i` alone; its class is `i % 8`.

    Args:
        num_images: number of images.
        image_size: `(height, width)` in pixels.
        seed: of the random numbers; another seed gives other images of the same classes.

    Attributes:
        shape: `(images, rows, columns, 3)`.
        seed: as given.
        class_names: tuple of names, such as "striped disc".
        labels: int64 `(images,)`, indices into the class names.
        masks: bool `(images, rows, columns)`: pixels whose centre is part of the object.
        boxes: int32 `(images, 4)`: (top, left, bottom, right) of the masks, half open.

    Raises:
        ValueError: if there are no images, or a side is below 32 pixels, too small for textures.

    Example:
        >>> import kerasvis as kv
        >>> planted = kv.data.PlantedObjects(100)
        >>> planted[[8, 9]].shape, planted.class_names[planted.labels[9]]
        ((2, 64, 64, 3), 'checked disc')
    """

    class_names = tuple(f"{texture} {shape}" for texture, shape in CLASSES)

    def __init__(self, num_images: int, image_size: Sequence[int] = (64, 64), seed: int = 0):
        if num_images < 1 or len(image_size) != 2 or min(image_size) < 32:
            raise ValueError(
                "Give at least one image, and (height, width) of at least 32 pixels each. "
                f"Received: num_images={num_images}, image_size={image_size}"
            )
        self.seed = seed
        self.shape = (num_images, *image_size, 3)
        self.labels = np.arange(num_images) % len(CLASSES)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, indices):
        """The images at `indices`, an integer, a list of integers or a slice.

        Returns:
            float32 `(images, rows, columns, 3)`, RGB, whole numbers in [0, 255]; `(rows, columns,
            3)` for an integer.
        """
        numbers = np.arange(len(self))[indices]
        pixels = [self._pixels(index) for index in numbers.ravel()]
        return np.array(pixels, "float32").reshape(*numbers.shape, *self.shape[1:])

    @functools.cached_property
    def masks(self) -> np.ndarray:
        return np.stack([self._mask(index) for index in range(len(self))])

    @functools.cached_property
    def boxes(self) -> np.ndarray:
        return np.array([bounding_box(mask) for mask in self.masks], "int32")

    def _start(self, index):
        """The random generator of an image, and the placement of its object."""
        random = np.random.default_rng([self.seed, int(index)])
        shape = CLASSES[self.labels[index]][1]
        return random, random_placement(shape, self.shape[1:3], random)

    def _mask(self, index):
        placement = self._start(index)[1]
        return SHAPES[placement.shape](*in_object(placement, self.shape[1:3]))

    def _pixels(self, index):
        random, placement = self._start(index)
        clutter = random_clutter(self.shape[1:3], random)
        texture = CLASSES[self.labels[index]][0]
        opacity, paint = random_object(placement, texture, self.shape[1:3], random)
        pixels = paint + (1 - opacity) * clutter + random.normal(0, GRAIN, self.shape[1:])
        return np.rint(pixels).clip(0, 255)


def random_placement(shape, image_size, random):
    """A random `Placement` of a shape completely inside the image."""
    radius = random.uniform(*RADII) * min(image_size)
    centre = (random.uniform(EXTENT * radius, side - EXTENT * radius) for side in image_size)
    return Placement(shape, tuple(centre), radius, random.uniform(0, 2 * np.pi))


def in_object(placement, image_size, samples=1):
    """Coordinates of an image's sample points in the object's own axes, in radii.

    Returns:
        Two float32 arrays `(height * samples, width * samples)`; the points are evenly spaced in
        the pixels.
    """
    row, column = (
        ((np.arange(side * samples) + 0.5) / samples - middle).astype("float32")
        for side, middle in zip(image_size, placement.centre, strict=True)
    )
    return rotated(row[:, None], column[None], placement.angle, placement.radius)


def rotated(row, column, angle, unit):
    """Coordinates in axes rotated by `angle`, in units of `unit`."""
    sine, cosine = math.sin(angle) / unit, math.cos(angle) / unit
    return cosine * row - sine * column, sine * row + cosine * column


def random_object(placement, texture, image_size, random):
    """The opacity of an object in each pixel, and its colours.

    Returns:
        `(opacity, paint)`: float `(height, width, 1)` in [0, 1], and the colours times the opacity,
        float `(height, width, 3)`.
    """
    row, column = in_object(placement, image_size, SAMPLES)
    inside = SHAPES[placement.shape](row, column)
    angle, *phases = random.uniform(0, 2 * np.pi, 3).tolist()
    waves = rotated(row, column, angle, PERIOD / (2 * np.pi))
    is_first = TEXTURES[texture](waves[0] + phases[0], waves[1] + phases[1])
    first, second = (
        _means_of_pixels(part)[..., None] for part in (inside & is_first, inside & ~is_first)
    )
    colours = random_colours(random)
    return first + second, first * colours[0] + second * colours[1]


def random_colours(random):
    """Two random RGB colours; either may be the lighter one."""
    contrast = random.uniform(*CONTRASTS) * random.choice((-1, 1))
    middle = random.uniform(*MIDDLES, 3)
    return middle + contrast / 2, middle - contrast / 2


def random_clutter(image_size, random):
    """Noise of several scales with plain shards on it: float `(height, width, 3)`."""
    height, width = image_size
    shorter = min(image_size)
    clutter = random.uniform(*MIDDLES, 3) + np.zeros((height, width, 3))
    for number in NUM_NOISE_VALUES:
        size = [-(-side * number // shorter) for side in image_size]
        noise = random.normal(0, NOISE[0], (*size, 1)) + random.normal(0, NOISE[1], (*size, 3))
        noise = Image.fromarray(np.rint(noise + 128).clip(0, 255).astype("uint8"))
        clutter += np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC)) - 128.0
    drawn = Image.fromarray(np.rint(clutter.clip(0, 255)).astype("uint8"))
    drawn = drawn.resize((width * SAMPLES, height * SAMPLES), Image.Resampling.NEAREST)
    shards = ImageDraw.Draw(drawn)
    for _ in range(NUM_SHARDS):
        colour = random_colours(random)[0].astype(int)
        shards.polygon(_shard(image_size, random), fill=tuple(colour.tolist()))
    return np.asarray(drawn.reduce(SAMPLES), "float64")


def _shard(image_size, random):
    """Corners (column, row) of an irregular polygon, in samples."""
    num_corners = random.integers(3, 6)
    angles = np.sort(random.uniform(0, 2 * np.pi, num_corners))
    lengths = random.uniform(*SHARD_LENGTHS, num_corners) * min(image_size)
    rows = random.uniform(0, image_size[0]) + lengths * np.sin(angles)
    columns = random.uniform(0, image_size[1]) + lengths * np.cos(angles)
    return [tuple(corner) for corner in (np.stack([columns, rows], axis=1) * SAMPLES).tolist()]


def _means_of_pixels(samples):
    height, width = (side // SAMPLES for side in samples.shape)
    return samples.reshape(height, SAMPLES, width, SAMPLES).mean(axis=(1, 3), dtype="float32")


def bounding_box(mask):
    """`(top, left, bottom, right)` of a mask's pixels, half open."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
