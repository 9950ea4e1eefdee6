"""Translates, scales and rotates photographs; a model takes the centre."""

import numpy as np
import scipy.ndimage


def _translation(pixels):
    return np.eye(2), np.array([-pixels, 0.0])


def _scale(factor):
    return np.eye(2) / factor, np.zeros(2)


def _rotation(degrees):
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cosine, sine], [-sine, cosine]]), np.zeros(2)


# name → function of a value that returns (matrix, shift). The pixel at (row, column) relative to
# the centre of the image is that at `matrix @ (row, column) + shift` relative to the photograph's.
TRANSFORMATIONS = {"translation": _translation, "scale": _scale, "rotation": _rotation}


def transformed(photograph, transformation, value, image_size):
    """The centre of a photograph after a transformation about this centre.

    Pixels are interpolated by cubic splines, rounded and clipped to [0, 255]. Beyond the
    photograph's border the nearest pixel is repeated. Translations by whole pixels, scale 1 and
    rotations of a square by quarter turns are exact.

    Args:
        photograph: uint8 `(rows, columns, channels)`, at least as large as the image.
        transformation: `"translation"`, down by `value` pixels; `"scale"`, enlarged by the factor
            `value`; or `"rotation"`, counter-clockwise by `value` degrees.
        value: a number; 0, 1 and 0 do not change the photograph.
        image_size: `(height, width)` in pixels.

    Returns:
        uint8 `(height, width, channels)`.

    Reference:
        Zeiler & Fergus 2013, Figure 5 of arXiv v3, which does not say what it does at the border.
    """
    matrix, shift = TRANSFORMATIONS[transformation](value)
    size = np.array(image_size)
    centre = (size - 1) / 2
    corner = (np.array(photograph.shape[:2]) - size) // 2
    offset = corner + centre + shift - matrix @ centre
    channels = [
        scipy.ndimage.affine_transform(
            channel, matrix, offset, tuple(image_size), "float32", order=3, mode="nearest"
        )
        for channel in np.moveaxis(photograph, -1, 0).astype("float32")
    ]
    return np.rint(np.stack(channels, axis=-1)).clip(0, 255).astype("uint8")
