"""The batches of labelled images for a recipe; an epoch's number determines its batches."""

from kerasvis.data.labelled.augmentation import random_scale_crops, random_sub_crops
from kerasvis.data.labelled.sub_crops import center_crop
from kerasvis.data.tensorflow_only import tf


def training_batches(data, recipe, first_epoch=0):
    """Shuffled and cropped batches of all epochs, one after another.

    Order and crops of an epoch depend on the recipe's seed and the number of the epoch only, so
    that a run can begin at any epoch.

    Args:
        data: `LabelledImages`, or an object with the same `num_images` and `batches`: pixels
            `(images, image_size, image_size, 3)` of the recipe.
        recipe: a `Recipe`.
        first_epoch: number of epochs to skip.

    Returns:
        A `tf.data.Dataset` of `(pixels (batch, crop_size, crop_size, 3), labels (batch,))`. An
        epoch has `num_steps(data, recipe)` batches; the last one may be smaller.
    """

    def of_epoch(epoch):
        seed = _folded((recipe.seed, 0), epoch)
        steps = data.batches(recipe.batch_size, seed).enumerate()
        return steps.map(lambda step, batch: (_folded(seed, step), *batch))

    def crop(seed, pixels, labels):
        return _random_crops(pixels, seed, recipe), labels

    epochs = tf.data.Dataset.range(first_epoch, recipe.epochs)
    cropped = epochs.flat_map(of_epoch).map(
        crop, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    return cropped.prefetch(tf.data.AUTOTUNE)


def validation_batches(data, recipe):
    """The centre crops of all images, in order; shapes as in `training_batches`."""
    size = (recipe.crop_size, recipe.crop_size)
    return (
        data.batches(recipe.batch_size)
        .map(lambda pixels, labels: (center_crop(pixels, size), labels))
        .prefetch(tf.data.AUTOTUNE)
    )


def num_steps(data, recipe):
    """Number of batches per epoch."""
    return -(-data.num_images // recipe.batch_size)


def _random_crops(pixels, seed, recipe):
    if recipe.crops == "random_scale":
        return random_scale_crops(pixels, seed, recipe.smallest_crop)
    return random_sub_crops(pixels, seed, (recipe.crop_size, recipe.crop_size))


def _folded(seed, number):
    """The seed of a part, from the seed of the whole and the number of the part."""
    return tf.random.fold_in(tf.cast(seed, tf.int64), number)
