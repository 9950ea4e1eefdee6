"""What `DeconvModel` projects with: engines that give the same result at different costs."""

import abc
from collections.abc import Sequence

import numpy as np


class ProjectionEngine(abc.ABC):
    """Projects targets, each in an image of its own or several in one image."""

    @abc.abstractmethod
    def project(
        self,
        images: np.ndarray | Sequence[np.ndarray],
        image_numbers: np.ndarray,
        features: np.ndarray,
        positions: np.ndarray,
        batch_size: int | None = None,
        verbose: str | int = 0,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Projects each target, by each of the engine's plans.

        Args:
            images: array `(images, rows, columns, channels)`, or a list of such images.
            image_numbers: int `(targets,)`, the image of each target.
            features: int32 `(targets,)`.
            positions: int32 `(targets, 2)`.
            batch_size: targets per step; by default it depends on their size.
            verbose: whether Keras shows its progress bar.

        Returns:
            `(parts, origins)`: float32 `(targets, plans, height, width, channels)`, the parts of
            the projections that the engine computes, outside of which they are 0; and int32
            `(targets, 2)`, the (top, left) of each part in its image.
        """
