"""Occlusion sensitivity as it is defined: occlude, run the whole model, look."""

import keras
import numpy as np

from kerasvis.graph import feature_extractor


def intervals(length, patch, stride, begin=0):
    """Occluded intervals along an axis, by stepping until the end is reached or jumped over."""
    found = []
    while begin < length:
        found.append((begin, min(begin + patch, length)))
        if begin + patch >= length:
            break
        begin += stride
    return found


def occluded_images(image, fill, patch_size, strides):
    """`(rows, columns, *image.shape)`: the image, occluded at every position."""
    rows = intervals(image.shape[0], patch_size[0], strides[0])
    columns = intervals(image.shape[1], patch_size[1], strides[1])
    occluded = np.empty((len(rows), len(columns), *image.shape), image.dtype)
    for i, (top, bottom) in enumerate(rows):
        for j, (left, right) in enumerate(columns):
            occluded[i, j] = image
            occluded[i, j, top:bottom, left:right] = fill[top:bottom, left:right]
    return occluded


def looked_at(model, layer, images, batch_size=64):
    """`(scores, activities)` of `(rows, columns, ...)` images: `(rows, columns, classes or maps)`.

    Activities are the sums of the maps of `layer`; none where it is None.
    """
    grid = images.shape[:2]
    images = images.reshape(-1, *images.shape[2:])
    extractor = None if layer is None else feature_extractor(model, [layer])
    scores, activities = [], []
    for begin in range(0, len(images), batch_size):
        batch = images[begin : begin + batch_size]
        scores.append(keras.ops.convert_to_numpy(model(batch, training=False)))
        (maps,) = extractor(batch) if extractor else (np.zeros((len(batch), 1, 1, 0)),)
        activities.append(keras.ops.convert_to_numpy(maps).sum(axis=(1, 2), dtype="float64"))
    scores = np.concatenate(scores)
    activities = np.concatenate(activities)
    return scores.reshape(*grid, -1), activities.reshape(*grid, -1)
