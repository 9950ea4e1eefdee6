"""The paper's recipe at 64×64: AlexNet and ZFNet, without and with the filter RMS constraint.

    python -m benchmarks.paper_recipe

The nets have the paper's width and dense layers; `Recipe.scaled(64)`, all 70 epochs, on 15,000
photographs of 30 classes. Every run was trained on an NVIDIA H200 by, for example,

    KERAS_BACKEND=jax python -m benchmarks.jax_training --data tiny_imagenet_30_jpegs.npz \
        --recipe paper --net zfnet --width 1 --dense-units 4096 --out net \
        --changes seed=0 filter_rms_limit=null

Dominance is the RMS of the largest filter of conv1 over the median one: at the end, and the largest
of all epochs.
"""

import itertools

from benchmarks.first_layer import RECORDED, read


def main():
    print(
        f"{'net':<9}{'limit':>6}{'seed':>6}{'val top-1':>11}{'top-5':>8}{'train':>8}"
        f"{'median RMS':>12}{'largest':>9}{'dominance':>11}{'at most':>9}{'high':>7}"
    )
    rows = read(RECORDED / "paper_recipe.csv")
    for (net, limit, seed), epochs in itertools.groupby(rows, run_of):
        epochs = list(epochs)
        last = {name: float(value) for name, value in epochs[-1].items() if name not in KEYS}
        print(
            f"{net:<9}{limit or 'none':>6}{seed:>6}{last['val_top_1']:>11.1%}"
            f"{last['val_top_5']:>8.1%}{last['top_1']:>8.1%}{last['conv1_median_rms']:>12.3f}"
            f"{last['conv1_largest_rms']:>9.3f}{dominance(epochs[-1]):>11.2f}"
            f"{max(map(dominance, epochs)):>9.2f}{last['conv1_high']:>7.0%}"
        )


KEYS = ("net", "filter_rms_limit", "seed")


def run_of(row):
    return tuple(row[key] for key in KEYS)


def dominance(row):
    """Largest RMS over the median one."""
    return float(row["conv1_largest_rms"]) / float(row["conv1_median_rms"])


if __name__ == "__main__":
    main()
