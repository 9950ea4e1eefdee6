"""How far the features of a net carry to other data, layer by layer.

The layers stay as they were trained; a linear classifier is trained on what they give for new
images, with few of each class. Its accuracy says how well the features generalise, and over the
layers of a net how they become more telling from one to the next.
"""

import contextlib
import dataclasses
import functools
import operator
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import keras
import numpy as np
import tqdm

from kerasvis.analyses.transfer.all_images import AllImages
from kerasvis.analyses.transfer.feature_cache import FeatureCache
from kerasvis.analyses.transfer.flat_features import LARGEST_MAP
from kerasvis.analyses.transfer.folds import ClassSize, draw_fold
from kerasvis.analyses.transfer.from_scratch import fresh_convnet, predict_from_scratch
from kerasvis.analyses.transfer.heads import HEADS, normalized
from kerasvis.analyses.transfer.near_duplicates import (
    LEAST_CORRELATION,
    NearDuplicates,
    find_near_duplicates,
    fingerprint_of,
)
from kerasvis.analyses.transfer.per_class_accuracy import mean_per_class_accuracy
from kerasvis.arguments import standardize_layers, standardize_model, standardize_preprocessing
from kerasvis.graph import image_shape
from kerasvis.storage.fields import Array
from kerasvis.storage.fingerprints import digest
from kerasvis.storage.html_table import html_table
from kerasvis.storage.parts import Parts
from kerasvis.storage.results import Result

if TYPE_CHECKING:
    from kerasvis.data.labelled.labelled_data import LabelledData
    from kerasvis.training.recipe import Recipe


NUM_TEST = 50  # test images of a class at most (Section 5.2)


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureTransfer(Result):
    """Accuracies on other data, of linear heads on the layers of a net.

    Attributes:
        layers: tuple of names.
        heads: tuple of names, `"svm"` or `"softmax"`.
        per_class: int64 `(sizes,)`, training images of each class, ascending.
        accuracies: float32 `(layers, heads, sizes, folds)`, mean per-class accuracies in [0, 1].
        scratch_accuracies: float32 `(sizes, folds)`, those of the same net trained on the new
            images alone; `(sizes, 0)` if it was not.
        num_features: int64 `(layers,)`, numbers that a head sees of an image.
        num_test_images: int64 `(folds,)`.
        class_names: tuple of names.
        num_images: images there were to draw from, near-duplicates included.
        duplicate_indices: int64 `(duplicates,)`, images that were left out, because the net may
            have been trained on them: numbers among those for training, then for validation.
    """

    layers: tuple[str, ...]
    heads: tuple[str, ...]
    per_class: Annotated[np.ndarray, Array("int64", "sizes")]
    accuracies: Annotated[np.ndarray, Array("float32", "layers", "heads", "sizes", "folds")]
    scratch_accuracies: Annotated[np.ndarray, Array("float32", "sizes", "scratch folds")]
    num_features: Annotated[np.ndarray, Array("int64", "layers")]
    num_test_images: Annotated[np.ndarray, Array("int64", "folds")]
    class_names: tuple[str, ...]
    num_images: int
    duplicate_indices: Annotated[np.ndarray, Array("int64", "duplicates")]

    def _repr_html_(self):
        num_folds = self.accuracies.shape[-1]
        sizes = self.per_class.tolist()
        header = ["layer", "features", *(f"{h}, {n} a class" for h in self.heads for n in sizes)]
        means = self.accuracies.mean(axis=-1).reshape(len(self.layers), -1)
        rows = [
            [name, number, *(f"{mean:.1%}" for mean in of_layer)]
            for name, number, of_layer in zip(self.layers, self.num_features, means, strict=True)
        ]
        return html_table(f"Accuracy, mean over classes and {num_folds} folds", header, rows)


