import numpy as np
import pytest

from kerasvis.analyses.transfer.heads import HEADS, normalized

NUM_CLASSES = 4


def clusters(num_images, seed):
    """Features of classes around directions of their own, and the labels."""
    centres = np.random.default_rng(0).normal(size=(NUM_CLASSES, 30))
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(num_images) % NUM_CLASSES)
    features = centres[labels] + rng.normal(0, 0.6, (num_images, 30))
    return normalized(features.astype("float32")), labels


@pytest.mark.parametrize("head", HEADS)
def test_classes_that_a_plane_parts_are_told_apart(head):
    features, labels = clusters(60, seed=1)
    test_features, test_labels = clusters(200, seed=2)
    predicted = HEADS[head](features, labels, test_features, NUM_CLASSES, 0)
    assert predicted.shape == (200,)
    assert (predicted == test_labels).mean() > 0.97


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_labels_without_a_rule_are_met_by_chance(head):
    features, labels = clusters(200, seed=1)
    shuffled = np.random.default_rng(5).permutation(labels)
    test_features, test_labels = clusters(400, seed=2)
    predicted = HEADS[head](features, shuffled, test_features, NUM_CLASSES, 0)
    assert 0.1 < (predicted == test_labels).mean() < 0.4


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_the_same_seed_gives_the_same_labels(head):
    features, labels = clusters(40, seed=1)
    test_features, _ = clusters(100, seed=2)
    first, again = (HEADS[head](features, labels, test_features, NUM_CLASSES, 3) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_features_of_length_one():
    features = normalized(np.array([[3, 4], [0, 0], [0, -1e-3]], "float32"))
    np.testing.assert_allclose(features, [[0.6, 0.8], [0, 0], [0, -1]], rtol=1e-6)
    assert features.dtype == "float32"
