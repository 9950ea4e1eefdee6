"""What the RMS limit does to the filters of the first layer: two trainings, with and without it.

    python -m benchmarks.filter_rms --data tiny_imagenet_30_jpegs.npz --out nets

The paper (Section 3, Figure 5): without the limit a few filters come to dominate the first layer.
Dominance is the RMS of the largest filter over the median one. By `--recipe paper` a small net has
to train for long before any filter reaches the limit; by `small`, where batch normalisation makes
the output independent of the filters' scale, they do at once. Both nets are kept in `--out`, for
`kerasvis diagnose` to draw.
"""

import argparse
import dataclasses
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from kerasvis.convnets import AlexNet, ZFNet
from kerasvis.data import load_labelled
from kerasvis.training import Recipe, filter_rms, fit

NETS = {"zfnet": (ZFNet, (1, 2)), "alexnet": (AlexNet, (2, 1))}
RECIPES = {"paper": (Recipe.scaled, "local_response"), "small": (Recipe.for_small_images, "batch")}
LIMIT = 0.1  # the paper's


def main():
    arguments = parse_arguments()
    make_recipe, normalization = RECIPES[arguments.recipe]
    recipe = make_recipe(64, epochs=arguments.epochs, seed=arguments.seed)
    data = load_labelled(arguments.data, image_size=recipe.image_size)
    print(f"{arguments.net}, conv1 after {arguments.epochs} epochs, {arguments.data}")
    print(
        f"{'limit':>8s} {'median RMS':>11s} {'largest':>9s} {'dominance':>10s} {'val top-1':>10s}"
    )
    for limit in (None, LIMIT):
        limited = dataclasses.replace(recipe, filter_rms_limit=limit)
        name = f"{arguments.net}_{'without' if limit is None else 'with'}_limit"
        model, accuracy = trained(name, limited, normalization, data, arguments)
        rms = keras.ops.convert_to_numpy(filter_rms(model.get_layer("conv1").kernel))
        median, largest = np.median(rms), rms.max()
        print(
            f"{limit or 'none':>8} {median:11.4f} {largest:9.4f} "
            f"{largest / median:10.2f} {accuracy:10.1%}",
            flush=True,
        )
        if arguments.out is not None:
            arguments.out.mkdir(parents=True, exist_ok=True)
            model.save(arguments.out / f"{name}.keras")


def trained(name, recipe, normalization, data, arguments):
    """`(model, validation top-1)` after training by `recipe`."""
    build, strides = NETS[arguments.net]
    keras.utils.set_random_seed(recipe.seed)
    model = build(
        (recipe.crop_size, recipe.crop_size, 3),
        len(data.class_names),
        width=arguments.width,
        dense_units=arguments.dense_units,
        strides=strides,
        normalization=normalization,
        kernel_initializer=recipe.kernel_initializer,
        name=name,
    )
    history = fit(model, data.train, data.validation, recipe, verbose=arguments.verbose)
    return model, history.history["val_top_1"][-1]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--net", choices=NETS, default="zfnet")
    parser.add_argument("--recipe", choices=RECIPES, default="small")
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--dense-units", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for both nets")
    parser.add_argument("--verbose", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
