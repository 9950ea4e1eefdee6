"""Runs the benchmarks named, or all of them.

    python -m benchmarks [NAME ...]

Each can be run by itself with options of its own: `python -m benchmarks.scan --help`.
"""

import argparse
import importlib
import sys

NAMES = (
    *("switch_layers", "scan", "projection", "shared_forward_pass", "gallery"),
    *("occlusion", "planted_occlusion", "pointing_game", "planted_explanation"),
    *("explanation", "attribution_equality", "filter_diagnosis", "training", "training_diagnosis"),
    *("feature_evolution", "feature_transfer", "serving", "cluster", "gpu"),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", help=f"{', '.join(NAMES)}; all by default")
    names = parser.parse_args().names or NAMES
    if unknown := [name for name in names if name not in NAMES]:
        parser.error(f"there is no benchmark {unknown[0]!r}: give some of {', '.join(NAMES)}")
    for name in names:
        print(f"\n== {name.replace('_', ' ')}", flush=True)
        sys.argv = [name]
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
