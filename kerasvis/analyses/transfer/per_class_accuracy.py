"""Accuracy in which every class counts alike, however many images it has."""

import numpy as np


def mean_per_class_accuracy(labels, predicted, num_classes):
    """The mean over classes of the share of images of the class that are recognised.

    Args:
        labels: int `(images,)`, from 0.
        predicted: int `(images,)`, the labels that a classifier gives.
        num_classes: number of classes.

    Returns:
        A float in [0, 1].

    Raises:
        ValueError: if a class has no image.

    Reference:
        Zeiler & Fergus 2013, Section 5.2.

    Example:
        >>> import numpy as np
        >>> from kerasvis.analyses.transfer.per_class_accuracy import mean_per_class_accuracy
        >>> mean_per_class_accuracy(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
        0.75
    """
    labels = np.asarray(labels)
    num_images = np.bincount(labels, minlength=num_classes)
    if not num_images.all():
        raise ValueError(
            f"Class {int(num_images.argmin())} has no image to measure with: give it some, or "
            "leave it out."
        )
    num_right = np.bincount(labels[labels == predicted], minlength=num_classes)
    return float((num_right / num_images).mean())
