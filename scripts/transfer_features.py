"""Measures how far the features of a trained convnet carry to other data (Section 5 of the paper).

    python scripts/transfer_features.py --model net.keras --layers pool1 pool2 pool5 \\
        --data caltech101 --per-class 15 30 --cache features --out transfer_of_my_net

Trains a softmax and a linear SVM on what each layer gives for images of other classes, with few
images of each. Writes accuracies.csv, a row for each layer, head and number of training images;
accuracies.json, the same with every fold and what it was measured with; transfer.png, the learning
curves and the accuracy layer by layer; and transfer.npz, the arrays of a `FeatureTransfer`. With
--cache, a run that was stopped goes on from the features that it has computed.
"""

import json
from pathlib import Path

from command import Parser, UserError, as_user_errors, new_folder, run, save_figure, write_csv
from shared_arguments import add_convnet_arguments, positive_integer
from trained_convnets import convolution_layers, open_convnet

# Sections 5.2 and 5.3, Tables 4, 5 and 7.
PAPER = """\
For comparison, an ImageNet-trained ZFNet in the paper:
                       Caltech-101, 15 and 30 a class   Caltech-256, 15, 30, 45 and 60 a class
softmax on layer 7            83.8 ± 0.5   86.5 ± 0.5                65.7   70.6   72.7   74.2
the net from scratch          22.8 ± 1.5   46.5 ± 1.7                 9.0   22.5   31.2   38.8

                       Caltech-101, 30 a class          Caltech-256, 60 a class
SVM, layers 1 to 5, 7  44.8 66.2 72.3 76.6 86.2 85.5    24.6 39.6 46.0 51.3 65.6 71.7
softmax, layers 5, 7                       82.9 85.4                        65.7 72.6
"""
COLUMNS = ["layer", "num_features", "head", "per_class", "accuracy", "deviation"]


def main(arguments):
    import kerasvis as kv

    model, size, preprocessing = open_convnet(arguments)
    references = open_references(arguments.trained_on)
    with as_user_errors(ValueError):
        layers = list(dict.fromkeys(arguments.layers or convolution_layers(model)))
        kv.feature_extractor(model, layers)  # a wrong name is to fail now
        recipe = scratch_recipe(arguments, size)
        folder = new_folder(arguments.out)
        data = kv.data.load_labelled(arguments.data, image_size=size, seed=arguments.seed)
    report_data(data, layers, model)

    with as_user_errors(ValueError, OSError):
        transfer = kv.analyses.transfer_features(
            model,
            layers,
            data,
            per_class=arguments.per_class,
            folds=arguments.folds,
            heads=arguments.head,
            test=arguments.test,
            trained_on=references,
            preprocessing=preprocessing,
            largest_map=arguments.largest_map,
            cache=arguments.cache,
            scratch_recipe=recipe,
            batch_size=arguments.batch_size,
            seed=arguments.seed,
        )
        transfer.save(folder / "transfer.npz")
        rows = rows_of(transfer)
        write_results(rows, transfer, arguments, folder)
        save_figure(kv.figures.transfer_curves(transfer), folder / "transfer.png")
    print(table(rows, transfer), PAPER, sep="\n")
    print(f"Curves: {folder / 'transfer.png'}")


def open_references(trained_on):
    """What images are compared with: a folder as it is, other data loaded small; or None."""
    if trained_on is None or Path(trained_on).is_dir():
        return trained_on
    from kerasvis.analyses.transfer.near_duplicates import THUMBNAIL_SIZE
    from kerasvis.data import load_labelled

    with as_user_errors(ValueError):
        return load_labelled(trained_on, image_size=THUMBNAIL_SIZE)


def scratch_recipe(arguments, size):
    """The recipe for the same net from scratch; None where it is not asked for."""
    from kerasvis.training import Recipe

    if arguments.scratch_epochs is None:
        return None
    if size[0] != size[1]:
        raise UserError(
            f"The model takes images of {size[0]}×{size[1]} pixels, but nets are trained on "
            "squares: leave out --scratch-epochs."
        )
    return Recipe.for_small_images(size[0], epochs=arguments.scratch_epochs, seed=arguments.seed)


def report_data(data, layers, model):
    num_images = data.train.num_images + data.validation.num_images
    print(
        f"{num_images} images of {len(data.class_names)} classes, {len(layers)} layers of "
        f"{model.name}",
        flush=True,
    )
    for path, reason in data.skipped:
        print(f"Skipped {path}: {reason}", flush=True)


