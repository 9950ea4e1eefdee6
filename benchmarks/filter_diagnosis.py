"""How often the rules of the filter diagnosis are wrong: misses and false alarms.

    python -m benchmarks.filter_diagnosis [--models saved_models/*/model.keras]

Misses: filters of random weights into which faults were planted, and nets with stride 4. False
alarms: filters of random weights as they are, and trained nets; for aliasing also strides that a
net does not have, in the projections that it has. Images are the demo's photographs.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import kerasvis  # noqa: F401 - registers its layers, so that nets can be loaded
from kerasvis.analyses.filters.aliasing import aliasing
from kerasvis.analyses.filters.filter_diagnosis import diagnose_filters
from kerasvis.analyses.filters.filter_findings import (
    ALIASING,
    filter_findings,
    is_high_frequency,
    is_twin,
    lower_bound_of_median,
)
from kerasvis.data.demo_photographs import DemoPhotographs

SIZES = (3, 5, 7, 11)
NUM_FILTERS = 96
FREQUENCIES = ((0.5, 0), (0, 0.5), (0.5, 0.5), (0.4, 0), (0.4, 0.2))  # of planted gratings
CONTROL_STRIDES = (3, 5)  # that no net here has, nor its pooling


def main():
    arguments = parse_arguments()
    keras.utils.set_random_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    print(f"Planted among {NUM_FILTERS} random filters, {arguments.num_nets} times each")
    print(f"{'fault':>30s} {'size':>6s} {'planted':>8s} {'missed':>7s} {'others':>7s}")
    for fault, (plant, find) in FAULTS.items():
        for size in SIZES:
            report_planted(fault, plant, find, size, arguments.num_nets, rng)
    print(f"\nRandom filters as they are: false alarms of {arguments.num_nets} nets")
    report_random(arguments.num_nets, rng)
    print("\nAliasing: ratio, lower bound (over the limit: found), at its own and other strides")
    report_random_strides(arguments.num_images)
    for filepath in arguments.models:
        report_trained(filepath, arguments.num_images)


def plant_zeros(filters, chosen, rng):
    filters[..., chosen] = 0


def plant_weak(filters, chosen, rng):
    filters[..., chosen] *= 5e-3


def plant_copies(filters, chosen, rng):
    filters[..., chosen] = filters[..., :1] * rng.uniform(0.5, 2, len(chosen))


def plant_near_copies(filters, chosen, rng):
    noise = rng.normal(size=(*filters.shape[:3], len(chosen)))
    filters[..., chosen] = filters[..., :1] + 0.2 * filters[..., :1].std() * noise


def plant_gratings(filters, chosen, rng):
    row, column = np.indices(filters.shape[:2])[..., None, None]
    vertical, horizontal = np.array(FREQUENCIES)[rng.integers(len(FREQUENCIES), size=len(chosen))].T
    gratings = np.cos(2 * np.pi * (row * vertical + column * horizontal))
    filters[..., chosen] = gratings * rng.uniform(0.01, 0.02, (filters.shape[2], len(chosen)))


def dead(diagnosis):
    return diagnosis.first.is_weak


FAULTS = {
    "dead (zero)": (plant_zeros, dead),
    "dead (0.5 % of the weights)": (plant_weak, dead),
    "copies": (plant_copies, is_twin),
    "copies with noise of a fifth": (plant_near_copies, is_twin),
    "high frequency": (plant_gratings, is_high_frequency),
}


def report_planted(fault, plant, find, size, num_nets, rng):
    """Plants 1 to 40 faults, and counts those that are missed and the others that are found."""
    num_planted = num_missed = num_others = 0
    for _ in range(num_nets):
        filters = random_filters(size, rng)
        chosen = 1 + rng.permutation(NUM_FILTERS - 1)[: rng.integers(1, 41)]
        plant(filters, chosen, rng)
        found = find(diagnose_filters(first_layer_of(filters)))
        num_planted += len(chosen)
        num_missed += int((~found[chosen]).sum())
        num_others += int(np.delete(found, chosen).sum())
    print(f"{fault:>30s} {size:3d}×{size:<2d} {num_planted:8d} {num_missed:7d} {num_others:7d}")


def report_random(num_nets, rng):
    print(f"{'size':>6s} {'dominant':>9s} {'dead':>6s} {'twins':>6s} {'high':>6s} {'gap':>6s}")
    for size in SIZES:
        diagnoses = [
            diagnose_filters(first_layer_of(random_filters(size, rng))) for _ in range(num_nets)
        ]
        found = np.array([[f.is_found for f in filter_findings(d)[:5]] for d in diagnoses], bool)
        print(f"{size:3d}×{size:<2d} " + " ".join(f"{share:6.0%}" for share in found.mean(axis=0)))


def random_filters(size, rng):
    return rng.normal(0, 0.01, (size, size, 3, NUM_FILTERS)).astype("float32")


def first_layer_of(filters):
    convolution = keras.layers.Conv2D(filters.shape[3], filters.shape[:2], name="conv1")
    model = keras.Sequential([keras.Input((32, 32, 3)), convolution])
    convolution.set_weights([filters, np.zeros(filters.shape[3], "float32")])
    return model


def report_random_strides(num_images):
    for size, stride in ((7, 1), (7, 2), (11, 2), (7, 4), (11, 4)):
        model = keras.Sequential(
            [
                keras.Input((96, 96, 3)),
                keras.layers.Rescaling(1, -128),
                keras.layers.Conv2D(24, size, stride, activation="relu", name="conv1"),
                keras.layers.MaxPooling2D(3, 2),
                keras.layers.Conv2D(64, 5, activation="relu", name="conv2"),
            ],
            name=f"random_{size}x{size}_stride_{stride}",
        )
        report_aliasing(diagnose_filters(model, photographs(model, num_images), verbose=0))


def report_trained(filepath, num_images):
    model = keras.saving.load_model(filepath, compile=False)
    diagnosis = diagnose_filters(model, photographs(model, num_images), verbose=0)
    print(f"\n{filepath}", *map(str, filter_findings(diagnosis)), sep="\n")
    report_aliasing(diagnosis)


def report_aliasing(diagnosis):
    own = int(diagnosis.strides[0])
    measured = []
    for stride in (own, *CONTROL_STRIDES):
        ratios = aliasing(diagnosis.projections, (stride, stride))
        ratios = ratios[~np.isnan(ratios)]
        if len(ratios):
            bound = lower_bound_of_median(ratios)
            state = "found" if bound > ALIASING else "not found"
            measured.append(f"stride {stride}: {np.median(ratios):.2f}, {bound:.2f} ({state})")
    print(
        f"{diagnosis.model:>36s} of stride {own}: {'; '.join(measured) or 'nothing to measure'}",
        flush=True,
    )


def photographs(model, num_images):
    """Some of the demo's, spread evenly over all of them."""
    every = DemoPhotographs(tuple(model.inputs[0].shape[1:3]))
    return every[np.linspace(0, len(every) - 1, num_images).astype(int)]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--models", nargs="*", default=[], help=".keras files of trained nets")
    parser.add_argument("--num-nets", type=int, default=20)
    parser.add_argument("--num-images", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
