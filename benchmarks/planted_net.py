"""A small convnet that tells planted objects apart, trained in minutes on two cores.

    python -m benchmarks.planted_net [--seed 0] [--images 4000] [--epochs 4] [--net planted.keras]

What an occlusion map of this net should show is known: the mask of the object.
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from keras import layers

from kerasvis.data import PlantedObjects

FILTERS = (24, 32, 64, 96)
BATCH_SIZE = 32
LEARNING_RATE = 4e-3
VALIDATION_SEED = 1_000_000  # above the training seeds, so that no image is in both


def train_planted_net(seed=0, num_images=4000, epochs=4, *, num_validation=800, verbose=0):
    """A net trained on `PlantedObjects` by plain `fit`, whose accuracy is printed.

    Args:
        seed: of the images and of the training.
        num_images: training images, 64×64 pixels.
        epochs: passes over them and their mirror images.
        num_validation: validation images, of another seed.
        verbose: as in `fit`.

    Returns:
        `(model, accuracy)`: a `keras.Model` that takes pixels in [0, 255], with the layers `conv1`
        to `conv4`, each followed by its `norm` and `relu`, and a softmax over
        `PlantedObjects.class_names`; its accuracy in [0, 1] on the validation images.
    """
    train = PlantedObjects(num_images, seed=seed)
    validation = PlantedObjects(num_validation, seed=VALIDATION_SEED + seed)
    keras.utils.set_random_seed(seed)
    model = planted_net()
    images = train[:]
    images = np.concatenate([images, images[:, :, ::-1]])  # no class changes in the mirror
    labels = np.concatenate([train.labels, train.labels])
    steps = epochs * -(-len(images) // BATCH_SIZE)
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    model.compile(
        keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(images, labels, BATCH_SIZE, epochs, verbose=verbose)
    accuracy = model.evaluate(validation[:], validation.labels, verbose=0, return_dict=True)
    print(f"validation accuracy {accuracy['accuracy']:.4f}", flush=True)
    return model, accuracy["accuracy"]


def open_planted_net(filepath=None, seed=0):
    """The net of a file, or one that is trained now and saved there, if a file is named."""
    if filepath is not None and Path(filepath).exists():
        return keras.saving.load_model(filepath)
    model, _ = train_planted_net(seed)
    if filepath is not None:
        model.save(filepath)
    return model


def planted_net():
    """Four convolutions, each with batch normalisation, and the maximum of every feature map."""
    x = inputs = keras.Input((64, 64, 3), name="pixels")
    x = layers.Rescaling(1 / 64, -2)(x)
    for number, filters in enumerate(FILTERS, 1):
        kernel_size = 5 if number == 1 else 3
        name = f"conv{number}"
        x = layers.Conv2D(filters, kernel_size, padding="same", use_bias=False, name=name)(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"norm{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
        if number < len(FILTERS):
            x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
    x = layers.GlobalMaxPooling2D(name="maxima")(x)
    x = layers.Dense(len(PlantedObjects.class_names), activation="softmax", name="softmax")(x)
    return keras.Model(inputs, x, name="planted_net")


def main(arguments=()):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--net", help=".keras file to save it in")
    arguments = parser.parse_args(arguments)
    start = time.perf_counter()
    model, _ = train_planted_net(arguments.seed, arguments.images, arguments.epochs, verbose=2)
    if arguments.net:
        model.save(arguments.net)
    print(f"after {time.perf_counter() - start:.0f} seconds")


if __name__ == "__main__":
    main(sys.argv[1:])