def rows_of(transfer):
    """One dictionary for each layer, head and number of training images; accuracies in [0, 1]."""
    rows = []
    for layer, name in enumerate(transfer.layers):
        for head, head_name in enumerate(transfer.heads):
            for size, per_class in enumerate(transfer.per_class.tolist()):
                folds = transfer.accuracies[layer, head, size]
                key = (name, int(transfer.num_features[layer]), head_name, per_class)
                rows.append(row(key, folds))
    if transfer.scratch_accuracies.size:
        for per_class, folds in zip(
            transfer.per_class.tolist(), transfer.scratch_accuracies, strict=True
        ):
            rows.append(row(("from scratch", None, "softmax", per_class), folds))
    return rows


def row(key, folds):
    from kerasvis.figures.feature_transfer import mean_and_deviation

    numbers = [round(float(number), 4) for number in mean_and_deviation(folds)]
    folds = [round(float(accuracy), 4) for accuracy in folds]
    return dict(zip(COLUMNS, [*key, *numbers], strict=True)) | {"folds": folds}


def write_results(rows, transfer, arguments, folder):
    from kerasvis.storage.files import write_text

    lines = [[row[column] for column in COLUMNS] for row in rows]
    write_csv(COLUMNS, lines, folder / "accuracies.csv")
    measured = {
        "model": Path(arguments.model).name,
        "data": Path(arguments.data).name,
        "num_classes": len(transfer.class_names),
        "num_images": transfer.num_images,
        "num_near_duplicates_left_out": len(transfer.duplicate_indices),
        "num_test_images": transfer.num_test_images.tolist(),
        "largest_map": arguments.largest_map,
        "seed": arguments.seed,
        "accuracies": rows,
    }
    write_text(folder / "accuracies.json", json.dumps(measured, indent=1) + "\n")


def table(rows, transfer):
    """The mean per-class accuracies in %, a line for each layer, a column for head and size."""
    columns = [(head, size) for head in transfer.heads for size in transfer.per_class.tolist()]
    cells = {(r["layer"], r["head"], r["per_class"]): r for r in rows}
    names = list(dict.fromkeys(r["layer"] for r in rows))
    lines = [["layer", "features", *(f"{head}, {size} a class" for head, size in columns)]]
    for name in names:
        found = [cells.get((name, *column)) for column in columns]
        features = next(r["num_features"] for r in rows if r["layer"] == name)
        lines.append([name, str(features or ""), *map(in_percent, found)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [
        "  ".join(
            text.ljust(width) if place == 0 else text.rjust(width)
            for place, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    num_folds = transfer.accuracies.shape[-1]
    heading = (
        f"Mean per-class accuracy in %, ± standard deviation over {num_folds} "
        f"fold{'s' * (num_folds != 1)}; {len(transfer.duplicate_indices)} near-duplicates left out:"
    )
    return "\n".join([heading, *padded, ""])


def in_percent(row):
    return "" if row is None else f"{100 * row['accuracy']:.1f} ± {100 * row['deviation']:.1f}"


def make_parser():
    parser = Parser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add_convnet_arguments(parser)
    add(
        "--data",
        required=True,
        help="an image folder with a folder for each class, an .npz archive of JPEG images, or the "
        "name of a TFDS data set, as caltech101",
    )
    add("--layers", nargs="+", metavar="LAYER", help="all convolution layers by default")
    add(
        "--per-class",
        nargs="+",
        type=positive_integer,
        default=[15, 30],
        metavar="N",
        help="training images of each class",
    )
    add("--folds", type=positive_integer, default=5, help="drawings of training and test images")
    add("--head", nargs="+", choices=["svm", "softmax"], default=["svm", "softmax"])
    add(
        "--test",
        choices=["rest", "given"],
        default="rest",
        help="test on images drawn from the rest (the paper), or on the given test split",
    )
    add(
        "--trained-on",
        metavar="DATA",
        help="what the net was trained on, whose near-duplicates are left out: a folder of "
        "photographs, an .npz archive, or a TFDS data set",
    )
    add("--cache", type=Path, metavar="FOLDER", help="keep the features there for the next run")
    add("--out", type=Path, default=Path("transfer"), help="folder to write into")
    add(
        "--largest-map",
        nargs=2,
        type=positive_integer,
        default=(6, 6),
        metavar=("ROWS", "COLUMNS"),
        help="average larger feature maps down to this size",
    )
    add(
        "--scratch-epochs",
        type=positive_integer,
        metavar="N",
        help="also train the same net from scratch, for every fold: takes long",
    )
    add("--seed", type=int, default=0, help="of drawing images and of training")
    add("--batch-size", type=positive_integer, default=64, help="images in a step, for features")
    return parser


if __name__ == "__main__":
    run(main, make_parser())
