"""Total variation: how much neighbouring pixels differ."""

import numpy as np

SMOOTHNESS = 1e-2  # differences below this count less, so that the derivative is continuous


def total_variation(images):
    """The sum of absolute differences between neighbouring pixels, along rows and columns.

    Args:
        images: array `(images, rows, columns, channels)`; differences count as
            `sqrt(difference² + SMOOTHNESS²)`.

    Returns:
        float64 `(images,)`.

    Reference:
        Mahendran & Vedaldi 2015, "Understanding Deep Image Representations by Inverting Them",
        Section 2. Deviation: differences along rows and columns count separately.
    """
    return sum(
        np.sqrt(np.diff(images, axis=axis) ** 2 + SMOOTHNESS**2).sum(axis=(1, 2, 3))
        for axis in (1, 2)
    )


def total_variation_gradient(images):
    """The gradient of `total_variation`: float64, of the shape of `images`."""
    gradient = np.zeros(images.shape)
    for axis in (1, 2):
        differences = np.diff(images, axis=axis)
        slopes = differences / np.sqrt(differences**2 + SMOOTHNESS**2)
        edges = [(0, 0)] * images.ndim
        edges[axis] = (1, 1)
        gradient -= np.diff(np.pad(slopes, edges), axis=axis)
    return gradient
