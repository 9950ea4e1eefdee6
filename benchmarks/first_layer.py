"""What leaves noise in the first layer: the recorded training runs of a sweep over the recipe.

    python -m benchmarks.first_layer

Each row was trained by `benchmarks.jax_training` on an NVIDIA H200, on 15,000 photographs of 64×64
pixels, with `Recipe.for_small_images` and the changes that the row states. High is the share of
conv1's filters with most of their energy at high frequencies, as `kerasvis.diagnose_filters` counts
them; start the median cosine of a filter to its random start, where it was recorded.
"""

import csv
from pathlib import Path

RECORDED = Path(__file__).parent / "recorded"
MOST_HIGH = 0.1  # of the filters, in a first layer as the paper shows it


def main():
    print(
        f"{'net':<9}{'width':>6}{'strides':>9}{'rate':>6}{'start':>7}{'decay':>7}{'crops':>7}"
        f"{'epochs':>8}{'seed':>6}{'val top-1':>11}{'high':>8}{'cosine':>8}"
    )
    for row in read(RECORDED / "first_layer.csv"):
        high = float(row["conv1_high"])
        cosine = f"{float(row['conv1_start']):.2f}" if row["conv1_start"] else ""
        print(
            f"{row['net']:<9}{row['width']:>6}{row['strides']:>9}{row['learning_rate']:>6}"
            f"{row['initial_deviation'] or 'He':>7}{row['weight_decay']:>7}"
            f"{row['smallest_crop']:>7}{row['epochs']:>8}{row['seed']:>6}"
            f"{float(row['val_top_1']):>11.1%}{high:>8.1%}{cosine:>8}"
            f"{' *' if high <= MOST_HIGH else ''}"
        )
    print(f"* at most {MOST_HIGH:.0%} of the filters")


def read(filepath):
    """The rows of a CSV file, as dictionaries."""
    with filepath.open(newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main()
