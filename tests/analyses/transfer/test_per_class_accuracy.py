import numpy as np
import pytest

from kerasvis.analyses.transfer.per_class_accuracy import mean_per_class_accuracy


def test_every_class_counts_alike():
    labels = np.array([0] * 10 + [1] * 2 + [2])
    predicted = np.array([0] * 9 + [1] + [1, 2] + [0])
    assert mean_per_class_accuracy(labels, predicted, 3) == pytest.approx((0.9 + 0.5 + 0) / 3)


def test_a_class_without_images():
    with pytest.raises(ValueError, match="Class 1 has no image: add some"):
        mean_per_class_accuracy(np.array([0, 2]), np.array([0, 2]), 3)
