"""A model as bytes: what goes along, and what does not."""

import pickle

import keras
import numpy as np

from kerasvis.graph.portable_model import PortableModel


@keras.saving.register_keras_serializable(package="sent")
class Doubling(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs


@keras.saving.register_keras_serializable(package="sent")
def halved(x):
    return x / 2


@keras.saving.register_keras_serializable(package="elsewhere")
class Unrelated(keras.layers.Layer):
    """Registered in this process, and no part of the model: workers may lack its module."""


def test_only_what_the_model_is_made_of_is_sent():
    inputs = keras.Input((5, 4, 3))
    features = keras.layers.Conv2D(2, 3, activation=halved, name="conv")(Doubling()(inputs))
    model = keras.Model(inputs, features)
    sent = pickle.dumps(PortableModel(model))
    assert b"Doubling" in sent
    assert b"halved" in sent
    assert b"Unrelated" not in sent
    images = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype("float32")
    loaded = pickle.loads(sent).load()
    np.testing.assert_array_equal(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0)
    )
