"""A small convnet, images and methods, for the tests of reports on fidelity."""

import keras
import numpy as np
from keras import layers

from kerasvis.analyses.fidelity.fidelity_report import fidelity_report

SIZE = (21, 17)


def small_convnet(seed=0):
    keras.utils.set_random_seed(seed)
    stack = [
        keras.Input((*SIZE, 3)),
        layers.Rescaling(1 / 127.5, -1, name="scale"),
        layers.Conv2D(6, 3, activation="relu", name="conv1"),
        layers.MaxPooling2D(2, name="pool1"),
        layers.Conv2D(8, 3, activation="relu", name="conv2"),
    ]
    return keras.Sequential(stack)


def small_images():
    pixels = np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3))
    return pixels.astype("float32")


def own_pixels(model, layer, images, target):
    return images


METHODS = {"zf": "deconvnet", "gradient": "gradient", "pixels": own_pixels}


def small_report(model, images, methods=METHODS, **options):
    options = {"num_draws": 2, "num_steps": 3, "verbose": 0, **options}
    return fidelity_report(model, "conv2", images, methods, **options)
