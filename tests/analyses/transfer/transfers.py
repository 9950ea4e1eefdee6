"""Small labelled data and a small convnet, for the tests of what carries over to other data."""

import keras
import numpy as np
from keras import layers

from kerasvis.data import LabelledData, LabelledImages

SIZE = (12, 15)
NAMES = ("ant", "bass", "crab")


def labelled_data(num_train=24, num_validation=12, size=SIZE, seed=0):
    """Images of three classes, each with a colour and much noise."""
    rng = np.random.default_rng(seed)
    sets = []
    for number in (num_train, num_validation):
        labels = np.arange(number) % 3
        colours = np.eye(3)[labels][:, None, None] * 90 + 60
        pixels = colours + rng.normal(0, 40, (number, *size, 3))
        sets.append(LabelledImages(pixels.clip(0, 255).astype("uint8"), labels.astype("int64")))
    return LabelledData(*sets, NAMES, size)


def convnet(size=SIZE, seed=0, name="small"):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((*size, 3)),
            layers.Rescaling(1 / 255, name="scale"),
            layers.Conv2D(5, 3, activation="relu", name="conv1"),
            layers.MaxPooling2D(2, name="pool1"),
            layers.Conv2D(6, 3, activation="relu", name="conv2"),
            layers.Flatten(name="flatten"),
            layers.Dense(4, activation="softmax", name="old_classes"),
        ],
        name=name,
    )
