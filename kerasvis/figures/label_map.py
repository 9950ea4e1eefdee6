"""The most probable label at every position of an occluder, as a map of a few colours."""

import numpy as np

from kerasvis.figures.colour_scale import MISSING

NUM_NAMED_LABELS = 6
# The correct class has the first colour in every image.
LABEL_COLOURS = (
    *((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233)),
    *((240, 228, 66), (213, 94, 0)),
)
OTHER_COLOUR = (150, 150, 150)


def label_counts(result):
    """The labels of the legend, with their colours and numbers of positions.

    Returns:
        `{label: (colour, count)}`, the correct class first if it occurs, then the most frequent;
        the key None for all others, if there are any.
    """
    labels, numbers = np.unique(result.label, return_counts=True)
    order = np.lexsort([labels, -numbers, labels != result.class_index])
    ordered = [(int(labels[i]), int(numbers[i])) for i in order]
    named, others = ordered[:NUM_NAMED_LABELS], ordered[NUM_NAMED_LABELS:]
    has_correct = ordered[0][0] == result.class_index
    colours = LABEL_COLOURS if has_correct else LABEL_COLOURS[1:]
    counts = {label: (colours[i], number) for i, (label, number) in enumerate(named)}
    if others:
        counts[None] = (OTHER_COLOUR, sum(number for _, number in others))
    return counts


def label_pixels(result):
    """The most probable labels as colours over the image: uint8 `(height, width, 3)`."""
    counts = label_counts(result)
    colours = np.full((*result.label.shape, 3), OTHER_COLOUR, "uint8")
    for label, (colour, _) in counts.items():
        if label is not None:
            colours[result.label == label] = colour
    boxes, (height, width) = np.asarray(result.boxes), result.image_size
    rows = nearest((boxes[:, 0, 0] + boxes[:, 0, 2]) / 2, height)
    columns = nearest((boxes[0, :, 1] + boxes[0, :, 3]) / 2, width)
    pixels = colours[rows[:, None], columns]
    pixels[np.isnan(result.heat_map(result.probability))] = MISSING
    return pixels


def nearest(middles, length):
    """The index of the middle nearest to each pixel along an axis; of two, the first."""
    return np.abs(np.arange(length)[:, None] + 0.5 - middles).argmin(axis=1)
