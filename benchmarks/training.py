"""`kerasvis.training.fit` against a bare Keras `fit` of the same model and data: images per second.

    python -m benchmarks.training [--images 1024] [--epochs 4] [--turns 2]

A ZFNet with batch normalisation at 64×64, batch 128, crops of random scale; with kerasvis, the
state of every epoch is saved. The two take turns; the first epoch of each, in which Keras compiles,
does not count.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from benchmarks.turns import verdict
from kerasvis.convnets import ZFNet
from kerasvis.data import LabelledImages, random_scale_crops
from kerasvis.training import Recipe, compile_for, fit

MIN_RATIO = 0.97
NUM_CLASSES = 30


class EpochSeconds(keras.callbacks.Callback):
    """Time from the beginning of an epoch to that of the next, saving and validation included."""

    def __init__(self):
        super().__init__()
        self.times = []

    def on_epoch_begin(self, epoch, logs=None):
        self.times.append(time.perf_counter())

    def on_train_end(self, logs=None):
        self.times.append(time.perf_counter())

    def seconds(self):
        return np.diff(self.times).tolist()[1:]


def main(arguments=()):
    arguments = parse(arguments)
    train, validation = random_images(arguments.images), random_images(arguments.images // 10)
    recipe = Recipe.for_small_images(64, epochs=arguments.epochs + 1)
    seconds = {"Keras": [], "kerasvis": []}
    waiting = []
    for _ in range(arguments.turns):
        seconds["Keras"] += fit_bare(train, validation, recipe)
        own, shares = fit_kerasvis(train, validation, recipe)
        seconds["kerasvis"] += own
        waiting += shares
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print("ZFNet at 64x64, width 0.25, batch 128, images per second")
    for name, median in medians.items():
        print(f"{name:10s} {arguments.images / median:8.1f}")
    ratio = medians["Keras"] / medians["kerasvis"]
    print(f"{'ratio':10s} {ratio:8.3f}  (>= {MIN_RATIO}: {verdict(ratio >= MIN_RATIO)})")
    print(f"{'waiting':10s} {statistics.median(waiting):8.1%}  of a step, for data")


def build(recipe):
    keras.utils.set_random_seed(recipe.seed)
    return ZFNet(
        (64, 64, 3),
        NUM_CLASSES,
        width=0.25,
        dense_units=256,
        strides=(1, 2),
        normalization="batch",
        kernel_initializer=recipe.kernel_initializer,
    )


def fit_bare(train, validation, recipe):
    """As one writes it with Keras and tf.data alone; the crops are the same function."""
    model, seconds = build(recipe), EpochSeconds()
    compile_for(model, recipe, train.num_images)
    seeds = tf.data.Dataset.random(seed=0, rerandomize_each_iteration=True).batch(2)
    shuffled = tf.data.Dataset.from_tensor_slices(tuple(train)).shuffle(train.num_images, seed=0)
    batches = tf.data.Dataset.zip(shuffled.batch(recipe.batch_size), seeds)

    def crop(batch, seed):
        return random_scale_crops(batch[0], seed, recipe.smallest_crop), batch[1]

    model.fit(
        batches.map(crop, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE),
        validation_data=tuple(validation),
        validation_batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        callbacks=[seconds],
        shuffle=False,
        verbose=0,
    )
    return seconds.seconds()


def fit_kerasvis(train, validation, recipe):
    """Seconds of the epochs, and the shares of their steps that waited for data."""
    seconds = EpochSeconds()
    with tempfile.TemporaryDirectory() as directory:
        history = fit(
            build(recipe),
            train,
            validation,
            recipe,
            callbacks=[seconds],
            directory=directory,
            verbose=0,
        )
    return seconds.seconds(), history.history["waiting_for_data"][1:]


def random_images(number):
    random = np.random.default_rng(number)
    pixels = random.integers(0, 256, (number, 64, 64, 3)).astype("uint8")
    return LabelledImages(pixels, random.integers(0, NUM_CLASSES, number))


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--epochs", type=int, default=4, help="that count, per turn")
    parser.add_argument("--turns", type=int, default=2)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
