"""The deconvnet as a SavedModel: its size, and its latency against `DeconvModel.project`.

    python -m benchmarks.serving [--repetitions 5] [--nets ZFNet VGG16]

The shipped ZFNet at 64×64 and VGG16 with random weights at 224×224. The size is compared with the
weights that the projection needs, those up to the layer. A pair is an image and a feature map
whose strongest unit is projected; both contenders take the arrays of NumPy and return them. The
SavedModel is loaded and called by plain TensorFlow.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

import kerasvis as kv
from benchmarks.turns import median_times, verdict
from kerasvis.data.demo_photographs import DemoPhotographs
from kerasvis.deconvnet.targets import Strongest

SHIPPED = Path(__file__).parents[1] / "saved_models" / "zfnet-tiny-imagenet-30" / "model.keras"
LAYERS = {"ZFNet": ("conv3", "conv5"), "VGG16": ("block3_conv3", "block5_conv3")}
NUM_PAIRS = (1, 16)
MAX_MEGABYTES_BESIDE_WEIGHTS = 1.0
MAX_RATIO = 2.0  # of latencies: `project` cuts images to what a unit sees, the SavedModel does not
TOLERANCE = 1e-4  # of the largest value of a projection


def main():
    arguments = parse_arguments()
    print(f"{'net':<7}{'layer':<14}{'SavedModel':>12}{'weights':>10}{'ratio':>7}   MB")
    exported = {}
    with tempfile.TemporaryDirectory() as folder:
        for net in arguments.nets:
            model, images = load(net)
            for layer in LAYERS[net]:
                deconv = kv.DeconvModel(model, layer)
                exported[net, layer] = (
                    deconv,
                    report_size(net, deconv, Path(folder) / layer),
                    images,
                )
        print(
            f"\n{'net':<7}{'layer':<14}{'pairs':>6}{'SavedModel':>12}{'project':>10}{'ratio':>7}  s"
        )
        for (net, _), (deconv, served, images) in exported.items():
            for num_pairs in NUM_PAIRS:
                report_latency(net, deconv, served, images[:num_pairs], arguments.repetitions)


def load(net):
    """`(model, images)`."""
    keras.utils.set_random_seed(0)
    if net == "ZFNet":
        model, mode = keras.saving.load_model(SHIPPED, compile=False), "raw"
    else:
        model, mode = keras.applications.VGG16(weights=None), "caffe"
    return model, DemoPhotographs(tuple(model.inputs[0].shape[1:3]), mode)[: max(NUM_PAIRS)]


def report_size(net, deconv, folder):
    """Exports and prints the size; returns the SavedModel, loaded."""
    deconv.export(folder, verbose=False)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    weights = megabytes_up_to(deconv)
    is_small = size - weights <= MAX_MEGABYTES_BESIDE_WEIGHTS
    print(
        f"{net:<7}{deconv.layer:<14}{size:>12.2f}{weights:>10.2f}{size / weights:>7.2f}"
        f"      (at most {MAX_MEGABYTES_BESIDE_WEIGHTS} MB beside weights: {verdict(is_small)})",
        flush=True,
    )
    return tf.saved_model.load(str(folder))


def megabytes_up_to(deconv):
    """The weights of all layers up to that of the deconvnet, each layer once."""
    layers = {id(node.layer): node.layer for node in deconv.plan.nodes}.values()
    weights = [weight for layer in layers for weight in getattr(layer, "weights", ())]
    return sum(np.asarray(weight).nbytes for weight in weights) / 1e6


def report_latency(net, deconv, served, images, repetitions):
    features = (np.arange(len(images)) % deconv.target_shape[-1]).astype("int32")
    contenders = {
        "SavedModel": lambda: served.serve(images, features)["projection"].numpy(),
        "project": lambda: deconv.project(images, Strongest(features)),
    }
    ours, theirs = (call() for call in contenders.values())
    is_equal = np.abs(ours - theirs).max() <= TOLERANCE * np.abs(theirs).max()
    times = median_times(contenders, repetitions)
    ratio = times["SavedModel"] / times["project"]
    print(
        f"{net:<7}{deconv.layer:<14}{len(images):>6}{times['SavedModel']:>12.4f}"
        f"{times['project']:>10.4f}{ratio:>7.2f}"
        f"      (at most {MAX_RATIO}: {verdict(ratio <= MAX_RATIO)}; "
        f"equal within {TOLERANCE:.0e}: {verdict(is_equal)})",
        flush=True,
    )


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--nets", nargs="+", choices=LAYERS, default=list(LAYERS))
    return parser.parse_args()


if __name__ == "__main__":
    main()
