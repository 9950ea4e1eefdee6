"""Checks how far pictures of single units tell what the units respond to.

    python scripts/check_fidelity.py --model VGG16 --images photographs --layer block5_conv3

In each photograph the strongest unit of the layer is asked about. Its map is compared with maps of
copies of the model with random weights, of other units and of other photographs; random signals
are sent down the same way; and what the map points to is covered, and shown alone. Writes
fidelity.png, fidelity.csv and fidelity.npz, the arrays of a `FidelityReport`. A run that was
stopped goes on when it is started again: what was found is kept in the folder parts.
"""

from pathlib import Path

from command import Parser, UserError, as_user_errors, new_folder, run, save_figure, write_csv
from photographs import open_images
from shared_arguments import (
    add_convnet_arguments,
    add_fill_argument,
    as_fill,
    as_size,
    positive_integer,
)
from trained_convnets import open_convnet

METHODS = ("deconvnet", "guided", "gradient", "edges")
CHECKS = (
    *("weight_randomization", "selectivity", "cosine_convergence"),
    *("patch_sufficiency", "insertion_deletion"),
)


def main(arguments):
    from kerasvis.analyses.fidelity.fidelity_report import fidelity_report
    from kerasvis.analyses.fidelity.fidelity_table import fidelity_rows
    from kerasvis.figures.fidelity import fidelity_panels

    model, size, preprocessing = open_convnet(arguments)
    with as_user_errors(ValueError):
        photographs = open_images(arguments.images, size, preprocessing, True)
        images = some_of(photographs, arguments.num_images)
    folder = new_folder(arguments.out, inputs=[arguments.images])
    print(f"{len(images)} of {len(photographs)} images, layer {arguments.layer}", flush=True)
    with as_user_errors(ValueError, OSError):
        report = fidelity_report(
            model,
            arguments.layer,
            images,
            arguments.methods,
            feature=arguments.feature,
            checks=arguments.checks,
            stages=arguments.stages,
            patch_size=arguments.patch_size and as_size(arguments.patch_size),
            baseline=as_fill(arguments.fill),
            preprocessing=preprocessing,
            seed=arguments.seed,
            directory=folder / "parts",
        )
        report.save(folder / "fidelity.npz")
        rows = fidelity_rows(report)
        write_csv(["check", "measure", "method", "value"], lines_of(rows), folder / "fidelity.csv")
        save_figure(fidelity_panels(report), folder / "fidelity.png")
    print(table(rows, report.methods))
    print(verdict(report), f"Figure: {folder / 'fidelity.png'}", sep="\n")


def some_of(photographs, num_images):
    """That many images, evenly spread over all of them."""
    if len(photographs) < num_images:
        raise UserError(
            f"There are {len(photographs)} images, but {num_images} were asked for: give fewer "
            "--num-images."
        )
    return photographs[[number * len(photographs) // num_images for number in range(num_images)]]


def lines_of(rows):
    """One line for each number: its check, its measure and its method."""
    for row in rows:
        numbers = [*row.values.items(), *([row.reference] if row.reference else [])]
        yield from ([row.check, row.measure, name, f"{number:.6f}"] for name, number in numbers)


def table(rows, methods):
    """A line for each row, a column for each method."""
    lines = [["check", "measure", *methods, "random"]]
    for row in rows:
        numbers = [row.values.get(method) for method in methods]
        numbers.append(row.reference[1] if row.reference else None)
        cells = ["" if number is None else f"{number:.3f}" for number in numbers]
        lines.append([row.check, row.measure, *cells])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [
        "  ".join([*map(str.ljust, line[:2], widths), *map(str.rjust, line[2:], widths[2:])])
        for line in lines
    ]
    return "\n".join(["Means over the images.", *map(str.rstrip, padded)])


def verdict(report):
    """Which methods give the same maps though all weights are random."""
    from kerasvis.analyses.fidelity.weight_randomization import UNAFFECTED

    check = report.weight_randomization
    if check is None:
        return "Random weights were not tried."
    names = [m for m, flag in zip(check.methods, check.is_unaffected, strict=True) if flag]
    return (
        f"Unaffected by random weights down to {check.layers[-1]} (rank, absolute, of "
        f"{UNAFFECTED} or more): {', '.join(names) or 'none'}."
    )


def make_parser():
    parser = Parser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add_convnet_arguments(parser)
    add("--images", required=True, help="folder of photographs, or demo for some that come along")
    add("--layer", required=True, help="whose units are asked about")
    add("--feature", type=int, help="feature map; by default that of the strongest unit")
    add("--methods", nargs="+", choices=METHODS, default=METHODS, help="all by default")
    add("--checks", nargs="+", choices=CHECKS, default=CHECKS, help="all by default")
    add("--num-images", type=positive_integer, default=8, help="spread evenly over all")
    add(
        "--stages",
        nargs="+",
        metavar="LAYER",
        help="at which maps of random copies are compared; by default all layers with weights",
    )
    add(
        "--patch-size",
        nargs="+",
        type=positive_integer,
        help="height and width, or a side, in pixels; a third of what a unit sees by default",
    )
    add_fill_argument(parser)
    add("--seed", type=int, default=0, help="of random weights, signals, boxes and orders")
    add("--out", type=Path, default=Path("fidelity"), help="folder to write into")
    return parser


if __name__ == "__main__":
    run(main, make_parser())
