"""Accuracy in which every class has equal weight, however many images it has."""

import numpy as np


def mean_per_class_accuracy(labels, predicted, num_classes):
    """The mean over classes of the share of their images that are classified correctly.

    Args:
        labels: int `(images,)`, from 0.
        predicted: int `(images,)`, the labels predicted by a classifier.
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
            f"Class {int(num_images.argmin())} has no image: add some, or leave the class out. "
            f"Received: {len(labels)} labels for {num_classes} classes"
        )
    num_correct = np.bincount(labels[labels == predicted], minlength=num_classes)
    return float((num_correct / num_images).mean())
