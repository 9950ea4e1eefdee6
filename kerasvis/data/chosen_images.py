"""Some images of a source, to be sent to another machine."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kerasvis.data.images import FetchedImages


class ChosenImages(FetchedImages):
    """Some images of a source, in memory, under their indices in the source.

    Args:
        source: all images.
        indices: the indices of the chosen ones.
    """

    def __init__(self, source: FetchedImages, indices: Sequence[int]):
        self.preprocessing = source.preprocessing
        self._images = dict(zip(indices, source[np.array(indices)], strict=True))

    def __getitem__(self, indices: Any) -> np.ndarray:
        return np.stack([self._images[index] for index in np.ravel(indices).tolist()])

    @property
    def image_size(self) -> tuple[int, int]:
        return next(iter(self._images.values())).shape[:2]

    def sample(self) -> np.ndarray:
        return np.stack([*self._images.values()])
