"""Runs the benchmarks named, or all of them.

python -m benchmarks [switch_layers] [scan] [projection]
"""

import argparse
import importlib

NAMES = ("switch_layers", "scan", "projection")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="which ones; all by default")
    for name in parser.parse_args().names or NAMES:
        print(f"\n== {name.replace('_', ' ')}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
