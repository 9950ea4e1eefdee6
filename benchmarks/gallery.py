"""What a gallery of two methods costs, against one of the deconvnet alone.

    python -m benchmarks.gallery [--images 64] [--turns 2] [--size 227] [--second METHOD ...]

SqueezeNet with random weights, three of its layers. The scan and the reading of images are done
once. The three that differ in rectification share the forward pass; other methods see the whole
image of each unit again. Each gallery is built in a new folder by a process that has compiled
nothing.
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
WITH_LAYERS_BELOW = LAYERS[1:]  # which Grad-CAM needs
FIRST, SECOND = "deconvnet", ("guided", "gradient", "gradient_times_input", "grad_cam")
MOST = 2  # times one method


def main():
    arguments = parse_arguments()
    if arguments.methods:
        print(seconds_of_gallery(arguments))
        return
    print(f"SqueezeNet at {arguments.size}x{arguments.size}, {arguments.images} images: seconds")
    print(f"  {'second method':<22}{FIRST:>10}{'both':>8}{'ratio':>8}")
    for second in arguments.second:
        one, both = alternating(arguments, second)
        ratio = both / one
        told = f"(< {MOST}) {verdict(ratio < MOST)}"
        print(f"  {second:<22}{one:>10.1f}{both:>8.1f}{ratio:>8.2f} {told}", flush=True)


def alternating(arguments, second):
    """Least seconds of a gallery of the first method, and of one of both, which take turns."""
    layers = WITH_LAYERS_BELOW if second == "grad_cam" else LAYERS
    seconds = {(FIRST,): [], (FIRST, second): []}
    for _ in range(arguments.turns):
        for methods, values in seconds.items():
            values.append(in_a_process(arguments, layers, methods))
    return [min(values) for values in seconds.values()]


def in_a_process(arguments, layers, methods):
    command = [sys.executable, "-m", "benchmarks.gallery", "--images", str(arguments.images)]
    command += ["--size", str(arguments.size), "--layers", *layers, "--methods", *methods]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(said.splitlines()[-1])


def seconds_of_gallery(arguments):
    keras.utils.set_random_seed(0)
    size = (arguments.size, arguments.size)
    model = kv.convnets.SqueezeNet((*size, 3), 1000)
    photographs = DemoPhotographs(size)[: arguments.images]
    options = {"methods": arguments.methods, "preprocessing": "raw", "verbose": 0}
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        kv.write_gallery(model, arguments.layers, photographs, folder, **options)
    return time.perf_counter() - begin


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--size", type=int, default=227, help="height and width in pixels")
    parser.add_argument("--second", nargs="+", default=SECOND, help="the method beside the first")
    parser.add_argument("--methods", nargs="+", help="build one gallery, and print its seconds")
    parser.add_argument("--layers", nargs="+", default=LAYERS, help="of that gallery")
    return parser.parse_args()


if __name__ == "__main__":
    main()
