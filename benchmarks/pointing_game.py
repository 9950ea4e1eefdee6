"""The pointing game: does the strongest point of a map lie on the object?

    python -m benchmarks.pointing_game [--images 400] [--seed 0] [--net planted.keras]
        [--photographs squeezenet.keras FOLDER]

As published (Zhang et al. 2016, in the version of TorchRay): a map is smoothed by a Gaussian of
0.02 of the image's longer side; its strongest point is a hit if it lies within 15 pixels, at 224,
of the object's box. The score before the softmax of the object's class is traced back, whether the
net gives that class or not; of maps with channels the largest absolute value counts. The mean over
classes of the share of hits is printed, with its standard error.

- `PlantedObjects` that the small net of `benchmarks.planted_net` has not seen. Objects are of one
  size on clutter; 15 pixels of 224 are 4.3 of their 64.
- Photographs of dogs whose faces are noted in `examples/dog_parts.json`, by a net of ImageNet's
  classes, if its file and the photographs' folder are given. Five are too few for an order.

Beside it what TorchRay publishes for VGG16 on PASCAL VOC 2007, all and difficult images.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import scipy.ndimage

import kerasvis as kv
from benchmarks.planted_net import open_planted_net
from kerasvis.data import PlantedObjects
from kerasvis.data.photographs import photograph_size, read_photograph
from kerasvis.graph import read_graph

UNSEEN_SEED = 5_000_000
TOLERANCE, AT = 15, 224  # pixels
SMOOTHING = 0.02  # of the image's longer side
CENTRE = "centre"
# Per cent, `docs/pointing.csv` of github.com/facebookresearch/TorchRay: VGG16, VOC07.
PUBLISHED = {
    CENTRE: (69.6, 42.4),
    "deconvnet": (67.5, 44.2),
    "guided": (75.9, 53.0),
    "gradient": (76.3, 56.9),
    "grad_cam": (86.6, 74.0),
}
ORDER = (CENTRE, "deconvnet", "guided", "gradient", "grad_cam")
PARTS = Path(__file__).parents[1] / "examples" / "dog_parts.json"


def main():
    arguments = parse_arguments()
    objects = PlantedObjects(arguments.images, seed=UNSEEN_SEED)
    model = open_planted_net(arguments.net, arguments.seed)
    hits = play(model, objects[:], objects.labels, objects.boxes)
    tables = {f"{len(objects)} planted objects": accuracies(hits, objects.labels)}
    if arguments.photographs:
        model, images, labels, boxes = photographs_of_dogs(*arguments.photographs)
        hits = play(model, images, labels, boxes)
        tables[f"{len(images)} dogs' faces"] = accuracies(hits, labels)
    print(table_of(tables))
    for name, found in tables.items():
        shown = sorted(ORDER, key=lambda method: found[method][0])
        print(f"{name}: {' < '.join(shown)}")


def play(model, images, labels, boxes):
    """Which maps point to the object.

    Args:
        model: a `keras.Model` of a score for each class.
        images: float `(images, rows, columns, 3)`.
        labels: int `(images,)`, the class of each.
        boxes: int `(images, 4)`: (top, left, bottom, right) of the object, half open.

    Returns:
        `{method: bool (images,)}`, of the methods of `kerasvis.attributions.METHODS` and of the
        image's centre.
    """
    graph, size = read_graph(model), images.shape[1:3]
    layer = next(node.name for node in graph.nodes if graph.outputs[0] in node.outputs)
    target = kv.targets.Unit(np.asarray(labels).tolist())
    points = {CENTRE: np.tile(np.array(size) // 2, (len(images), 1))}
    for method in kv.attributions.METHODS:
        maps = kv.attribute(model, layer, images, target, method)
        points[method] = np.array([strongest_point(each) for each in maps])
    tolerance = TOLERANCE / AT * min(size)
    return {
        name: np.array(
            [is_hit(point, box, tolerance) for point, box in zip(found, boxes, strict=True)]
        )
        for name, found in points.items()
    }


def strongest_point(values):
    """`(row, column)`: where a map, `(rows, columns)` or with channels, is strongest, smoothed."""
    strengths = np.abs(values).max(axis=-1) if values.ndim == 3 else values
    sigma = SMOOTHING * max(strengths.shape)
    smooth = scipy.ndimage.gaussian_filter(strengths.astype("float64"), sigma, mode="nearest")
    return np.unravel_index(smooth.argmax(), smooth.shape)


def is_hit(point, box, tolerance):
    """Whether a point lies within some pixels of a box (top, left, bottom, right), half open."""
    begin, last = np.array(box[:2]), np.array(box[2:]) - 1
    outside = np.maximum(np.maximum(begin - point, point - last), 0)
    return bool(np.hypot(*outside) <= tolerance)


def accuracies(hits, labels):
    """`{method: (mean over classes of the share of hits, its standard error)}`, in [0, 1]."""
    classes = np.unique(labels)
    found = {}
    for method, each in hits.items():
        shares = np.array([each[labels == index].mean() for index in classes])
        counts = np.array([(labels == index).sum() for index in classes])
        error = np.sqrt((shares * (1 - shares) / counts).sum()) / len(classes)
        found[method] = (float(shares.mean()), float(error))
    return found


def table_of(tables):
    """The table, as Markdown: measured and published shares of hits in per cent."""
    names = [*tables, "TorchRay, VOC07 all", "TorchRay, VOC07 difficult"]
    lines = [f"| map | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for method in next(iter(tables.values())):
        measured = [
            f"{100 * m:.1f} ± {100 * e:.1f}" for m, e in (t[method] for t in tables.values())
        ]
        published = [str(value) for value in PUBLISHED.get(method, ("–", "–"))]
        lines.append(f"| {method.replace('_', ' ')} | {' | '.join([*measured, *published])} |")
    return "\n".join(lines)


def photographs_of_dogs(model_file, folder):
    """`(model, images, labels, boxes)` of photographs whose dogs' faces are noted.

    Args:
        model_file: .keras file of a net of ImageNet's 1000 classes, which takes raw pixels.
        folder: of one photograph of each class, whose names begin with the numbers of the classes.
    """
    model = keras.saving.load_model(model_file, compile=False)
    size = model.input_shape[1:3]
    every = sorted(path.name for path in Path(folder).iterdir())
    parts = json.loads(PARTS.read_text())
    paths = [Path(folder) / name for name in parts]
    images = np.array([read_photograph(path, size) for path in paths], "float32")
    boxes = [
        box_in_image(part["face"], photograph_size(path), size)
        for path, part in zip(paths, parts.values(), strict=True)
    ]
    labels = np.array([every.index(name) for name in parts])
    return model, images, labels, np.array(boxes)


def box_in_image(box, photograph, size):
    """A box of a photograph's pixels in the image that `read_photograph` makes of it."""
    scale = max(np.divide(size, photograph))
    corner = (np.multiply(photograph, scale) - size) / 2
    moved = np.array(box) * scale - np.tile(corner, 2)
    return np.rint(moved.clip(0, np.tile(size, 2))).astype(int)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0, help="of the net and its training images")
    parser.add_argument("--net", help=".keras file of the net; made where there is none")
    parser.add_argument("--photographs", nargs=2, metavar=("MODEL", "FOLDER"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
