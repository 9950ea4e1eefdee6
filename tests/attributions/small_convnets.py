"""Small convnets with random weights, and their gradients by TensorFlow's tape."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

SIZE = (15, 12)
RANDOM = {"kernel_initializer": "he_normal", "bias_initializer": "random_normal"}


def convnet(activation="relu", last="softmax", size=SIZE, channels=3):
    """Convolutions, pooling, a shortcut and class scores."""
    inputs = keras.Input((*size, channels))
    x = layers.Conv2D(5, 3, activation=activation, name="conv1", **RANDOM)(inputs)
    x = pooled = layers.MaxPooling2D(2, name="pool1")(x)
    x = layers.Conv2D(5, 3, padding="same", name="conv2", **RANDOM)(x)
    x = layers.Activation(activation, name="active2")(layers.BatchNormalization(name="norm2")(x))
    x = layers.Add(name="sum")([x, pooled])
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return keras.Model(inputs, layers.Dense(4, activation=last, name="scores", **RANDOM)(x))


def random_images(num_images=3, size=SIZE, channels=3):
    rng = np.random.default_rng(0)
    return rng.normal(size=(num_images, *size, channels)).astype("float32")


def taped(model, layer, images, value_of, below=None):
    """`(outputs of layer below, gradients by them)` of `value_of(outputs of layer)`, by the tape.

    `below` None stands for the image.
    """
    outputs = [model.get_layer(layer).output]
    outputs += [] if below is None else [model.get_layer(below).output]
    inner = keras.Model(model.input, outputs)
    images = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        found = keras.tree.flatten(inner(images, training=False))
        value = value_of(found[0])
    source = images if below is None else found[1]
    return source.numpy(), tape.gradient(value, source).numpy()
