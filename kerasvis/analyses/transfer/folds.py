"""Which images of a data set a classifier is trained on, and which it is tested with."""

from typing import NamedTuple

import numpy as np


class ClassSize(NamedTuple):
    """How many images of each class are drawn.

    Attributes:
        train: images to train on.
        test: images to test with at most.
    """

    train: int
    test: int


class Fold(NamedTuple):
    """One drawing of images.

    Attributes:
        train: int64 `(classes, images per class)`: the first columns are a smaller training set.
        test: int64 `(test images,)`.
    """

    train: np.ndarray
    test: np.ndarray


def draw_fold(labels, class_names, may_train, may_test, size, seed=0, number=0):
    """Draws training and test images of every class.

    What is drawn of a class follows from its images, the seed and the number of the fold alone.

    Args:
        labels: int64 `(images,)`, indices into the class names.
        class_names: names of the classes.
        may_train: bool `(images,)`, those that may be trained on.
        may_test: bool `(images,)`, those that may be tested with, if they are not trained on.
        size: the `ClassSize`.
        seed: of the drawing.
        number: of the fold.

    Returns:
        A `Fold`.

    Raises:
        ValueError: if a class has too few images.

    Reference:
        Zeiler & Fergus 2013, Section 5.2: 15 or 30 images a class to train on, up to 50 to test
        with.
    """
    train, test = [], []
    for label, name in enumerate(class_names):
        images = np.flatnonzero(labels == label)
        images = np.random.default_rng([seed, number, label]).permutation(images)
        drawn = images[may_train[images]][: size.train]
        left = images[may_test[images] & ~np.isin(images, drawn)]
        if len(drawn) < size.train or not len(left):
            raise ValueError(
                f"The class {name!r} has {len(drawn)} images for training and {len(left)} others "
                f"for the test, but {size.train} and at least 1 are needed: ask for fewer images "
                "per class, or take the class out."
            )
        train.append(drawn)
        test.append(left[: size.test])
    return Fold(np.stack(train), np.concatenate(test))