def transfer_features(
    model: keras.Model,
    layers: str | Sequence[str],
    data: "LabelledData",
    *,
    per_class: int | Sequence[int] = (15, 30),
    folds: int = 5,
    heads: Sequence[str] = ("svm", "softmax"),
    num_test: int = NUM_TEST,
    test: str = "rest",
    trained_on: Any = None,
    preprocessing: Any = None,
    largest_map: Sequence[int] | None = LARGEST_MAP,
    cache: str | os.PathLike | None = None,
    scratch_recipe: "Recipe | None" = None,
    batch_size: int = 64,
    seed: int = 0,
    verbose: str | int = "auto",
) -> FeatureTransfer:
    """Measures how well linear classifiers do on the features of layers, for other data.

    The features of every image are computed once, and divided by their length. For each fold
    training images of each class are drawn; a smaller training set is part of a larger one, and all
    sizes, layers and heads have the same test images.

    Args:
        model: a functional or Sequential `keras.Model`; it is left as it is.
        layers: names of layers, or one name; `"outer/inner"` inside a nested model.
        data: a `kerasvis.data.LabelledData`, of the size of image that the model takes:
            `load_labelled("caltech101", image_size=224)`.
        per_class: training images of each class: one number, or several for a learning curve.
        folds: drawings of training and test images.
        heads: of `"svm"` and `"softmax"`; an SVM takes scikit-learn.
        num_test: test images of each class at most.
        test: `"rest"`, the paper's way: training and validation images are put together, and the
            test images drawn from those that are not trained on; or `"given"`: they are
            `data.validation`.
        trained_on: images that the model was trained on, as far as there are some, whose
            near-duplicates are left out: a folder of photographs, an array, or labelled data, as
            the references of `find_near_duplicates`.
        preprocessing: how the images that the model takes are made from pixels: what
            `kerasvis.data.Preprocessing.of` takes; by default that of the model, see
            `kerasvis.arguments.standardize_preprocessing`.
        largest_map: `(rows, columns)` that feature maps have at most, see `FlatFeatures`; None
            takes all as they are.
        cache: folder in which the features are kept for the next run, see `FeatureCache`; a run
            that was stopped goes on from there.
        scratch_recipe: a `kerasvis.training.Recipe`, by which the same net up to the last of
            `layers` is also trained on the new images alone, once for each size and fold, as the
            baseline; for models that take raw pixels, and of the images' size throughout, as
            `Recipe.for_small_images(224)` is.
        batch_size: images in a step, for the features.
        seed: of drawing images and of training heads.
        verbose: 1 or 0, with or without progress bars; `"auto"`: with them on a terminal.

    Returns:
        A `FeatureTransfer`.

    Raises:
        ValueError: if an argument is wrong, or a class has too few images.

    Reference:
        Zeiler & Fergus 2013, Section 5.2, Tables 4 and 5, and Section 5.3, Table 7.

    Example:
        >>> import keras
        >>> from keras import layers
        >>> import kerasvis as kv
        >>> planted = kv.data.PlantedObjects(32, (32, 32))
        >>> images = kv.data.LabelledImages(planted[:].astype("uint8"), planted.labels)
        >>> data = kv.data.LabelledData(images, images, planted.class_names, (32, 32))
        >>> model = keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(4, 5, 4, name="a")])
        >>> transfer = kv.transfer_features(
        ...     model, ["a"], data, per_class=[1, 2], folds=2, heads=["svm"], verbose=0
        ... )
        >>> transfer.accuracies.mean(axis=-1).shape  # (layers, heads, sizes)
        (1, 1, 2)
    """
    layers = standardize_layers(layers)
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    per_class = _standardized_sizes(per_class)
    _check(layers, heads, test, verbose, {"folds": folds, "num_test": num_test})
    model = standardize_model(model, data.train)
    preprocessing = standardize_preprocessing(model, preprocessing)
    if scratch_recipe is not None:
        _check_scratch(model, layers, data, preprocessing, scratch_recipe)
    images = AllImages(data)
    with _folder(cache) as folder:
        features = FeatureCache(folder, model, layers, images, preprocessing, largest_map)
        size = ClassSize(per_class[-1], num_test)
        _draw(images, (), size, test, seed, 0)  # too few are to fail now
        duplicates = _near_duplicates(images, trained_on, folder, verbose)
        drawn = [
            _draw(images, duplicates.image_indices, size, test, seed, number)
            for number in range(folds)
        ]
        features.fill(batch_size, verbose)
        accuracies, num_features = [], []
        with _bar("Heads", len(layers) * len(heads) * len(per_class) * folds, verbose) as bar:
            for layer in layers:
                vectors = normalized(features.load(layer))
                num_features.append(vectors.shape[1])
                of_layer = _accuracies(vectors, images, drawn, heads, per_class, seed, bar)
                accuracies.append(of_layer)
        scratch = np.zeros((len(per_class), 0), "float32")
        if scratch_recipe is not None:
            build = functools.partial(fresh_convnet, model, layers[-1], len(images.class_names))
            scratch = _from_scratch(
                build, images, drawn, per_class, scratch_recipe, folder, verbose
            )
    return FeatureTransfer(
        layers=layers,
        heads=heads,
        per_class=np.array(per_class, "int64"),
        accuracies=np.array(accuracies, "float32"),
        scratch_accuracies=scratch,
        num_features=np.array(num_features, "int64"),
        num_test_images=np.array([len(fold.test) for fold in drawn], "int64"),
        class_names=images.class_names,
        num_images=len(images),
        duplicate_indices=duplicates.image_indices,
    )


