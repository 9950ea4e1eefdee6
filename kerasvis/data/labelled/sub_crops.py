"""The ten sub-crops of an image: corners and centre, each also mirrored."""

import numpy as np

NUM_SUB_CROPS = 10


def sub_crop_places(image_size, crop_size):
    """Where the five places of sub-crops begin.

    Args:
        image_size: `(rows, columns)` of the image, in pixels.
        crop_size: `(rows, columns)` of a crop, in pixels.

    Returns:
        Tuple of `(top, left)`: the corners from top left to bottom right, then the centre, which
        lies half a pixel up or left where it cannot lie in the middle.

    Raises:
        ValueError: if the crops are larger than the image.
    """
    (rows, columns), (crop_rows, crop_columns) = image_size, crop_size
    down, right = rows - crop_rows, columns - crop_columns
    if down < 0 or right < 0:
        raise ValueError(
            f"Crops of {crop_rows}×{crop_columns} pixels do not fit into images of "
            f"{rows}×{columns}: give larger images, or a model with a smaller input."
        )
    return ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2))


def ten_crops(images, crop_size):
    """The ten sub-crops of every image.

    Args:
        images: array or tensor `(images, rows, columns, channels)`.
        crop_size: `(rows, columns)` of a crop, in pixels.

    Returns:
        List of ten of the same kind `(images, crop rows, crop columns, channels)`: at the corners
        and the centre, in the order of `sub_crop_places`, then the mirror images of these five.

    Reference:
        Zeiler & Fergus 2013, Section 3.
    """
    rows, columns = crop_size
    places = sub_crop_places(images.shape[1:3], crop_size)
    crops = [images[:, top : top + rows, left : left + columns] for top, left in places]
    return crops + [crop[:, :, ::-1] for crop in crops]


def center_crop(images, crop_size):
    """The sub-crop at the centre of every image; shapes as in `ten_crops`."""
    top, left = sub_crop_places(images.shape[1:3], crop_size)[-1]
    return images[:, top : top + crop_size[0], left : left + crop_size[1]]


def sub_crop_positions(image_size, crop_size):
    """Which pixels make up each of the ten sub-crops, in the order of `ten_crops`.

    Args:
        image_size: `(rows, columns)` of the image, in pixels.
        crop_size: `(rows, columns)` of a crop, in pixels.

    Returns:
        Two int32 arrays, `(10, crop rows)` and `(10, crop columns)`: crop `i` is the image at rows
        `[i]` and columns `[i]`.
    """
    tops, lefts = np.array(sub_crop_places(image_size, crop_size), "int32").T
    rows = tops[:, None] + np.arange(crop_size[0], dtype="int32")
    columns = lefts[:, None] + np.arange(crop_size[1], dtype="int32")
    return np.concatenate([rows, rows]), np.concatenate([columns, columns[:, ::-1]])
