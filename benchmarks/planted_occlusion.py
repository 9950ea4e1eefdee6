"""Do the maps tell the truth? Occlusion of generated images, whose objects have known masks.

    python -m benchmarks.planted_occlusion [--images 100] [--seed 0]

Trains the small net of `benchmarks.planted_net` and covers images that it has not seen and that it
classifies correctly. A drop is inside if the centre of the occluder with which it is largest lies
in the object's box. The occluder is about half as wide as the objects: one as large as an object
hides it from many positions, of which the strongest then is chance. Of the projection of the
watched map, the share of energy inside the box is set against the share of the image's area that
the box takes.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from benchmarks.planted_net import train_planted_net
from benchmarks.turns import verdict
from kerasvis.analyses.occlusion.occlusion_sensitivity import OcclusionAnalysis
from kerasvis.data import PlantedObjects

UNSEEN_SEED = 4_000_000
PATCH_SIZE, STRIDES = 12, 4
LAYER = "relu4"
MIN_INSIDE = 0.95


def main():
    arguments = parse_arguments()
    model, accuracy = train_planted_net(arguments.seed)
    print(f"validation accuracy {accuracy:.1%}")
    found = measure(model, PlantedObjects(arguments.images, seed=UNSEEN_SEED))
    print(f"{len(found['probability'])} of {arguments.images} unseen images classified correctly,")
    print(f"occluder {PATCH_SIZE}, stride {STRIDES}, feature maps of {LAYER}")
    print(f"{'':<34}{'inside the box':>15}")
    for name in ("probability", "activity"):
        share = found[name].mean()
        print(f"{f'largest drop of {name}':<34}{share:>15.1%} {verdict(share >= MIN_INSIDE)}")
    energy, area = found["energy"], found["area"]
    print(f"{'energy of the projection, median':<34}{np.median(energy):>15.1%}")
    print(f"{'area of the box, median':<34}{np.median(area):>15.1%}")
    share = np.mean(energy > area)
    print(f"{'images with more energy than area':<34}{share:>15.1%} {verdict(share >= MIN_INSIDE)}")


def measure(model, objects):
    """What is found in the images that the model classifies correctly.

    Returns:
        `{"probability": bool (images,), whether its largest drop is inside; "activity": the
        same; "energy": float (images,), share of the projection's energy inside; "area": float
        (images,), share of the image's pixels}`.
    """
    analysis = OcclusionAnalysis(
        model, objects.shape[1:3], patch_size=PATCH_SIZE, strides=STRIDES, layer=LAYER, verbose=0
    )
    images = objects[:]
    is_right = model.predict(images, verbose=0).argmax(axis=1) == objects.labels
    found = {"probability": [], "activity": [], "energy": [], "area": []}
    for number in np.flatnonzero(is_right):
        result = analysis(images[number], int(objects.labels[number]))
        is_inside = box_mask(objects.boxes[number], result.image_size)
        found["probability"].append(is_inside[centre_of_largest(result.drop, result.boxes)])
        found["activity"].append(is_inside[centre_of_largest(result.activity_drop, result.boxes)])
        energy = np.square(result.projection).sum(axis=-1)
        found["energy"].append(energy[is_inside].sum() / energy.sum())
        found["area"].append(is_inside.mean())
    return {name: np.array(values) for name, values in found.items()}


def box_mask(box, image_size):
    top, left, bottom, right = box
    is_inside = np.zeros(image_size, bool)
    is_inside[top:bottom, left:right] = True
    return is_inside


def centre_of_largest(drop, boxes):
    """`(row, column)`: the centre of the occluder with the largest drop."""
    top, left, bottom, right = boxes.reshape(-1, 4)[drop.argmax()]
    return (top + bottom) // 2, (left + right) // 2


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the net and its training images")
    return parser.parse_args()


if __name__ == "__main__":
    main()
