"""A net, images and a recipe that train in a second."""

import keras
import numpy as np

from kerasvis.data import LabelledImages
from kerasvis.layers import PixelMean
from kerasvis.training import Recipe

IMAGE_SIZE, CROP_SIZE, NUM_CLASSES = 14, 12, 3


def small_recipe(**changes):
    """Five epochs of three steps, the last of which is smaller; there is a plateau."""
    numbers = {
        "image_size": IMAGE_SIZE,
        "crop_size": CROP_SIZE,
        "batch_size": 16,
        "learning_rate": 0.005,
        "epochs": 5,
        "annealing_patience": 1,
    }
    return Recipe(**numbers | changes)


def small_convnet(seed=0, has_norm=True):
    """Convolution, batch normalisation and dropout: all that has a state of its own."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((CROP_SIZE, CROP_SIZE, 3)),
            PixelMean(name="pixel_mean"),
            layers.Conv2D(4, 5, 2, activation="relu", name="conv1"),
            *([layers.BatchNormalization(name="norm1")] if has_norm else []),
            layers.Flatten(name="flatten"),
            layers.Dense(8, activation="relu", name="fc6"),
            layers.Dropout(0.3, name="dropout6"),
            layers.Dense(NUM_CLASSES, activation="softmax", name="softmax"),
        ],
        name="small",
    )


def small_images(number, seed=0):
    """Images whose brightness tells their class, more or less."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, NUM_CLASSES, number)
    pixels = random.integers(0, 256, (number, IMAGE_SIZE, IMAGE_SIZE, 3))
    brightness = (labels + 2)[:, None, None, None] / (NUM_CLASSES + 1)
    return LabelledImages((pixels * brightness).astype("uint8"), labels.astype("int64"))
