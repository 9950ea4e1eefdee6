"""Draws how feature maps evolve while a convnet is trained (Figure 4 of the paper).

    python scripts/plot_feature_evolution.py --snapshots evolution --out evolution_of_my_net
    python scripts/plot_feature_evolution.py --checkpoints epoch_*.keras --images photographs

from the folder of a `kerasvis.callbacks.FeatureEvolution`, which may still be at work, or from
models that were saved along the way. Writes evolution.png, a block for each layer with a row for
each feature map and a column for each epoch; convergence.png, how similar the projections are to
the final ones; and evolution.npz, the arrays of an `Evolution`.
"""

import re
from pathlib import Path

from command import Parser, UserError, as_user_errors, new_folder, run, save_figure
from photographs import open_images
from shared_arguments import add_input_options, add_rectification_argument, positive_integer
from trained_convnets import convolution_layers, image_size_of, load_file


def main(arguments):
    import kerasvis as kv

    check_sources(arguments)
    if arguments.snapshots is not None:
        with as_user_errors(ValueError):
            evolution = kv.analyses.load_evolution(arguments.snapshots)
        check_layers(evolution, arguments.layers)
        folder = new_folder(arguments.out)
    else:
        folder, evolution = evolution_of_checkpoints(arguments)

    print(f"{len(evolution.epochs)} epochs, {len(evolution.layers)} layers", flush=True)
    with as_user_errors(ValueError, OSError):
        evolution.save(folder / "evolution.npz")
        grid = kv.figures.evolution_grid(
            evolution,
            layers=arguments.layers,
            num_features=arguments.num_features,
            with_patches=arguments.patches,
        )
        save_figure(grid, folder / "evolution.png")
        print(f"Evolution: {folder / 'evolution.png'}", flush=True)
        if len(evolution.epochs) < 2:
            print("No convergence.png: it takes snapshots of two epochs.")
            return
        curves = kv.figures.convergence_curves(kv.analyses.convergence(evolution))
        save_figure(curves, folder / "convergence.png")
        print(f"Convergence: {folder / 'convergence.png'}")


def check_sources(arguments):
    """Refuses what does not go with the folder, or is missing beside the checkpoints."""
    if (arguments.snapshots is None) == (arguments.checkpoints is None):
        raise UserError(
            "Give either --snapshots, the folder of a FeatureEvolution, or --checkpoints with "
            "--images."
        )
    if arguments.checkpoints is not None and arguments.images is None:
        raise UserError("The checkpoints need images: give --images, a folder of photographs.")
    only_for_checkpoints = ("images", "epochs", "features", "image_size", "preprocessing")
    for name in only_for_checkpoints:
        if arguments.snapshots is not None and getattr(arguments, name) is not None:
            option = name.replace("_", "-")
            raise UserError(
                f"The snapshots hold what was asked for when they were taken: leave out "
                f"--{option}, which is for --checkpoints."
            )


def check_layers(evolution, layers):
    for layer in layers or ():
        if layer not in evolution.layers:
            raise UserError(
                f"The snapshots hold no layer {layer!r}, but {', '.join(evolution.layers)}: give "
                "--layers among these."
            )


def evolution_of_checkpoints(arguments):
    """`(folder, evolution)`: the output folder, made before the long work."""
    import kerasvis as kv

    epochs, filepaths = in_order(arguments.checkpoints, arguments.epochs)
    first = load_file(filepaths[0])
    with as_user_errors(ValueError):
        size = image_size_of(first, arguments.image_size)
        preprocessing = arguments.preprocessing or "raw"
        images = open_images(arguments.images, size, preprocessing, strict=False)
        layers = arguments.layers or convolution_layers(first)
    folder = new_folder(arguments.out)
    with as_user_errors(ValueError):
        evolution = kv.analyses.evolution_of_models(
            models_of(first, filepaths, epochs),
            layers,
            images,
            epochs,
            arguments.features and dict.fromkeys(layers, arguments.features),
            num_features=arguments.num_features or 8,
            seed=arguments.seed,
            rectification=arguments.rectification,
            preprocessing=preprocessing,
        )
    return folder, evolution


def models_of(first, filepaths, epochs):
    """Loads the models one after the other, as they are asked for."""
    print(f"Epoch {epochs[0]}: {filepaths[0]}", flush=True)
    yield first
    for epoch, filepath in zip(epochs[1:], filepaths[1:], strict=True):
        print(f"Epoch {epoch}: {filepath}", flush=True)
        yield load_file(filepath)


def in_order(filepaths, epochs):
    """`(epochs, filepaths)`, by epoch: those given, or the last numbers in the files' names."""
    if epochs is None:
        epochs = [last_number(path) for path in filepaths]
    if len(epochs) != len(filepaths):
        raise UserError(
            f"There are {len(epochs)} epochs for {len(filepaths)} checkpoints: give one --epochs "
            "number for each."
        )
    if repeated := [epoch for epoch in epochs if epochs.count(epoch) > 1]:
        raise UserError(
            f"Epoch {repeated[0]} stands for more than one checkpoint: give each its number with "
            "--epochs."
        )
    pairs = sorted(zip(epochs, filepaths, strict=True))
    return [epoch for epoch, _ in pairs], [filepath for _, filepath in pairs]


def last_number(filepath):
    numbers = re.findall(r"\d+", filepath.stem)
    if not numbers or int(numbers[-1]) == 0:
        raise UserError(
            f"The name of {filepath} tells no epoch, a number from 1: give the epochs of the "
            "checkpoints with --epochs."
        )
    return int(numbers[-1])


def make_parser():
    parser = Parser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--snapshots", type=Path, metavar="FOLDER", help="directory of a FeatureEvolution")
    add("--checkpoints", nargs="+", type=Path, metavar="FILE", help=".keras files of one training")
    add(
        "--epochs",
        nargs="+",
        type=positive_integer,
        metavar="N",
        help="of the checkpoints; by default the last numbers in their names",
    )
    add("--images", help="folder of photographs to choose from, or demo, for the checkpoints")
    add("--layers", nargs="+", metavar="LAYER", help="all convolution layers, or all recorded ones")
    add("--features", nargs="+", type=int, metavar="N", help="feature maps; random ones by default")
    add("--num-features", type=positive_integer, help="how many are shown of each layer")
    add("--seed", type=int, default=0, help="of drawing feature maps")
    add("--patches", action="store_true", help="show the image patches of the last epoch, too")
    add("--out", type=Path, default=Path("evolution_figures"), help="folder to write into")
    add_input_options(parser)
    add_rectification_argument(parser)
    return parser


if __name__ == "__main__":
    run(main, make_parser())
