"""Builds pages for a browser on every feature map of a trained convnet.

    python scripts/build_gallery.py --model VGG16 --images photographs --out gallery_of_vgg16

Writes index.html, to be opened from disk, and what it leads to: a page for each layer and one for
each feature map, with its strongest activations as projections and image patches. A build that was
stopped goes on when it is started again, and one with more layers adds these.
"""

import json
from pathlib import Path

from class_names import load_class_names
from command import Parser, UserError, as_user_errors, new_folder, run
from photographs import open_images, report_skipped
from shared_arguments import add_convnet_arguments, add_rectification_argument, positive_integer
from trained_convnets import convolution_layers, open_convnet


def main(arguments):
    from kerasvis.analyses import load_evolution
    from kerasvis.reports import class_labels, write_gallery

    model, size, preprocessing = open_convnet(arguments)
    with as_user_errors(ValueError):
        images = open_images(arguments.images, size, preprocessing, arguments.strict)
        layers = list(dict.fromkeys(arguments.layers or convolution_layers(model)))
    labels = class_labels(images, names_by_wnid(arguments.class_names))
    occlusions = load_occlusions(arguments)
    with as_user_errors(ValueError):
        evolution = arguments.evolution and load_evolution(arguments.evolution)
    folder = new_folder(arguments.out, inputs=[arguments.images])
    classes = f"{len(set(labels))} classes" if labels else "classes not known"
    print(f"{len(images)} images, {classes}, {len(layers)} layers of {model.name}", flush=True)
    with as_user_errors(ValueError, OSError):
        first_page = write_gallery(
            model,
            layers,
            images,
            folder,
            labels=labels,
            occlusions=occlusions,
            evolution=evolution,
            k=arguments.k,
            preprocessing=preprocessing,
            rectification=arguments.rectification,
            batch_size=arguments.batch_size,
        )
    report_skipped(images)
    print(f"Gallery: {first_page}")


def names_by_wnid(filepath):
    """`{ImageNet's number of a class: name}` of a JSON list of objects that have both."""
    if filepath is None:
        return {}
    try:
        entries = json.loads(filepath.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # told of, with what to do, where the names by index are read
    entries = [entry for entry in entries if isinstance(entry, dict)]
    return {entry["wnid"]: entry["name"] for entry in entries if {"wnid", "name"} <= entry.keys()}


def load_occlusions(arguments):
    """An `OcclusionRow` for each analysis given, with the pixels of its photograph."""
    from kerasvis.analyses import OcclusionSensitivity
    from kerasvis.data.photographs import read_photograph
    from kerasvis.figures import OcclusionRow

    names = load_class_names(arguments.model, arguments.class_names)
    rows = []
    for filepath, photograph in arguments.occlusion:
        with as_user_errors(ValueError):
            result = OcclusionSensitivity.load(filepath)
        try:
            pixels = read_photograph(photograph, result.image_size)
        except ValueError as error:
            raise UserError(
                f"The photograph {photograph} of {filepath} cannot be read: {error}; give another."
            ) from error
        rows.append(OcclusionRow(result, pixels, names, Path(photograph).name))
    return rows


def make_parser():
    parser = Parser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add_convnet_arguments(parser)
    add("--images", required=True, help="folder of photographs, or demo for some that come along")
    add("--layers", nargs="+", metavar="LAYER", help="all convolution layers by default")
    add("--k", type=positive_integer, default=9, help="strongest activations of each feature map")
    add("--out", type=Path, default=Path("gallery"), help="folder to write into")
    add("--class-names", type=Path, help="JSON; by default classes.json beside the model")
    add(
        "--occlusion",
        nargs=2,
        action="append",
        default=[],
        metavar=("RESULT", "PHOTOGRAPH"),
        help="an .npz file of occlusion_sensitivity.py and its photograph; can be repeated",
    )
    add(
        "--evolution",
        type=Path,
        metavar="FOLDER",
        help="directory of a FeatureEvolution, of the training of this model",
    )
    add_rectification_argument(parser)
    add("--batch-size", type=positive_integer, default=16, help="images in a step of the scan")
    add("--strict", action="store_true", help="stop at a file that cannot be decoded")
    return parser


if __name__ == "__main__":
    run(main, make_parser())
