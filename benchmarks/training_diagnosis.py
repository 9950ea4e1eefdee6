"""What `callbacks.FilterDiagnosis` costs, as a share of an epoch of training.

    python -m benchmarks.training_diagnosis [--images 15000] [--probe-images 100]

A ZFNet of half width at 64×64, all its convolutions. The callback compiles once, when training
begins, which is a column of its own.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from benchmarks.feature_evolution import BATCH_SIZE, build, seconds_of
from benchmarks.turns import verdict
from kerasvis.callbacks import FilterDiagnosis

MAX_SHARE = 0.02
NUM_TURNS = 6


def main(arguments=()):
    arguments = parse(arguments)
    images = np.random.default_rng(0).integers(0, 256, (arguments.images, 64, 64, 3), "uint8")
    labels = np.arange(len(images)) % 30
    model = build()
    model.fit(images[:BATCH_SIZE], labels[:BATCH_SIZE], batch_size=BATCH_SIZE, verbose=0)
    epoch = seconds_of(lambda: model.fit(images, labels, batch_size=BATCH_SIZE, verbose=0))
    print(f"\nAn epoch of {len(images)} images: {epoch:.1f} s")
    print(f"{'counted':<42}{'begins':>8}{'an epoch':>10}{'share':>8}")
    probe = images[: arguments.probe_images]
    for name, watched in (
        ("filters", None),
        (f"filters, feature maps over {len(probe)} images", probe),
    ):
        begins, seconds = cost(model, FilterDiagnosis(watched, verbose=0))
        share = seconds / epoch
        print(
            f"{name:<42}{begins:>8.2f}{seconds:>10.3f}{share:>8.2%}"
            f" (<= {MAX_SHARE:.0%}) {verdict(share <= MAX_SHARE)}",
            flush=True,
        )


def cost(model, callback):
    """Seconds when training begins, and at the end of an epoch, the median of some."""
    callback.set_model(model)
    begins = seconds_of(callback.on_train_begin)
    callback.on_epoch_begin(0)
    later = [seconds_of(lambda n=n: callback.on_epoch_end(n, {})) for n in range(NUM_TURNS)]
    return begins, float(np.median(later))


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", type=int, default=15_000)
    parser.add_argument("--probe-images", type=int, default=100)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
