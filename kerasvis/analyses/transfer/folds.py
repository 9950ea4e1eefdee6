"""Random splits of a data set into images for training and for testing a classifier."""

from typing import NamedTuple

import numpy as np


class ClassSize(NamedTuple):
    """How many images of each class to sample.

    Attributes:
        train: number of training images.
        test: maximum number of test images.
    """

    train: int
    test: int


class Fold(NamedTuple):
    """One random split.

    Attributes:
        train: int64 `(classes, images per class)`: the first columns are a smaller training set.
        test: int64 `(test images,)`.
    """

    train: np.ndarray
    test: np.ndarray


def sample_fold(labels, class_names, may_train, may_test, size, seed=0, number=0):
    """Samples training and test images of every class.

    The sample of a class depends only on its images, the seed and the number of the fold.

    Args:
        labels: int64 `(images,)`, indices into the class names.
        class_names: names of the classes.
        may_train: bool `(images,)`, the images allowed for training.
        may_test: bool `(images,)`, the images allowed for testing, unless they are trained on.
        size: the `ClassSize`.
        seed: seed of the random split.
        number: number of the fold.

    Returns:
        A `Fold`.

    Raises:
        ValueError: if a class has too few images.

    Reference:
        Zeiler & Fergus 2013, Section 5.2: 15 or 30 training images per class, up to 50 test images.
    """
    train, test = [], []
    for label, name in enumerate(class_names):
        images = np.flatnonzero(labels == label)
        images = np.random.default_rng([seed, number, label]).permutation(images)
        chosen = images[may_train[images]][: size.train]
        rest = images[may_test[images] & ~np.isin(images, chosen)]
        if len(chosen) < size.train or not len(rest):
            raise ValueError(
                f"The class {name!r} has too few images, {len(chosen)} for training and "
                f"{len(rest)} others for testing: ask for fewer images per class, or leave the "
                f"class out. Received: per_class={size.train}"
            )
        train.append(chosen)
        test.append(rest[: size.test])
    return Fold(np.stack(train), np.concatenate(test))
