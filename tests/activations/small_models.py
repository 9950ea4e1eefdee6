"""Small convnets with whole-numbered weights, so that activations are exact and often tie."""

import keras
import numpy as np


def whole_numbered(model, seed=0, low=-2, high=3):
    generator = np.random.default_rng(seed)
    model.set_weights(
        [generator.integers(low, high, w.shape).astype("float32") for w in model.get_weights()]
    )
    return model


def whole_numbered_images(number, size=(7, 9), seed=1):
    images = np.random.default_rng(seed).integers(-1, 2, (number, *size, 3))
    return images.astype("float32")


def small_convnet(size=(7, 9)):
    """conv (ReLU) → pooling → a nested model with a linear convolution → dense."""
    inner_inputs = keras.Input((None, None, 4))
    inner_outputs = keras.layers.Conv2D(5, (1, 3), strides=(2, 1), name="linear")(inner_inputs)
    inner = keras.Model(inner_inputs, inner_outputs, name="inner")
    inputs = keras.Input((*size, 3))
    features = keras.layers.Conv2D(4, 3, activation="relu", name="conv", padding="same")(inputs)
    pooled = keras.layers.MaxPooling2D(2, padding="same", name="pool")(features)
    means = keras.layers.GlobalAveragePooling2D(name="means")(inner(pooled))
    outputs = keras.layers.Dense(6, name="dense")(means)
    return whole_numbered(keras.Model(inputs, outputs))
