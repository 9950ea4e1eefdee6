"""What the RMS limit does to the filters of the first layer: two trainings, with and without it.

    python benchmarks/filter_rms.py --data tiny_imagenet_30_jpegs.npz [--net alexnet] [--epochs 5]

The paper (Section 3, Figure 5): without the limit a few filters come to dominate the first layer.
Dominance is the RMS of the largest filter over the median one.
"""

import argparse
import dataclasses
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from kerasvis.convnets import AlexNet, ZFNet
from kerasvis.data import load_labelled
from kerasvis.training import Recipe, filter_rms, fit

NETS = {"zfnet": (ZFNet, (1, 2)), "alexnet": (AlexNet, (2, 1))}


def main():
    arguments = parse_arguments()
    limited = Recipe.scaled(
        arguments.crop_size,
        epochs=arguments.epochs,
        seed=arguments.seed,
        learning_rate=arguments.learning_rate,
        initial_deviation=arguments.initial_deviation,
    )
    data = load_labelled(arguments.data, image_size=limited.image_size)
    print(f"{arguments.net}, conv1 after {arguments.epochs} epochs, {arguments.data}")
    print(
        f"{'limit':>8s} {'median RMS':>11s} {'largest':>9s} {'dominance':>10s} {'val top-1':>10s}"
    )
    for recipe in (dataclasses.replace(limited, filter_rms_limit=None), limited):
        rms, accuracy = first_layer_after(recipe, data, arguments)
        median, largest = np.median(rms), rms.max()
        print(
            f"{recipe.filter_rms_limit or 'none':>8} {median:11.4f} {largest:9.4f} "
            f"{largest / median:10.2f} {accuracy:10.1%}",
            flush=True,
        )


def first_layer_after(recipe, data, arguments):
    """RMS of the filters of conv1, and the validation accuracy, after training by `recipe`."""
    build, strides = NETS[arguments.net]
    keras.utils.set_random_seed(recipe.seed)
    model = build(
        (recipe.crop_size, recipe.crop_size, 3),
        len(data.class_names),
        width=arguments.width,
        dense_units=arguments.dense_units,
        strides=strides,
        kernel_initializer=recipe.kernel_initializer,
    )
    history = fit(model, data.train, data.validation, recipe, verbose=arguments.verbose)
    rms = keras.ops.convert_to_numpy(filter_rms(model.get_layer("conv1").kernel))
    return rms, history.history["val_top_1"][-1]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--net", choices=NETS, default="zfnet")
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--dense-units", type=int, default=512)
    parser.add_argument("--crop-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=1e-2)
    parser.add_argument("--initial-deviation", type=float, default=1e-2, help="of the weights")
    parser.add_argument("--verbose", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
