"""What tests read off a figure: its texts, and its pictures by their labels."""

import numpy as np


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def pictures(figure):
    """`{label: AxesImage}`."""
    return {image.get_label(): image for image in figure.axes[0].images}


def extents(figure):
    """`{label: (left, right, bottom, top)}` in inches."""
    return {label: image.get_extent() for label, image in pictures(figure).items()}


def pixels(figure, label):
    return np.asarray(pictures(figure)[label].get_array())
