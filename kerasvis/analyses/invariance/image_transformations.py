"""Translated, scaled and rotated photographs, of which a model sees the centre."""

import numpy as np
import scipy.ndimage


def _translation(pixels):
    return np.eye(2), np.array([-pixels, 0.0])


def _scale(factor):
    return np.eye(2) / factor, np.zeros(2)


def _rotation(degrees):
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cosine, sine], [-sine, cosine]]), np.zeros(2)


# name → function of a value, which gives (matrix, shift): the pixel at (row, column) from the
# centre of the image comes from `matrix @ (row, column) + shift` from that of the photograph.
TRANSFORMATIONS = {"translation": _translation, "scale": _scale, "rotation": _rotation}


def transformed(photograph, transformation, value, image_size):
    """The centre of a photograph after a transformation about this centre.

    Pixels are interpolated by cubic splines, rounded and cut to [0, 255]. What comes from beyond
    the photograph's border has the colour of the nearest pixel on it. Translations by whole pixels,
    scale 1 and rotations by quarter turns of a square are exact.

    Args:
        photograph: uint8 `(rows, columns, channels)`, at least as large as the image.
        transformation: `"translation"`, down by `value` pixels; `"scale"`, enlarged by the factor
            `value`; or `"rotation"`, counter-clockwise by `value` degrees.
        value: a number; 0, 1 and 0 leave the photograph as it is.
        image_size: `(height, width)` in pixels.

    Returns:
        uint8 `(height, width, channels)`.

    Reference:
        Zeiler & Fergus 2013, Figure 5 of arXiv v3. What fills the border is not told there.
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
