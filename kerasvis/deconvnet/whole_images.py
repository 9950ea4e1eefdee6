"""Projection in whole images: one target in each image of a batch."""

import numpy as np

from kerasvis.graph.replicas import predict_any_number


class WholeImages:
    """Projects one target of every image, a unit or a whole feature map.

    Args:
        deconv: the `DeconvModel`.
    """

    def __init__(self, deconv):
        self._deconv = deconv

    def project(self, images, image_numbers, features, positions, batch_size=None, verbose=0):
        """Projects one target after the other.

        Args:
            images: array `(images, rows, columns, channels)`, or a list of such images.
            image_numbers: int `(targets,)`, the image of each.
            features: int32 `(targets,)`.
            positions: int32 `(targets, 2)`.
            batch_size: images per step.
            verbose: whether Keras shows its progress bar.

        Returns:
            `(projections, origins)`: float32 `(targets, 1, rows, columns, channels)` and int32
            `(targets, 2)`, all (0, 0).
        """
        images = self._deconv.check_images(np.asarray([images[n] for n in image_numbers]))
        inputs = {"images": images, "feature": features, "position": positions}
        batch_size = batch_size or fitting_batch_size(images.shape)
        found = predict_any_number(self._deconv, inputs, batch_size, verbose)
        return found["projection"][:, None], np.zeros((len(images), 2), "int32")


def pasted(parts, origins, shape):
    """Parts of images at their places, and 0 around them.

    Args:
        parts: float32 `(images, height, width, channels)`.
        origins: int32 `(images, 2)`, the (top, left) of each.
        shape: `(images, rows, columns, channels)` of the result.
    """
    if parts.shape == shape:
        return parts
    projections = np.zeros(shape, "float32")
    for projection, part, (top, left) in zip(projections, parts, origins, strict=True):
        projection[top : top + part.shape[0], left : left + part.shape[1]] = part
    return projections


def fitting_batch_size(shape, num_values=4 * 224 * 224 * 3):
    """How many images have as many pixels as four of 224×224; between 1 and 64."""
    return int(np.clip(num_values // max(int(np.prod(shape[1:])), 1), 1, 64))
