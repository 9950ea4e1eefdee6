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
from trained_convnets import load_convnet
from visualize_features import (
    convolution_layers,
    image_size_of,
    open_images,
    positive_integer,
    report_skipped,
)


def main(arguments):
    from kerasvis.reports import class_labels, write_gallery

    convnet = load_convnet(arguments.model, arguments.weights, arguments.image_size)
    model, preprocessing = convnet.model, arguments.preprocessing or convnet.preprocessing
    with as_user_errors(ValueError):
        size = image_size_of(model, arguments.image_size)
        images = open_images(arguments.images, size, preprocessing, arguments.strict)
        layers = list(dict.fromkeys(arguments.layers or convolution_layers(model)))
    labels = class_labels(images, names_by_wnid(arguments.class_names))
    occlusions = load_occlusions(arguments)
    folder = new_folder(arguments.out)
    classes = f"{len(set(labels))} classes" if labels else "classes not known"
    print(f"{len(images)} images, {classes}, {len(layers)} layers of {model.name}", flush=True)
    with as_user_errors(ValueError, OSError):
        first_page = write_gallery(
            model,
            images,
            folder,
            layers,
            labels=labels,
            occlusions=occlusions,
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
    from kerasvis.analyses.occlusion_sensitivity import OcclusionSensitivity
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
    add("--model", required=True, help="a .keras file, or a net of keras.applications, as VGG16")
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
    add(
        "--rectification",
        choices=["deconvnet", "guided", "gradient"],
        default="deconvnet",
        help="what a ReLU lets pass on the way down",
    )
    add("--batch-size", type=positive_integer, default=16, help="images in a step of the scan")
    add("--strict", action="store_true", help="stop at a file that cannot be decoded")
    return parser


if __name__ == "__main__":
    run(main, make_parser())
