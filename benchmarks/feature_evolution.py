"""What a snapshot of `FeatureEvolution` costs, as a share of an epoch of training.

    python -m benchmarks.feature_evolution [--images 15000] [--probe-images 500]

A ZFNet of half width at 64×64, eight feature maps of each convolution. The first snapshot of a
training is also compiled.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import kerasvis as kv
from benchmarks.turns import verdict
from kerasvis.analyses.evolution.feature_snapshot import FeatureSnapshots

LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5"]
BATCH_SIZE = 128
MAX_SHARE = 0.05


def main(arguments=()):
    arguments = parse(arguments)
    images = np.random.default_rng(0).integers(0, 256, (arguments.images, 64, 64, 3), "uint8")
    labels = np.arange(len(images)) % 30
    model = build()
    model.fit(images[:BATCH_SIZE], labels[:BATCH_SIZE], batch_size=BATCH_SIZE, verbose=0)
    epoch = seconds_of(lambda: model.fit(images, labels, batch_size=BATCH_SIZE, verbose=0))
    snapshots, probe = FeatureSnapshots(model, LAYERS), images[: arguments.probe_images]
    first, *later = [seconds_of(lambda: snapshots.take(probe)) for _ in range(6)]
    share = np.median(later) / epoch
    print(
        f"\nAn epoch of {len(images)} images: {epoch:.1f} s; a snapshot over {len(probe)}: "
        f"{np.median(later):.2f} s, the first {first:.1f} s\n"
        f"share of the epoch: {share:.1%} (<= {MAX_SHARE:.0%}) {verdict(share <= MAX_SHARE)}"
    )


def build():
    keras.utils.set_random_seed(0)
    model = kv.convnets.ZFNet(
        (64, 64, 3), 30, strides=(1, 2), width=0.5, dense_units=512, normalization="batch"
    )
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    return model


def seconds_of(call):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", type=int, default=15_000)
    parser.add_argument("--probe-images", type=int, default=500)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
