"""Converts published weights into a saved model that takes raw RGB pixels.

python scripts/convert_weights.py --net squeezenet --weights squeezenet_v1_1.npz --out net.keras
"""

from pathlib import Path

from command import Parser, UserError, as_user_errors, new_folder, run


def main(arguments):
    from kerasvis.convnets.published_weights import FROM_PUBLISHED, read_arrays

    filepath = Path(arguments.out)
    if filepath.suffix != ".keras":
        raise UserError(f"--out is {filepath}: give the name of a file that ends in .keras.")
    new_folder(filepath.parent)
    with as_user_errors(ValueError):
        model = FROM_PUBLISHED[arguments.net](read_arrays(arguments.weights))
    save(model, filepath)
    rows, columns, _ = model.input_shape[1:]
    print(
        f"Saved {filepath}: {model.name}, {model.count_params():,} parameters, takes RGB pixels in "
        f"[0, 255] of {rows}×{columns}."
    )


def save(model, filepath):
    """Writes a model atomically."""
    from kerasvis.storage.files import atomic

    with atomic(filepath) as temporary:
        model.save(temporary)


def parser():
    parser = Parser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--net", required=True, choices=["squeezenet", "alexnet"])
    parser.add_argument(
        "--weights", required=True, help=".npz archive: <layer>/kernel (HWIO), <layer>/bias"
    )
    parser.add_argument("--out", required=True, help="new .keras file")
    return parser


if __name__ == "__main__":
    run(main, parser())
