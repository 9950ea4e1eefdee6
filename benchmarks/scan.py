"""The scan of all feature maps against bare `model.predict`: images per second.

    python -m benchmarks.scan [--images 192] [--repetitions 3]

VGG16 with random weights at 224×224, batch 16, all 13 convolution layers watched. The two take
turns, in changing order, so that a busy machine slows both. Every scan compiles its pass once,
about a second, which counts: with few images it shows.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from benchmarks.turns import median_times, verdict
from kerasvis.activations import find_top_activations

BATCH_SIZE = 16
MIN_RATIO = 0.9


def main():
    arguments = parse_arguments()
    model = keras.applications.VGG16(weights=None)
    layers = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    shape = (arguments.images, 224, 224, 3)
    images = np.random.default_rng(0).normal(0, 60, shape).astype("float32")
    contenders = {
        "predict": lambda: model.predict(images, batch_size=BATCH_SIZE, verbose=0),
        "scan": lambda: find_top_activations(
            model, layers, images, batch_size=BATCH_SIZE, verbose=0
        ),
    }
    times = median_times(contenders, arguments.repetitions)
    ratio = times["predict"] / times["scan"]
    print(f"VGG16 at 224x224, batch {BATCH_SIZE}, {len(layers)} layers watched, images per second")
    for name, seconds in times.items():
        print(f"{name:8s} {arguments.images / seconds:8.2f}")
    print(f"{'ratio':8s} {ratio:8.3f}  (>= {MIN_RATIO}: {verdict(ratio >= MIN_RATIO)})")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--repetitions", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