def _near_duplicates(images, references, folder, verbose):
    """Those of the references, found once and kept in the folder."""
    if references is None:
        return NearDuplicates.none()
    computed_from = {
        "images": images.fingerprint,
        "references": fingerprint_of(references),
        "least correlation": LEAST_CORRELATION,
    }
    folder = folder / f"near_duplicates-{digest(computed_from.values())}"
    with Parts(folder, lambda: computed_from) as parts:
        return parts.result(
            "near_duplicates.npz",
            NearDuplicates,
            lambda: find_near_duplicates(images.batches(), references, verbose=verbose),
        )


def _draw(images, left_out, size, test, seed, number):
    may_draw = ~np.isin(np.arange(len(images)), left_out)
    may_train, may_test = may_draw, may_draw
    if test == "given":
        may_train, may_test = may_draw & images.is_train, may_draw & ~images.is_train
    return draw_fold(images.labels, images.class_names, may_train, may_test, size, seed, number)


def _accuracies(vectors, images, folds, heads, per_class, seed, bar):
    """Those of one layer, a nested list `(heads, sizes, folds)`."""
    num_classes = len(images.class_names)

    def accuracy(head, size, fold):
        train = fold.train[:, :size].ravel()
        labels, test_labels = images.labels[train], images.labels[fold.test]
        predicted = HEADS[head](vectors[train], labels, vectors[fold.test], num_classes, seed)
        bar.update()
        return mean_per_class_accuracy(test_labels, predicted, num_classes)

    return [[[accuracy(h, size, fold) for fold in folds] for size in per_class] for h in heads]


def _from_scratch(build, images, folds, per_class, recipe, folder, verbose):
    """Accuracies of fresh convnets, which `build(recipe.seed)` returns: float32 (sizes, folds)."""
    num_classes = len(images.class_names)
    accuracies = np.zeros((len(per_class), len(folds)), "float32")
    with _bar("From scratch", accuracies.size, verbose) as bar:
        for place in np.ndindex(accuracies.shape):
            size, fold = per_class[place[0]], folds[place[1]]
            train, test = images.at(fold.train[:, :size]), images.at(fold.test)
            predicted = predict_from_scratch(build(seed=recipe.seed), train, test, recipe, folder)
            accuracies[place] = mean_per_class_accuracy(test.labels, predicted, num_classes)
            bar.update()
    return accuracies


def _bar(what, number, verbose):
    disable = {"auto": None}.get(verbose, not verbose)  # None: shown on a terminal only
    return tqdm.tqdm(desc=what, total=number, disable=disable)


@contextlib.contextmanager
def _folder(cache):
    if cache is not None:
        yield Path(cache)
        return
    with tempfile.TemporaryDirectory(prefix="kerasvis-features-") as folder:
        yield Path(folder)


def _standardized_sizes(per_class):
    try:
        sizes = [operator.index(size) for size in np.atleast_1d(per_class)]
    except TypeError:
        sizes = []
    if not sizes or min(sizes) < 1 or len(set(sizes)) < len(sizes):
        raise ValueError(
            f"per_class is {per_class!r}: give numbers of training images of each class, 1 or "
            "more, each once."
        )
    return sorted(sizes)


def _check(layers, heads, test, verbose, numbers):
    for what, names in (("layer", layers), ("head", heads)):
        if not names:
            raise ValueError(f"No {what}s were given: name at least one.")
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"The {what} {repeated[0]!r} was given more than once: name each once."
            )
    if unknown := [head for head in heads if head not in HEADS]:
        raise ValueError(f"There is no head {unknown[0]!r}: give {' or '.join(map(repr, HEADS))}.")
    if test not in ("rest", "given"):
        raise ValueError(f"test is {test!r}: give 'rest' or 'given'.")
    if verbose not in ("auto", 0, 1):
        raise ValueError(f"verbose is {verbose!r}: give 'auto', 0 or 1.")
    for name, number in numbers.items():
        if not isinstance(number, int | np.integer) or number < 1:
            raise ValueError(f"{name} is {number!r}: give an integer of at least 1.")


def _check_scratch(model, layers, data, preprocessing, recipe):
    """Builds the net once, so that what does not suit fails before the long work."""
    if preprocessing.mode != "raw":
        raise ValueError(
            f"The preprocessing is {preprocessing.mode!r}, but a net from scratch is trained "
            "on raw pixels: give a model that preprocesses by itself, or no scratch_recipe."
        )
    size = tuple(data.image_size)
    sizes = {
        "data": size,
        "model": image_shape(model)[:2],
        "recipe's images": (recipe.image_size,) * 2,
        "recipe's crops": (recipe.crop_size,) * 2,
    }
    if set(sizes.values()) != {size}:
        found = ", ".join(f"{what} {rows}×{columns}" for what, (rows, columns) in sizes.items())
        raise ValueError(
            f"A net from scratch needs one size for all, but there are: {found}. Give "
            f"Recipe.for_small_images({size[0]}), and a model and data of {size[0]}×{size[0]}."
        )
    fresh_convnet(model, layers[-1], len(data.class_names))
