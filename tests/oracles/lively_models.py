"""Well-known models with random weights, whose activations stay of one scale."""

import keras
import numpy as np

from tests.oracles.random_graphs import randomize_weights

SCALE = 50.0  # of the images


def make_lively(model, rng, num_images=2, size=None):
    """Gives a model random weights and statistics, and returns images for it.

    The statistics of its batch normalisations are first those of the images, and then changed at
    random: drawn without regard to the activations, they leave a deep net dead or linear.

    Args:
        model: a `keras.Model` of images.
        rng: a `numpy.random.Generator`.
        num_images: number of images.
        size: `(height, width)` where the model takes any.

    Returns:
        float32 `(images, rows, columns, channels)`.
    """
    shape = (*(size or model.input_shape[1:3]), model.input_shape[3])
    randomize_weights(model, rng)
    layers = model._flatten_layers()
    normalizations = [x for x in layers if isinstance(x, keras.layers.BatchNormalization)]
    for x in normalizations:
        x.momentum = 0.0
    if normalizations:
        model((SCALE * rng.normal(size=(8, *shape))).astype("float32"), training=True)
    for x in normalizations:
        deviation = np.sqrt(x.moving_variance)
        x.moving_mean.assign_add(0.3 * deviation * rng.normal(size=deviation.shape))
        x.moving_variance.assign(x.moving_variance * rng.uniform(0.5, 2.0, deviation.shape))
    return (SCALE * rng.normal(size=(num_images, *shape))).astype("float32")
