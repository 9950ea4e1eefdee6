"""Tells whether a convnet relates the same parts of different objects (Section 4.3 of the paper).

    python scripts/correspondence.py --model VGG16 --parts parts.json --images dogs \\
        --layers block5_conv3 fc2 --out correspondence

The parts are boxes that somebody noted, in pixels of the photographs, in JSON: {"dog.jpg": {"nose":
[top, left, bottom, right]}}, or in CSV with the columns image, part, top, left, bottom, right.
Units are compared place by place: --frame face first cuts out the part "face" of each photograph,
so that eyes meet eyes. Writes correspondence.png, correspondence.csv and correspondence.npz, the
arrays of a `Correspondence`. A run that was stopped goes on when it is started again: what was
measured is kept in the folder parts.
"""

from pathlib import Path

import numpy as np
from command import Parser, UserError, as_user_errors, new_folder, run, save_figure, write_csv
from photographs import read_file
from shared_arguments import add_convnet_arguments, add_fill_argument, as_fill, positive_integer
from trained_convnets import open_convnet

# Table 1, of five photographs of dogs; layers 5 and 7.
PAPER = """\
For comparison, Δ of an ImageNet-trained ZFNet in the paper, layers 5 and 7, other photographs:
right eye  0.067  0.069
left eye   0.069  0.068
nose       0.079  0.069
random     0.107  0.073
"""


def main(arguments):
    import kerasvis as kv
    from kerasvis.analyses.part_correspondence import measure_correspondence
    from kerasvis.data.image_parts import boxes_in_images, read_parts
    from kerasvis.figures.correspondence import correspondence_bars

    model, size, preprocessing = open_convnet(arguments)
    with as_user_errors(ValueError):
        kv.feature_extractor(model, arguments.layers)  # a wrong name is to fail now
        parts = read_parts(arguments.parts)
        paths = paths_of(parts, arguments)
        photographs = [
            read_file(path, size, noted.get(arguments.frame))
            for path, noted in zip(paths, parts.values(), strict=True)
        ]
        boxes = boxes_in_images(parts.values(), paths, size, arguments.frame)
    folder = new_folder(arguments.out, inputs=paths)
    print(f"{len(photographs)} photographs, {len(boxes)} parts of each", flush=True)
    with as_user_errors(ValueError, OSError):
        found = measure_correspondence(
            model,
            arguments.layers,
            kv.data.Preprocessing(preprocessing).images(np.stack(photographs)),
            boxes,
            baseline=as_fill(arguments.fill),
            preprocessing=preprocessing,
            num_draws=arguments.draws,
            batch_size=arguments.batch_size,
            seed=arguments.seed,
            directory=folder / "parts",
        )
        found.save(folder / "correspondence.npz")
        rows = rows_of(found)
        write_csv(rows[0], map(texts_of, rows), folder / "correspondence.csv")
        save_figure(correspondence_bars(found), folder / "correspondence.png")
    print(table(rows, found), PAPER, sep="\n")
    print(f"Bars: {folder / 'correspondence.png'}")


def paths_of(parts, arguments):
    """The photographs that the file of parts names, below the folder of images."""
    if len(parts) < 2:
        raise UserError(f"{arguments.parts} holds parts of {len(parts)} images: note two or more.")
    folder = arguments.parts.parent if arguments.images is None else arguments.images
    return [folder / name for name in parts]


def rows_of(found):
    """One dictionary for each layer and part."""
    from kerasvis.figures.correspondence import mean_and_deviation

    measures = {
        "delta": (found.delta, *mean_and_deviation(found.random_delta)),
        "opposition": (found.opposition, *mean_and_deviation(found.random_opposition)),
    }
    rows = []
    for place in np.ndindex(found.delta.shape):
        row = {"layer": found.layers[place[0]], "part": found.parts[place[1]]}
        for name, arrays in measures.items():
            columns = (name, f"random_{name}", f"random_{name}_deviation")
            row |= {column: array[place] for column, array in zip(columns, arrays, strict=True)}
        rows.append(row)
    return rows


def texts_of(row):
    return [value if isinstance(value, str) else f"{value:.6f}" for value in row.values()]


def table(rows, found):
    """What was measured at parts and at random boxes, a line for each layer and part."""
    lines = [["layer", "part", "Δ", "random", "opposite", "random"]]
    for row in rows:
        numbers = []
        for name in ("delta", "opposition"):
            numbers += [f"{row[name]:.3f}", f"{row[f'random_{name}']:.3f} ± "]
            numbers[-1] += f"{row[f'random_{name}_deviation']:.3f}"
        lines.append([row["layer"], row["part"], *numbers])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    num_images, num_draws = found.boxes.shape[1], found.random_boxes.shape[1]
    heading = (
        f"{num_images} images. Δ: share of units whose changes differ in sign. Opposite: of the "
        "units that\nchange in both images, the share of opposite signs. Random: boxes of the same "
        f"sizes, mean ±\nstandard deviation over {num_draws} draw{'s' * (num_draws != 1)}."
    )
    return "\n".join([heading, *padded, ""])


def make_parser():
    parser = Parser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add_convnet_arguments(parser)
    add("--parts", required=True, type=Path, metavar="FILE", help="boxes of the parts, JSON or CSV")
    add(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="where the photographs lie that the parts name; beside the parts by default",
    )
    add("--layers", required=True, nargs="+", metavar="LAYER", help="the paper's are 5 and 7")
    add(
        "--frame",
        metavar="PART",
        help="one of the parts, as the face, that is cut out of each photograph first, so that the "
        "others come to lie at like places",
    )
    add("--draws", type=positive_integer, default=10, help="of random boxes of the same sizes")
    add_fill_argument(parser)
    add("--seed", type=int, default=0, help="of the random boxes and of noise")
    add("--batch-size", type=positive_integer, default=16, help="images in a step")
    add("--out", type=Path, default=Path("correspondence"), help="folder to write into")
    return parser


if __name__ == "__main__":
    run(main, make_parser())
