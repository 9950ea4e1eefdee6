"""What a gallery of two methods costs, against one of each.

    python -m benchmarks.gallery [--images 64] [--turns 2]

SqueezeNet with random weights at 227×227, three of its layers. The scan and the reading of images
are done once; the forward pass of a projection is shared by the two methods. Each gallery is built
in a new folder by a process that has compiled nothing.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras

import kerasvis as kv
from benchmarks.turns import verdict
from kerasvis.data.demo_photographs import DemoPhotographs

LAYERS = ["conv1", "fire5_expand3x3", "fire9_squeeze1x1"]
CONTENDERS = {"deconvnet": ["deconvnet"], "guided": ["guided"], "both": ["deconvnet", "guided"]}


def main():
    arguments = parse_arguments()
    if arguments.methods:
        print(seconds_of_gallery(arguments.methods, arguments.images))
        return
    seconds = {name: [] for name in CONTENDERS}
    for _ in range(arguments.turns):
        for name, methods in CONTENDERS.items():
            seconds[name].append(in_a_process(methods, arguments.images))
    print(f"SqueezeNet at 227x227, {arguments.images} images, {', '.join(LAYERS)}: seconds")
    least = {name: min(values) for name, values in seconds.items()}
    for name, value in least.items():
        print(f"  {name:<12}{value:>8.1f}")
    ratio = least["both"] / (least["deconvnet"] + least["guided"])
    print(f"both against one of each: {ratio:.2f} (< 1) {verdict(ratio < 1)}")


def in_a_process(methods, num_images):
    command = [sys.executable, "-m", "benchmarks.gallery", "--images", str(num_images)]
    said = subprocess.run(
        [*command, "--methods", *methods], capture_output=True, text=True, check=True
    ).stdout
    return float(said.splitlines()[-1])


def seconds_of_gallery(methods, num_images):
    keras.utils.set_random_seed(0)
    model = kv.convnets.SqueezeNet((227, 227, 3), 1000)
    photographs = DemoPhotographs((227, 227))[:num_images]
    options = {"methods": methods, "preprocessing": "raw", "verbose": 0}
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        kv.write_gallery(model, LAYERS, photographs, folder, **options)
    return time.perf_counter() - begin


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--methods", nargs="+", help="build one gallery, and print its seconds")
    return parser.parse_args()


if __name__ == "__main__":
    main()
