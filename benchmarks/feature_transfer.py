"""Features carried to other data: time to compute them against `predict`, and to train the heads.

    python -m benchmarks.feature_transfer [--images 3030] [--repetitions 3]

SqueezeNet at 227×227 with random weights and images; all features of fire9, written to a cache, and
the heads on 101 classes of 30 images with as many features.
"""

import argparse
import os
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from benchmarks.turns import median_times, verdict
from kerasvis.analyses.transfer.all_images import AllImages
from kerasvis.analyses.transfer.feature_cache import FeatureCache
from kerasvis.analyses.transfer.heads import HEADS, normalized
from kerasvis.convnets import SqueezeNet
from kerasvis.data import LabelledData, LabelledImages

LAYER, SIZE, BATCH_SIZE = "fire9", (227, 227), 64
NUM_CLASSES, PER_CLASS, NUM_FEATURES = 101, 30, 18_432
MAX_OF_PREDICT = 1.1


def main(arguments=()):
    arguments = parse(arguments)
    keras.utils.set_random_seed(0)
    compare_features(arguments)
    show_heads()


def compare_features(arguments):
    pixels = np.random.default_rng(0).integers(0, 256, (arguments.images, *SIZE, 3), "uint8")
    labels = np.arange(len(pixels)) % NUM_CLASSES
    train, test = (LabelledImages(pixels[part], labels[part]) for part in np.s_[:-1, -1:])
    data = LabelledData(train, test, tuple(map(str, range(NUM_CLASSES))), SIZE)
    images, model = AllImages(data), SqueezeNet()
    trunk = keras.Model(model.input, model.get_layer(LAYER).output)

    def features():
        with tempfile.TemporaryDirectory() as folder:
            FeatureCache(folder, model, [LAYER], images).compute(BATCH_SIZE, verbose=0)

    contenders = {
        "features": features,
        "predict": lambda: trunk.predict(pixels, batch_size=BATCH_SIZE, verbose=0),
    }
    times = median_times(contenders, arguments.repetitions)
    ratio = times["features"] / times["predict"]
    print(
        f"\n{len(pixels)} images, seconds: features {times['features']:.1f}, predict "
        f"{times['predict']:.1f}; ratio {ratio:.2f} (<= {MAX_OF_PREDICT}) "
        f"{verdict(ratio <= MAX_OF_PREDICT)}"
    )


def show_heads():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(NUM_CLASSES, NUM_FEATURES)).astype("float32")
    labels = np.repeat(np.arange(NUM_CLASSES), PER_CLASS)
    noise = rng.normal(size=(len(labels), NUM_FEATURES)).astype("float32")
    features = normalized(np.maximum(0.15 * centres[labels] + noise, 0))
    for name, head in HEADS.items():
        begin = time.perf_counter()
        head(features, labels, features[:PER_CLASS], NUM_CLASSES, 0)
        seconds = time.perf_counter() - begin
        print(f"{name} on {len(labels)} images of {NUM_FEATURES} features: {seconds:.1f} s")


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", type=int, default=NUM_CLASSES * PER_CLASS)
    parser.add_argument("--repetitions", type=int, default=3)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
