"""Trains a convnet of the paper again with layers left out or resized (Section 5.1 of the paper).

    python scripts/ablate_layers.py --data tiny_imagenet_30_jpegs.npz --epochs 12 --out ablation

Writes ablation.csv and ablation.npz, the errors of all variants; ablation.png, beside the errors
of the paper; and for each variant a folder with its history. A run that was stopped goes on when it
is started again, and no variant is trained twice.
"""

import functools

from command import Parser, UserError, as_user_errors, new_folder, run, save_figure, write_csv
from train_convnet import add_training_arguments, load_data, net_options, none_or, recipe_of

PAPER_COLUMNS = {"replica": "replica", "zfnet": "Figure 3 net"}
MEASURES = ("train_top_1_error", "validation_top_1_error", "validation_top_5_error")
NOTE = (
    "Sizes in the names are the paper's; here they are in proportion to the net.\n"
    "The paper's errors are of 1000 classes of ImageNet: their order may be compared, not their "
    "size."
)


def main(arguments):
    import kerasvis as kv

    with as_user_errors(OSError, ValueError):
        recipe = recipe_of(arguments)
        variants = variants_of(arguments)
        folder = new_folder(arguments.out)
        data = load_data(arguments.data, recipe)
        ablation = kv.analyses.ablate(
            builder_of(arguments, recipe, len(data.class_names)), variants, recipe, data, folder
        )
        ablation.save(folder / "ablation.npz")
        rows = rows_of(ablation)
        write_csv(rows[0], [row.values() for row in rows], folder / "ablation.csv")
        figure = kv.figures.ablation_chart(ablation, kv.analyses.PAPER_ERRORS)
        save_figure(figure, folder / "ablation.png")
    print(table(rows), NOTE, sep="\n")
    print(f"Figure: {folder / 'ablation.png'}")


def variants_of(arguments):
    """The variants asked for, in the order of the paper; all by default."""
    from kerasvis.analyses import paper_variants

    variants = paper_variants(arguments.dense_units)
    names = arguments.variants or list(variants)
    if unknown := [name for name in names if name not in variants]:
        raise UserError(
            f"There is no variant {unknown[0]!r}: give --variants among "
            f"{', '.join(map(repr, variants))}."
        )
    return {name: options for name, options in variants.items() if name in names}


def builder_of(arguments, recipe, num_classes):
    """The net, but for what the variants change."""
    from kerasvis import convnets

    options = net_options(arguments)
    return functools.partial(
        {"zfnet": convnets.ZFNet, "alexnet": convnets.AlexNet}[arguments.net],
        (recipe.crop_size, recipe.crop_size, 3),
        num_classes,
        width=options["width"],
        strides=options["strides"],
        normalization=none_or(options["normalization"]),
        kernel_initializer=recipe.kernel_initializer,
    )


def rows_of(ablation):
    """One dictionary for each variant; errors in %, those of the paper None where it has none."""
    from kerasvis.analyses import PAPER_ERRORS

    rows = []
    for number, name in enumerate(ablation.variants):
        (train_1, train_5), (val_1, val_5) = (
            errors[number] for errors in (ablation.train_errors, ablation.validation_errors)
        )
        errors = dict(zip(MEASURES, (train_1, val_1, val_5), strict=True))
        row = {
            "variant": name,
            "parameters": int(ablation.num_parameters[number]),
            "seconds": round(float(ablation.seconds[number])),
            **{key: round(float(error), 2) for key, error in errors.items()},
            "train_top_5_error": round(float(train_5), 2),
        }
        for column, net in PAPER_COLUMNS.items():
            errors = PAPER_ERRORS[net].get(name, (None,) * len(MEASURES))
            row |= {f"paper_{column}_{key}": e for key, e in zip(MEASURES, errors, strict=True)}
        rows.append(row)
    return rows


def table(rows):
    """Errors in %, as train top-1 / validation top-1 / validation top-5, in columns."""
    prefixes = ("", *(f"paper_{column}_" for column in PAPER_COLUMNS))
    lines = [
        ["", "", "", "this run", "paper, replica", "paper, Figure 3"],
        ["change", "parameters", "seconds", *["train / val / top-5"] * 3],
    ]
    for row in rows:
        numbers = [f"{row['parameters']:,}", f"{row['seconds']:,}"]
        errors = [" / ".join(in_percent(row[p + key]) for key in MEASURES) for p in prefixes]
        lines.append([row["variant"], *numbers, *errors])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def in_percent(error):
    return "-" if error is None else f"{error:.1f}"


def make_parser():
    parser = Parser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add_training_arguments(parser, width=0.25, dense_units=256)
    add("--out", default="ablation", help="folder to write into, or of the run to go on")
    add("--variants", nargs="+", metavar="NAME", help="names of the paper's variants; all of them")
    return parser


if __name__ == "__main__":
    run(main, make_parser())
