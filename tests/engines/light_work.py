"""Work for engines without a model: what workers start with in a moment."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from kerasvis.data.image_ranges import image_ranges
from kerasvis.data.image_source import image_source
from kerasvis.data.images import Progress

BATCH_SIZE = 4


def ranges(number, batches_per_range=2):
    """Ranges of images `(number, 1, 1, 1)` whose only value is their index."""
    images = np.arange(number, dtype="float32").reshape(-1, 1, 1, 1)
    return image_ranges(image_source(images, BATCH_SIZE), batches_per_range, Progress())


class Squares:
    """Squares every image's value; images in `fatal` end the process, if there are `together`.

    Args:
        fatal: values of images.
        together: how many images there have to be in their batch.
        seconds: that each part takes.
    """

    def __init__(self, fatal=(), together=1, seconds=0.0):
        self.fatal, self.together, self.seconds = set(fatal), together, seconds

    def open(self):
        self.is_open = True

    def __call__(self, images):
        assert self.is_open
        time.sleep(self.seconds)
        squares = {}
        for indices, batch in images.batches():
            values = batch.ravel().tolist()
            if self.fatal & set(values) and len(values) >= self.together:
                os.kill(os.getpid(), signal.SIGKILL)
            squares |= dict(zip(indices.tolist(), (value * value for value in values), strict=True))
        return squares


class Failing(Squares):
    """Raises an error for one image, or while it is opened."""

    def __init__(self, value=None):
        super().__init__()
        self.value = value

    def open(self):
        super().open()
        if self.value is None:
            raise ValueError("no model here")

    def __call__(self, images):
        if images.begin <= self.value < images.end:
            raise KeyError(f"image {self.value}")
        return super().__call__(images)


def files(folder):
    """`{relative path: bytes}`, without what tells how far a run came."""
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {
        path.relative_to(folder): path.read_bytes()
        for path in paths
        if not path.name.startswith(".kerasvis")
    }
