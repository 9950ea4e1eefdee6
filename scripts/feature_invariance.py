"""Shows how features change when photographs are moved, scaled and turned (arXiv Figure 5).

    python scripts/feature_invariance.py --model VGG16 --images dog.jpg cat.jpg --out invariance

Writes invariance.png, a row for each transformation as in the paper; invariance.npz, the arrays of
a `FeatureInvariance`; and invariance.csv, a line for each image, transformation and value. A run
that was stopped goes on when it is started again: what was measured is kept in the folder parts.
"""

from pathlib import Path

import numpy as np
from class_names import class_index_of, load_class_names
from command import Parser, UserError, as_user_errors, new_folder, run, save_figure, write_csv
from photographs import find_photographs, read_photographs
from shared_arguments import add_convnet_arguments, positive_integer
from trained_convnets import open_convnet

MAX_IMAGES = 20  # more curves than that are not told apart


def main(arguments):
    from kerasvis.analyses.invariance.feature_comparison import num_classes_of
    from kerasvis.analyses.invariance.feature_invariance import (
        feature_invariance,
        paper_transformations,
    )
    from kerasvis.figures.feature_invariance import invariance_curves

    model, size, preprocessing = open_convnet(arguments)
    class_names = load_class_names(arguments.model, arguments.class_names)
    with as_user_errors(ValueError):
        check_number(find_photographs(arguments.images))
        photographs = read_photographs(arguments.images, photograph_size(arguments, size))
        num_classes = num_classes_of(model, size)
        classes = classes_of(arguments.class_name, len(photographs), class_names, num_classes)
        transformations = paper_transformations(size[0])
        transformations |= {
            name: range_of(name, given)
            for name in transformations
            if (given := getattr(arguments, name)) is not None
        }
    folder = new_folder(arguments.out, inputs=arguments.images)
    num_values = sum(map(len, transformations.values()))
    print(f"{len(photographs)} photographs, {num_values} transformations of each", flush=True)
    with as_user_errors(ValueError, OSError):
        invariance = feature_invariance(
            model,
            arguments.layers,
            photographs.values(),
            classes,
            transformations=transformations,
            image_size=size,
            preprocessing=preprocessing,
            activation=arguments.activation,
            batch_size=arguments.batch_size,
            directory=folder / "parts",
        )
        invariance.save(folder / "invariance.npz")
        lines = lines_of(invariance, photographs, class_names)
        write_csv(header_of(invariance), lines, folder / "invariance.csv")
        names = [
            f"{path.stem} ({class_names.get(index, index)})"
            for path, index in zip(photographs, invariance.class_indices.tolist(), strict=True)
        ]
        save_figure(invariance_curves(invariance, names), folder / "invariance.png")
    print(summary(invariance))
    print(f"Curves: {folder / 'invariance.png'}")


def photograph_size(arguments, image_size):
    """Size to which photographs are cut: that of the image, and a margin on every side."""
    if arguments.margin < 0:
        raise UserError(f"--margin is {arguments.margin}: give 0 or more pixels.")
    return tuple(length + 2 * arguments.margin for length in image_size)


def check_number(photographs):
    if len(photographs) > MAX_IMAGES:
        raise UserError(
            f"There are {len(photographs)} photographs, but the figure tells {MAX_IMAGES} at most "
            "apart: give fewer."
        )


def classes_of(asked, num_images, names, num_classes):
    """The true class of each image, or None."""
    if asked is None:
        return None
    if len(asked) not in (1, num_images):
        raise UserError(
            f"{len(asked)} classes came for {num_images} photographs: give one, or one for each."
        )
    indices = [class_index_of(name, names, num_classes) for name in asked]
    return indices * num_images if len(indices) == 1 else indices


def range_of(name, given):
    """The values of a transformation, from the first, the last and their number."""
    first, last, number = given
    if not (number.is_integer() and number >= 1):
        raise UserError(
            f"--{name} has {number:g} values: give the first, the last and their number, 1 or more."
        )
    return np.linspace(first, last, int(number))


def header_of(invariance):
    distances = [f"distance at {layer}" for layer in invariance.layers]
    return ["image", "class", "transformation", "value", *distances, "probability"]


def lines_of(invariance, photographs, class_names):
    """One line for each image, transformation and value."""
    for curves in invariance.curves:
        for image, path in enumerate(photographs):
            index = int(invariance.class_indices[image])
            for place, value in enumerate(curves.values):
                numbers = [*curves.distances[:, image, place], curves.probabilities[image, place]]
                key = [path.name, class_names.get(index, index), curves.transformation]
                yield [*key, f"{value:g}", *(f"{number:.6g}" for number in numbers)]


def summary(invariance):
    """What each transformation does at its extremes, and its smallest step, over the images."""
    lines = []
    for curves in invariance.curves:
        step = is_smallest_step(curves)
        values = ", ".join(f"{value:g}" for value in curves.values[step])
        distances = []
        for layer, means in zip(invariance.layers, curves.distances.mean(axis=1), strict=True):
            distances.append(f"{means.max():.4g} at {layer}")
            if step.any() and means.max() > 0:
                distances[-1] += f" ({means[step].mean() / means.max():.0%} of it at {values})"
        probabilities = curves.probabilities.mean(axis=0)
        lines.append(
            f"{curves.transformation} {curves.values[0]:g} to {curves.values[-1]:g}: mean distance "
            f"up to {', '.join(distances)}; mean probability {probabilities.min():.3f} to "
            f"{probabilities.max():.3f}"
        )
    return "\n".join(lines)


def is_smallest_step(curves):
    """bool `(values,)`: those next to the value that leaves the image as it is."""
    steps = np.abs(curves.values - float(curves.transformation == "scale"))  # 1 for a scale
    steps[steps == 0] = np.inf
    return np.isclose(steps, steps.min()) & np.isfinite(steps)


def make_parser():
    parser = Parser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add_convnet_arguments(parser)
    add(
        "--images", required=True, nargs="+", metavar="FILE", help="photographs, or folders of them"
    )
    add(
        "--class",
        dest="class_name",
        nargs="+",
        metavar="NAME|INDEX",
        help="the true class of all or of each; by default what the model says",
    )
    add("--class-names", type=Path, help="JSON; by default classes.json beside the model")
    add(
        "--layers",
        nargs="+",
        metavar="LAYER",
        help="by default the first convolution and the last layer before the scores",
    )
    values = {"nargs": 3, "type": float, "metavar": ("FIRST", "LAST", "NUMBER")}
    add("--translation", **values, help="pixels down; by default -60 to 60 in a height of 224")
    add("--scale", **values, help="factors; by default 1 to 1.8")
    add("--rotation", **values, help="degrees counter-clockwise; by default 0 to 350")
    add(
        "--margin",
        type=int,
        default=0,
        metavar="PIXELS",
        help="of the photograph around what the model sees, to move in from the sides; beyond it "
        "the nearest pixel is repeated",
    )
    add("--activation", choices=["auto", "softmax", "sigmoid", "linear"], default="auto")
    add("--batch-size", type=positive_integer, default=16, help="images in a step")
    add("--out", type=Path, default=Path("invariance"), help="folder to write into")
    return parser


if __name__ == "__main__":
    run(main, make_parser())
