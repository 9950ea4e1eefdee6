"""The strongest activations by brute force: every activation is listed, and all are sorted."""

import numpy as np


def top_activations(maps, k):
    """The k strongest activations of each feature map, one per image.

    Args:
        maps: float32 `(images, rows, columns, feature maps)`, or `(images, units)`.

    Returns:
        `(values, image_indices, positions)`, padded with -inf, -1 and -1.
    """
    if maps.ndim == 2:
        maps = maps[:, None, None, :]
    num_maps = maps.shape[-1]
    values = np.full((num_maps, k), -np.inf, "float32")
    image_indices = np.full((num_maps, k), -1, "int64")
    positions = np.full((num_maps, k, 2), -1, "int32")
    for feature in range(num_maps):
        everything = [(-value, *place) for place, value in np.ndenumerate(maps[..., feature])]
        seen = set()
        for negative, image, row, column in sorted(everything):
            if image in seen or len(seen) == k:
                continue
            place = feature, len(seen)
            values[place], image_indices[place], positions[place] = -negative, image, (row, column)
            seen.add(image)
    return values, image_indices, positions
