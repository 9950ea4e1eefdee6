import numpy as np
import pytest

from kerasvis.data.labelled.sub_crops import center_crop, ten_crops
from kerasvis.training.batches import num_steps, training_batches, validation_batches
from tests.training.small_runs import CROP_SIZE, small_images, small_recipe

NUM_IMAGES = 37


def epochs_of(recipe, first_epoch=0):
    """`[[(pixels, labels), ...], ...]`."""
    data = small_images(NUM_IMAGES)
    batches = list(training_batches(data, recipe, first_epoch).as_numpy_iterator())
    steps = num_steps(data, recipe)
    return [batches[begin : begin + steps] for begin in range(0, len(batches), steps)]


def test_an_epoch_has_every_image_once():
    data, recipe = small_images(NUM_IMAGES), small_recipe()
    candidates = np.stack(ten_crops(data.pixels, (CROP_SIZE, CROP_SIZE)), axis=1)
    epochs = epochs_of(recipe)
    assert len(epochs) == recipe.epochs
    orders = []
    for batches in epochs:
        assert [len(labels) for _, labels in batches] == [16, 16, 5]
        pixels, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        order = []
        for crop, label in zip(pixels, labels, strict=True):
            image, _ = np.argwhere((candidates == crop).all(axis=(2, 3, 4)))[0]
            assert data.labels[image] == label
            order.append(int(image))
        assert sorted(order) == list(range(NUM_IMAGES))
        orders.append(tuple(order))
    assert len(set(orders)) == recipe.epochs


@pytest.mark.parametrize("crops", ["ten", "random_scale"])
def test_an_epoch_follows_from_its_number(crops):
    sizes = {"image_size": 14, "crop_size": 14} if crops == "random_scale" else {}
    recipe = small_recipe(crops=crops, smallest_crop=0.5, **sizes)
    whole = epochs_of(recipe)
    for first_epoch in (1, 3):
        for here, there in zip(epochs_of(recipe, first_epoch), whole[first_epoch:], strict=True):
            for (pixels, labels), (other_pixels, other_labels) in zip(here, there, strict=True):
                np.testing.assert_array_equal(pixels, other_pixels)
                np.testing.assert_array_equal(labels, other_labels)


def test_the_seed_decides():
    first, other = (
        np.concatenate([labels for _, labels in epochs_of(small_recipe(seed=s))[0]]) for s in (0, 1)
    )
    assert not np.array_equal(first, other)


def test_validation_sees_the_centre():
    data = small_images(NUM_IMAGES)
    batches = list(validation_batches(data, small_recipe()).as_numpy_iterator())
    pixels, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    np.testing.assert_array_equal(pixels, center_crop(data.pixels, (CROP_SIZE, CROP_SIZE)))
    np.testing.assert_array_equal(labels, data.labels)
