"""Does an explanation find the object? `kv.explain` on images whose objects have known places.

    python -m benchmarks.planted_explanation [--images 60] [--seed 0] [--net planted.keras]

The small net of `benchmarks.planted_net`, and images that it has not seen and that it classifies
correctly. Looked at are the five feature maps of `relu4` that add most to the score of the class.

- Maps: the share of them whose strongest activation lies in the object's box, and of all active
  feature maps; and whether the most important one has learned the class: over other images its
  mean activation is larger for this class than for at least six of the other seven.
- Place: whether the largest drop of the class's probability lies in the box.
- Prediction: with the object's box occluded by the mean colour, what the five add to the score
  falls; with a box as large elsewhere it stays. So does the ranking of all active feature maps,
  by Spearman's correlation with the ranking before.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

import kerasvis as kv
from benchmarks.planted_net import open_planted_net
from benchmarks.planted_occlusion import box_mask, centre_of_largest
from benchmarks.turns import verdict
from kerasvis.analyses.explanation.decision_scores import Decision, DecisionScores
from kerasvis.analyses.explanation.feature_evidence import feature_evidence, rank_agreement
from kerasvis.data import PlantedObjects
from kerasvis.graph import feature_extractor

UNSEEN_SEED, OTHER_SEED = 6_000_000, 7_000_000
LAYER = "relu4"
NUM_FEATURES = 5
NUM_OTHER_IMAGES = 400
NUM_OF_OTHER_CLASSES = 6  # than which the most important feature map likes the class better
MIN_INSIDE = 0.9
STEP = 4  # pixels between the places tried for the other box


def main():
    arguments = parse_arguments()
    model = open_planted_net(arguments.net, arguments.seed)
    objects = PlantedObjects(arguments.images, seed=UNSEEN_SEED)
    found = measure(model, objects)
    number = len(found["place"])
    print(f"{number} of {len(objects)} unseen images classified correctly; feature maps of {LAYER}")
    print_share("strongest activation in the box, first five", found["maps"], MIN_INSIDE)
    print_share("the same of all active feature maps", found["all_maps"])
    print_share("area of the box", found["area"])
    print_share("the first has learned the class", found["learned"], MIN_INSIDE)
    print_share("largest drop of probability in the box", found["place"], MIN_INSIDE)
    print(f"{'':<48}{'object occluded':>17}{'elsewhere':>12}")
    for name, key in (
        ("what the five add, share of before, median", "kept"),
        ("rank correlation with before, median", "agreement"),
    ):
        occluded, elsewhere = (np.nanmedian(each) for each in found[key].T)
        print(f"{name:<48}{occluded:>17.2f}{elsewhere:>12.2f}")
    is_predicted = found["kept"][:, 0] < found["kept"][:, 1]
    print_share("images in which the object's box costs more", is_predicted, MIN_INSIDE)


def print_share(name, values, wanted=None):
    share = float(np.mean(values))
    print(f"{name:<48}{share:>8.1%} {'' if wanted is None else verdict(share >= wanted)}")


def measure(model, objects):
    """What is found in the images that the model classifies correctly.

    Returns:
        `{what: float or bool array (images,)}`; of `"kept"` and `"agreement"` `(images, 2)`, for
        the object's box and for the one elsewhere.
    """
    images, liked = objects[:], means_of_classes(model)
    is_right = model.predict(images, verbose=0).argmax(axis=1) == objects.labels
    found = {}
    for number in np.flatnonzero(is_right):
        of_image = look_at(
            model, images[number], int(objects.labels[number]), objects.boxes[number], liked
        )
        for name, value in of_image.items():
            found.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in found.items()}


def means_of_classes(model):
    """float `(classes, features)`: means of the feature maps' maxima over other images."""
    others = PlantedObjects(NUM_OTHER_IMAGES, seed=OTHER_SEED)
    (maps,) = feature_extractor(model, [LAYER]).predict(others[:], verbose=0)
    maxima = maps.max(axis=(1, 2))
    return np.array(
        [maxima[others.labels == index].mean(axis=0) for index in np.unique(others.labels)]
    )


def look_at(model, image, class_index, box, liked):
    """What `measure` returns, of one image."""
    explained = kv.explain(model, image, class_index, layers=[LAYER], verbose=0)
    evidence = explained.evidence[LAYER]
    is_inside = box_mask(box, image.shape[:2])
    best = evidence.ranked[:NUM_FEATURES]
    is_active = np.flatnonzero(evidence.activations > 0)
    field = kv.receptive_field(model, LAYER)
    inside = np.array([is_inside[centre_of(field, p, image)] for p in evidence.positions])
    occlusion = explained.occlusion
    num_less = (liked[class_index, best[0]] > np.delete(liked[:, best[0]], class_index)).sum()
    elsewhere = box_elsewhere(box, image.shape[:2])
    after = [evidence_of(model, occluded(image, each), class_index) for each in (box, elsewhere)]
    before = evidence.effects
    return {
        "maps": inside[best].mean(),
        "all_maps": inside[is_active].mean(),
        "area": is_inside.mean(),
        "learned": num_less >= NUM_OF_OTHER_CLASSES,
        "place": is_inside[centre_of_largest(occlusion.drop, occlusion.boxes)],
        "kept": [each.effects[best].sum() / before[best].sum() for each in after],
        "agreement": [rank_agreement(before[is_active], each.effects[is_active]) for each in after],
    }


def centre_of(field, position, image):
    """`(row, column)`: the middle of what a unit sees, inside the image."""
    top, left, bottom, right = field.box(*map(int, position))
    middle = np.array([(top + bottom) // 2, (left + right) // 2])
    return tuple(middle.clip(0, np.array(image.shape[:2]) - 1))


def evidence_of(model, image, class_index):
    """The `FeatureEvidence` for a class, without the occlusion of `explain`."""
    return feature_evidence(DecisionScores(model, [Decision(class_index)]), LAYER, image)[0]


def occluded(image, box):
    """The image with a box of its mean colour."""
    top, left, bottom, right = box
    covered = image.copy()
    covered[top:bottom, left:right] = image.mean(axis=(0, 1))
    return covered


def box_elsewhere(box, image_size):
    """The box as large as this one that shares least with it."""
    height, width = box[2] - box[0], box[3] - box[1]
    places = [
        (top, left)
        for top in range(0, image_size[0] - height + 1, STEP)
        for left in range(0, image_size[1] - width + 1, STEP)
    ]
    top, left = min(places, key=lambda place: shared(box, place))
    return top, left, top + height, left + width


def shared(box, place):
    """Pixels that a box and one as large at a place share."""
    rows, columns = (abs(box[axis] - place[axis]) for axis in (0, 1))
    height, width = box[2] - box[0], box[3] - box[1]
    return max(height - rows, 0) * max(width - columns, 0)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="of the net and its training images")
    parser.add_argument("--net", help=".keras file of the net; made where there is none")
    return parser.parse_args()


if __name__ == "__main__":
    main()
