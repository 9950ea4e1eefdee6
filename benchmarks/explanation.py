"""How long `kerasvis explain` takes, from the command line to the page.

    python -m benchmarks.explanation [--model ResNet50] [--size 224] [--turns 3]

A net with random weights, in which nearly every feature map is active. Each occluder position takes
a forward pass, or part of one, and so does each active feature map of four layers; so the bare
forward pass is timed beside it.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from benchmarks.turns import verdict

MOST = 60  # seconds
BATCH_SIZE = 32


def main():
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        model = saved_model(arguments, Path(folder) / "model.keras")
        explanations, passes = [], []
        for turn in range(arguments.turns):
            explanations.append(seconds_of_explanation(Path(folder), turn))
            passes.append(seconds_of_forward_pass(model, arguments.size))
    seconds, of_one = statistics.median(explanations), statistics.median(passes)
    print(f"kerasvis explain, {arguments.model} at {arguments.size}x{arguments.size}: medians")
    print(f"  from the command line to the page  {seconds:6.1f} s (< {MOST}) {told(seconds)}")
    print(f"  bare forward pass of an image      {of_one:6.3f} s")
    print(f"  forward passes in the same time    {seconds / of_one:6.0f}")


def told(seconds):
    return verdict(seconds < MOST)


def saved_model(arguments, filepath):
    keras.utils.set_random_seed(0)
    shape = (arguments.size, arguments.size, 3)
    model = getattr(keras.applications, arguments.model)(weights=None, input_shape=shape)
    model.save(filepath)
    return model


def seconds_of_explanation(folder, turn):
    command = [sys.executable, "-m", "kerasvis", "explain", "--model", str(folder / "model.keras")]
    command += ["--image", "demo:coffee", "--out", str(folder / f"explanation{turn}")]
    begin = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - begin


def seconds_of_forward_pass(model, size):
    images = np.zeros((BATCH_SIZE, size, size, 3), "float32")
    model.predict_on_batch(images)
    begin = time.perf_counter()
    model.predict_on_batch(images)
    return (time.perf_counter() - begin) / BATCH_SIZE


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", default="ResNet50", help="name in keras.applications")
    parser.add_argument("--size", type=int, default=224, help="height and width in pixels")
    parser.add_argument("--turns", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
