"""What is scanned on several machines, importable by their workers and by a driver to be killed."""

import os
import signal
import sys

import keras
import numpy as np

import kerasvis as kv
from kerasvis.activations import EveryImage, Reducer

LAYERS = ["conv", "inner/linear", "dense"]
SIZE = (7, 9)


def convnet(seed=0):
    """Random real weights, so that another order of additions would show in the last bits."""
    keras.utils.set_random_seed(seed)
    inner_inputs = keras.Input((None, None, 4))
    inner = keras.Model(
        inner_inputs, keras.layers.Conv2D(5, (1, 3), name="linear")(inner_inputs), name="inner"
    )
    inputs = keras.Input((*SIZE, 3))
    features = keras.layers.Conv2D(4, 3, activation="relu", name="conv", padding="same")(inputs)
    means = keras.layers.GlobalAveragePooling2D()(inner(features))
    return keras.Model(inputs, keras.layers.Dense(6, name="dense")(means))


def random_images(number, seed=1):
    return np.random.default_rng(seed).normal(size=(number, *SIZE, 3)).astype("float32")


class MeanActivation(Reducer):
    """Sums of floats, whose last bits depend on the order of the additions."""

    def measure(self, outputs, layer):
        return keras.ops.mean(outputs, axis=tuple(range(1, len(outputs.shape) - 1)))

    def summary(self, measured, batch):
        return {"sum": np.exp(measured).sum(axis=0, dtype="float32"), "number": len(batch)}

    def merge(self, state, other):
        return {name: state[name] + other[name] for name in state}


class Means(EveryImage):
    def measure(self, outputs, layer):
        return keras.ops.mean(outputs, axis=(1, 2)) if len(outputs.shape) == 4 else outputs


class Fatal(Reducer):
    """Ends every worker that sees a pixel of 255, as a crash in a library would."""

    merges_exactly = True

    def __init__(self, driver):
        self.driver = driver

    def measure(self, outputs, layer):
        return keras.ops.max(outputs, axis=(1, 2, 3))

    def summary(self, measured, batch):
        if batch.images.max() == 255 and os.getpid() != self.driver:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"number": np.array(len(batch))}

    def merge(self, state, other):
        return {"number": state["number"] + other["number"]}


def main():
    """A driver of its own: python -m tests.engines.scanned ADDRESS FILEPATH NUMBER."""
    address, filepath, number = sys.argv[1:]
    engine = kv.engines.Ray(address, images_per_part=20)
    kv.find_top_activations(
        convnet(), LAYERS, random_images(int(number)), filepath=filepath, engine=engine, verbose=0
    )


if __name__ == "__main__":
    main()
