import numpy as np
import pytest

from kerasvis.analyses.transfer.folds import ClassSize, sample_fold

NAMES = ("ant", "bass", "crab")
LABELS = np.repeat([2, 0, 1], [9, 7, 20])
ALL = np.ones(len(LABELS), bool)


def draw(may_train=ALL, may_test=ALL, per_class=4, num_test=10, **options):
    size = ClassSize(per_class, num_test)
    return sample_fold(LABELS, NAMES, may_train, may_test, size, **options)


def test_so_many_images_of_each_class_and_none_twice():
    fold = draw()
    assert fold.train.shape == (3, 4)
    np.testing.assert_array_equal(LABELS[fold.train], np.repeat([[0], [1], [2]], 4, axis=1))
    np.testing.assert_array_equal(np.bincount(LABELS[fold.test]), [3, 10, 5])
    drawn = [*fold.train.ravel(), *fold.test]
    assert len(set(drawn)) == len(drawn)


def test_only_allowed_images_are_sampled():
    may_train = np.arange(len(LABELS)) % 2 == 0
    fold = draw(may_train, ~may_train, per_class=3)
    assert may_train[fold.train].all()
    assert not may_train[fold.test].any()


def test_folds_depend_on_seed_and_number():
    first, again = draw(seed=3, number=1), draw(seed=3, number=1)
    np.testing.assert_array_equal(first.train, again.train)
    np.testing.assert_array_equal(first.test, again.test)
    for other in (draw(seed=4, number=1), draw(seed=3, number=2)):
        assert not np.array_equal(first.train, other.train)


def test_every_image_is_sampled_in_some_fold():
    trained = {index for number in range(60) for index in draw(number=number).train.ravel()}
    assert trained == set(range(len(LABELS)))


@pytest.mark.parametrize("per_class", [7, 8])
def test_a_class_that_is_too_small(per_class):
    sentence = rf"'ant' has too few images, 7 for training and 0 others .* per_class={per_class}"
    with pytest.raises(ValueError, match=sentence):
        draw(per_class=per_class)
