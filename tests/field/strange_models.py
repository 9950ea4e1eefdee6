"""Models that a user may bring and that have no graph of layers, or none yet."""

import keras
import numpy as np
from keras import layers, ops

SIZE = (14, 12)
SHAPE = (*SIZE, 3)


def images(number=6, seed=0):
    """uint8 `(number, 14, 12, 3)`."""
    return np.random.default_rng(seed).integers(0, 256, (number, *SHAPE)).astype("uint8")


def stack():
    """The layers of a small convnet of three classes."""
    return [
        layers.Rescaling(1 / 255),
        layers.Conv2D(4, 3, activation="relu", name="conv1"),
        layers.MaxPooling2D(name="pool1"),
        layers.Conv2D(5, 3, activation="relu", name="conv2"),
        layers.Flatten(),
        layers.Dense(3, name="scores"),
    ]


class Subclassed(keras.Model):
    """A convnet in the manner of the tutorials on subclassing."""

    def __init__(self, num_parts=None):
        super().__init__(name="mine")
        self.parts = stack()[:num_parts]

    def call(self, inputs):
        for part in self.parts:
            inputs = part(inputs)
        return inputs


class Doubled(keras.Model):
    """A functional model with a call() of its own."""

    def __init__(self):
        inputs = keras.Input(SHAPE)
        super().__init__(inputs, keras.Sequential(stack())(inputs), name="doubled")

    def call(self, inputs, training=False):
        return 2 * super().call(inputs, training=training)


class NotTraceable(layers.Layer):
    """A layer whose author called NumPy."""

    def call(self, inputs):
        return ops.convert_to_tensor(np.asarray(inputs) * 2)


class Torch:
    """What a model of another library looks like."""

    training = False

    def parameters(self):
        return iter(())

    def __call__(self, images):
        return images


def unbuilt():
    return keras.Sequential(stack(), name="unbuilt")


def compiled():
    model = unbuilt()
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def not_traceable():
    model = keras.Sequential([NotTraceable(), *stack()], name="numpy")
    model.build((None, *SHAPE))
    return model


# What has no graph, whatever images come with it.
WITHOUT_GRAPH = {
    "subclassed": Subclassed,
    "functional with a call of its own": Doubled,
    "layer that cannot be traced": not_traceable,
    "layer": lambda: layers.Conv2D(4, 3, name="conv"),
    "None": lambda: None,
    "path": lambda: "saved_models/model.keras",
    "another library's": Torch,
    "class": lambda: Subclassed,
}
# What gets one as soon as images come with it.
UNBUILT = {"unbuilt": unbuilt, "compiled": compiled}
