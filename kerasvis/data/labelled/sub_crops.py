"""The ten sub-crops of an image: corners and centre, each also mirrored."""

import numpy as np

NUM_SUB_CROPS = 10


def sub_crop_corners(image_size, crop_size):
    """The top left corners of the five sub-crops that are not mirrored.

    Args:
        image_size: `(rows, columns)` of the image, in pixels.
        crop_size: `(rows, columns)` of a crop, in pixels.

    Returns:
        Tuple of `(top, left)`: the corners from top left to bottom right, then the centre, rounded
        up or left by half a pixel if necessary.

    Raises:
        ValueError: if the crops are larger than the image.
    """
    (rows, columns), (crop_rows, crop_columns) = image_size, crop_size
    down, right = rows - crop_rows, columns - crop_columns
    if down < 0 or right < 0:
        raise ValueError(
            "The crops are larger than the images: give larger images, or a model with a smaller "
            f"input. Received: crops of {crop_rows}×{crop_columns} pixels, images of "
            f"{rows}×{columns}"
        )
    return ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2))


def ten_crops(images, crop_size):
    """The ten sub-crops of every image.

    Args:
        images: array or tensor `(images, rows, columns, channels)`.
        crop_size: `(rows, columns)` of a crop, in pixels.

    Returns:
        List of ten arrays or tensors `(images, crop rows, crop columns, channels)`: the corners and
        the centre, in the order of `sub_crop_corners`, then the mirror images of these five.

    Reference:
        Zeiler & Fergus 2013, Section 3.
    """
    rows, columns = crop_size
    corners = sub_crop_corners(images.shape[1:3], crop_size)
    crops = [images[:, top : top + rows, left : left + columns] for top, left in corners]
    return crops + [crop[:, :, ::-1] for crop in crops]


def center_crop(images, crop_size):
    """The sub-crop at the centre of every image; shapes as in `ten_crops`."""
    top, left = sub_crop_corners(images.shape[1:3], crop_size)[-1]
    return images[:, top : top + crop_size[0], left : left + crop_size[1]]


def sub_crop_positions(image_size, crop_size):
    """The rows and columns of pixels of each of the ten sub-crops, in the order of `ten_crops`.

    Args:
        image_size: `(rows, columns)` of the image, in pixels.
        crop_size: `(rows, columns)` of a crop, in pixels.

    Returns:
        Two int32 arrays, `(10, crop rows)` and `(10, crop columns)`: crop `i` is the image at rows
        `[i]` and columns `[i]`.
    """
    tops, lefts = np.array(sub_crop_corners(image_size, crop_size), "int32").T
    rows = tops[:, None] + np.arange(crop_size[0], dtype="int32")
    columns = lefts[:, None] + np.arange(crop_size[1], dtype="int32")
    return np.concatenate([rows, rows]), np.concatenate([columns, columns[:, ::-1]])
