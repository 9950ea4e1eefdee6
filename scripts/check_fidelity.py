"""Checks how far pictures of single units tell what the units respond to.

    python scripts/check_fidelity.py --model VGG16 --images photographs --layer block5_conv3

In each photograph the strongest unit of the layer is asked about. Its map is compared with maps of
copies of the model with random weights, of other units and of other photographs; random signals
are sent down the same way; and what the map points to is covered, and shown alone. Writes
fidelity.png, fidelity.csv and fidelity.npz, the arrays of a `FidelityReport`.
"""

import csv
import io
from pathlib import Path

from command import Parser, UserError, as_user_errors, new_folder, run, save_figure
from occlusion_sensitivity import as_fill, as_size
from trained_convnets import load_convnet
from visualize_features import image_size_of, open_images, positive_integer

METHODS = ("deconvnet", "guided", "gradient", "edges")
CHECKS = (
    *("weight_randomization", "selectivity", "cosine_convergence"),
    *("patch_sufficiency", "insertion_deletion"),
)


def main(arguments):
    from kerasvis.analyses.fidelity import fidelity_report, fidelity_rows
    from kerasvis.figures.fidelity import fidelity_panels

    convnet = load_convnet(arguments.model, arguments.weights, arguments.image_size)
    model, preprocessing = convnet.model, arguments.preprocessing or convnet.preprocessing
    with as_user_errors(ValueError):
        size = image_size_of(model, arguments.image_size)
        photographs = open_images(arguments.images, size, preprocessing, True)
        images = some_of(photographs, arguments.num_images)
    folder = new_folder(arguments.out)
    print(f"{len(images)} of {len(photographs)} images, layer {arguments.layer}", flush=True)
    with as_user_errors(ValueError, OSError):
        report = fidelity_report(
            model,
            images,
            arguments.layer,
            arguments.methods,
            feature_index=arguments.feature,
            checks=arguments.checks,
            stages=arguments.stages,
            patch_size=arguments.patch_size and as_size(arguments.patch_size),
            fill_value=as_fill(arguments.fill),
            preprocessing=preprocessing,
            seed=arguments.seed,
        )
        report.save(folder / "fidelity.npz")
        rows = fidelity_rows(report)
        write_csv(rows, folder / "fidelity.csv")
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


def write_csv(rows, filepath):
    """One line for each number: its check, its measure and its method."""
    from kerasvis.training.whole_files import write_text

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["check", "measure", "method", "value"])
    for row in rows:
        numbers = [*row.values.items(), *([row.reference] if row.reference else [])]
        writer.writerows([row.check, row.measure, name, f"{x:.6f}"] for name, x in numbers)
    write_text(filepath, text.getvalue())


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
    from kerasvis.analyses.weight_randomization import UNAFFECTED

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
    add("--model", required=True, help="a .keras file, or a net of keras.applications, as VGG16")
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
    add(
        "--fill",
        nargs="+",
        default=["grey"],
        help="grey, mean, blur, noise, a number or a colour in the model's units",
    )
    add("--seed", type=int, default=0, help="of random weights, signals, boxes and orders")
    add("--weights", help="of keras.applications: imagenet (default), random, or a weights file")
    add(
        "--image-size",
        nargs=2,
        type=positive_integer,
        metavar=("HEIGHT", "WIDTH"),
        help="in pixels, for models that take any size",
    )
    add(
        "--preprocessing",
        choices=["raw", "caffe", "tf", "torch"],
        help="what the model takes: raw pixels by default, its own for keras.applications",
    )
    add("--out", type=Path, default=Path("fidelity"), help="folder to write into")
    return parser


if __name__ == "__main__":
    run(main, make_parser())
