"""Workers of a Ray cluster on this machine against a scan in one process: images per second.

    python -m benchmarks.cluster [--images 128] [--repetitions 3] [--size 224]

VGG16 with random weights at 224×224, batch 16, all 13 convolution layers watched. One worker with
all processors does what the scan in this process does: what it takes longer is the overhead. Two
workers with one processor each do twice the work of one, as far as the processors allow: what the
bare forward pass gains in the same workers, which share nothing, is the limit. The workers are
started before; sending the model and the images, loading and compiling count. All take turns, in
changing order. Last, what follows for the 1.28 million images of ImageNet: machines, hours and
bytes.
"""

import argparse
import contextlib
import dataclasses
import functools
import math
import os
import pickle
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import keras
import numpy as np
import ray

from benchmarks.turns import median_times, verdict
from kerasvis.activations import find_top_activations
from kerasvis.engines import Ray
from kerasvis.engines.ray_engine import MOST_BATCHES
from kerasvis.graph.portable_model import PortableModel

BATCH_SIZE = 16
MIN_RATIO = 0.9  # of one worker to this process
MIN_SPEEDUP = 1.8  # of two workers to one
MIN_OF_LIMIT = 0.95  # of the speed-up of the bare forward pass
NUM_IMAGES_OF_IMAGENET = 1_281_167
NUM_BYTES_OF_IMAGENET = 138e9  # of its JPEG files, as the challenge of 2012 packs them
MACHINES = (1, 4, 16, 64)
COMMAND = "kerasvis features --model VGG16 --images imagenet/train --k 9 --engine ray:auto"


def main():
    arguments = parse_arguments()
    size = (arguments.size, arguments.size)
    model = keras.applications.VGG16(weights=None, input_shape=(*size, 3), include_top=False)
    layers = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    shape = (arguments.images, *size, 3)
    images = np.random.default_rng(0).normal(0, 60, shape).astype("float32")
    processors = len(os.sched_getaffinity(0))

    def scan(engine=None, images=images):
        return find_top_activations(
            model, layers, images, batch_size=BATCH_SIZE, engine=engine, verbose=0
        )

    engines = {
        f"one worker, {processors} processors": Ray(
            cpus_per_worker=processors, num_workers=1, images_per_part=arguments.images_per_part
        ),
        "one worker, 1 processor": Ray(num_workers=1, images_per_part=arguments.images_per_part),
        "two workers, 1 processor": Ray(num_workers=2, images_per_part=arguments.images_per_part),
    }
    contenders = {"this process": scan}
    contenders |= {name: functools.partial(scan, engine) for name, engine in engines.items()}
    bare = BareForwardPass(PortableModel(model), shape[1:])
    for name in ("one worker, 1 processor", "two workers, 1 processor"):
        contenders[f"{name}, bare"] = functools.partial(bare.run, engines[name], arguments.images)
    print(
        f"VGG16 at {size[0]}x{size[1]}, batch {BATCH_SIZE}, {len(layers)} layers watched, "
        f"{arguments.images} images in parts of {arguments.images_per_part}, {processors} "
        f"processors, load average {os.getloadavg()[0]:.1f}; images per second",
        flush=True,
    )
    # Room for all workers, which wait for one another; each has its own number of threads.
    ray.init("local", num_cpus=4 + processors, include_dashboard=False, log_to_driver=False)
    with contextlib.ExitStack() as stack:
        for engine in engines.values():
            scan(stack.enter_context(engine), images[:BATCH_SIZE])
        times = median_times(contenders, arguments.repetitions, warm_up=False)
    for name, seconds in times.items():
        print(f"{name:30s} {arguments.images / seconds:8.2f}")
    here, whole, one, two, one_bare, two_bare = times.values()
    report("one worker to this process", here / whole, MIN_RATIO)
    report("two workers to one", one / two, MIN_SPEEDUP)
    report("the same of the limit", one / two / (one_bare / two_bare), MIN_OF_LIMIT)
    num_bytes = bytes_of(model, layers, scan(images=images[:BATCH_SIZE]))
    report_imagenet(arguments.images / whole, processors, *num_bytes)


@dataclasses.dataclass
class Batches:
    """A part for `Ray.map`: some batches of random images."""

    num_batches: int

    @property
    def num_images(self):
        return self.num_batches * BATCH_SIZE


@dataclasses.dataclass
class BareForwardPass:
    """A worker for `Ray.map` that only runs the model, on images that it has already."""

    model: PortableModel
    shape: tuple[int, int, int]

    def run(self, engine, num_images):
        num_batches = engine.batches_per_part(None, BATCH_SIZE)
        parts = [Batches(num_batches)] * (num_images // (num_batches * BATCH_SIZE))
        return list(engine.map(self, parts))

    def open(self):
        self._model = self.model.load()
        self._images = np.zeros((BATCH_SIZE, *self.shape), "float32")

    def __call__(self, part):
        for _ in range(part.num_batches):
            self._model.predict_on_batch(self._images)


def report(name, ratio, least):
    print(f"{name:30s} {ratio:8.3f}  (>= {least}: {verdict(ratio >= least)})")


def bytes_of(model, layers, top):
    """`(bytes of the model as it is sent to each worker, of the result)`."""
    with tempfile.TemporaryDirectory() as folder:
        top.save(Path(folder) / "top.npz")
        of_result = (Path(folder) / "top.npz").stat().st_size
    return len(pickle.dumps(PortableModel(model, layers))), of_result


def report_imagenet(rate, processors, of_model, of_result):
    """Prints what a scan of ImageNet takes at the rate of one worker."""
    num_parts = math.ceil(NUM_IMAGES_OF_IMAGENET / (MOST_BATCHES * BATCH_SIZE))
    print(f"\nImageNet, {NUM_IMAGES_OF_IMAGENET:,} images, {rate:.2f} images per second on each")
    print(f"machine of {processors} processors: {COMMAND}")
    print(f"{num_parts:,} parts of {MOST_BATCHES * BATCH_SIZE} images")
    print(f"{NUM_BYTES_OF_IMAGENET / 1e9:8.0f} GB   read, each file by one machine")
    print(f"{of_model / 1e6:8.0f} MB   sent to each machine, the model")
    print(
        f"{num_parts * of_result / 1e9:8.1f} GB   sent back, {of_result / 1e6:.2f} MB of each part"
    )
    print(f"{of_result / 1e6:8.2f} MB   the result")
    for machines in MACHINES:
        hours = NUM_IMAGES_OF_IMAGENET / rate / machines / 3600
        print(f"{machines:4d} machines {hours:8.1f} hours")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--size", type=int, default=224, help="height and width in pixels")
    parser.add_argument("--images-per-part", type=int, default=32)
    parser.add_argument("--repetitions", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
