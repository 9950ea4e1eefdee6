"""Projection in whole images: one forward pass for each target."""

import numpy as np

from kerasvis.deconvnet.projection_engine import ProjectionEngine
from kerasvis.graph.replicas import predict_any_number

NUM_VALUES = 4 * 224 * 224 * 3  # of the images in a batch
NUM_VALUES_UNCOMPILED = 4 * NUM_VALUES


class WholeImages(ProjectionEngine):
    """Projects targets of any kind, units or whole feature maps, each by its own forward pass.

    Args:
        deconv: the `DeconvModel`.
    """

    def __init__(self, deconv):
        self._deconv = deconv

    def project(self, images, image_numbers, features, positions, batch_size=None, verbose=0):
        """See `ProjectionEngine`; the only plan is the model's, and parts are whole images."""
        images = self._deconv.check_images(np.asarray([images[n] for n in image_numbers]))
        inputs = {"images": images, "feature": features, "position": positions}
        # Uncompiled, a batch takes as long to start as some images take to project.
        num_values = NUM_VALUES_UNCOMPILED if self._deconv.run_eagerly else NUM_VALUES
        batch_size = batch_size or fitting_batch_size(images.shape, num_values)
        found = predict_any_number(self._deconv, inputs, batch_size, verbose)
        return found["projection"][:, None], np.zeros((len(images), 2), "int32")


def pasted(parts, origins, shape):
    """Whole projections, 0 outside the parts that were computed.

    Args:
        parts: float32 `(images, height, width, channels)`.
        origins: int32 `(images, 2)`, the (top, left) of each part.
        shape: `(images, rows, columns, channels)` of the result.
    """
    if parts.shape == shape:
        return parts
    projections = np.zeros(shape, "float32")
    for projection, part, (top, left) in zip(projections, parts, origins, strict=True):
        projection[top : top + part.shape[0], left : left + part.shape[1]] = part
    return projections


def fitting_batch_size(shape, num_values=NUM_VALUES):
    """The number of images that have so many values; between 1 and 64."""
    return int(np.clip(num_values // max(int(np.prod(shape[1:])), 1), 1, 64))
