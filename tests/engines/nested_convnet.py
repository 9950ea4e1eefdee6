"""A small convnet with a layer inside a model of its own, and a method of the user's own."""

import keras

SIZE = (13, 16)


def nested_convnet():
    """Its feature maps are those of `conv` and `inner/linear`, its units those of `dense`."""
    keras.utils.set_random_seed(0)
    inner_inputs = keras.Input((None, None, 4))
    linear = keras.layers.Conv2D(5, (1, 3), name="linear")
    inner = keras.Model(inner_inputs, linear(inner_inputs), name="inner")
    inputs = keras.Input((*SIZE, 3))
    features = keras.layers.Conv2D(4, 3, activation="relu", name="conv", padding="same")(inputs)
    means = keras.layers.GlobalAveragePooling2D()(inner(features))
    return keras.Model(inputs, keras.layers.Dense(3, "softmax", name="dense")(means))


def brightness(model, layer, images, target):
    """A method of the user's own."""
    return images.mean(axis=-1)
