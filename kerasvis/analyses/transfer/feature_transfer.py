"""How well the features of a model transfer to other data, layer by layer.

The layers keep their trained weights. A linear classifier is trained on their outputs for new
images, few of each class. Its accuracy measures how well the features generalise, and shows how
they become more discriminative from layer to layer.
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
from kerasvis.analyses.transfer.folds import ClassSize, sample_fold
from kerasvis.analyses.transfer.from_scratch import fresh_convnet, predict_from_scratch
from kerasvis.analyses.transfer.heads import HEADS, normalized
from kerasvis.analyses.transfer.near_duplicates import (
    LEAST_CORRELATION,
    NearDuplicates,
    find_near_duplicates,
    fingerprint_of,
)
from kerasvis.analyses.transfer.per_class_accuracy import mean_per_class_accuracy
from kerasvis.arguments import (
    standardize_engine,
    standardize_layers,
    standardize_model,
    standardize_preprocessing,
)
from kerasvis.engines import Ray
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
    """Accuracies of linear heads on the layers of a model, for other data.

    Attributes:
        layers: tuple of names.
        heads: tuple of names, `"svm"` or `"softmax"`.
        per_class: int64 `(sizes,)`, training images of each class, ascending.
        accuracies: float32 `(layers, heads, sizes, folds)`, mean per-class accuracies in [0, 1].
        scratch_accuracies: float32 `(sizes, folds)`, those of the same architecture trained on the
            new images alone; `(sizes, 0)` without such training.
        num_features: int64 `(layers,)`, length of the vector that a head takes for an image.
        num_test_images: int64 `(folds,)`.
        class_names: tuple of names.
        num_images: images in the data set, near-duplicates included.
        duplicate_indices: int64 `(duplicates,)`, images that were left out because the model may
            have been trained on them. Training images count first, then validation images.
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
        over = "classes" if num_folds == 1 else f"classes and {num_folds} folds"
        return html_table(f"Accuracy, mean over {over}", header, rows)


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
    engine: Ray | None = None,
    seed: int = 0,
    verbose: str | int = "auto",
) -> FeatureTransfer:
    """Measures the accuracy of linear classifiers on the features of layers, for other data.

    The features of every image are computed once and normalised to length 1. Each fold samples
    training images of every class. A smaller training set is a subset of a larger one, and all
    sizes, layers and heads share the same test images.

    Args:
        model: a functional or Sequential `keras.Model`; it is not changed.
        layers: names of layers, or one name; `"outer/inner"` inside a nested model.
        data: a `kerasvis.data.LabelledData`, with images of the size that the model takes:
            `load_labelled("caltech101", image_size=224)`.
        per_class: training images of each class: one number, or several for a learning curve.
        folds: number of random splits into training and test images.
        heads: `"svm"`, `"softmax"` or both; `"svm"` needs scikit-learn.
        num_test: maximum number of test images of each class.
        test: `"rest"`, as in the paper: training and validation images are merged, and the test
            images sampled from those that are not trained on; or `"given"`: the test images are
            sampled from `data.validation`.
        trained_on: images that the model was trained on, whose near-duplicates are left out: a
            folder of photographs, an array, or labelled data, as the references of
            `find_near_duplicates`. By default no images are left out.
        preprocessing: how the model's inputs are computed from pixels, see
            `kerasvis.data.Preprocessing.of`; by default that of the model, see
            `kerasvis.arguments.standardize_preprocessing`.
        largest_map: maximum `(rows, columns)` of feature maps, see `flat_features`; None leaves all
            as they are.
        cache: folder that caches the features for the next run, see `FeatureCache`; an interrupted
            run resumes from it.
        scratch_recipe: a `kerasvis.training.Recipe`. With one, the same architecture up to the last
            of `layers` is also trained on the new images alone, once for each size and fold, as a
            reference. The model must take raw pixels, and the recipe must have one image size
            throughout, such as `Recipe.for_small_images(224)`.
        batch_size: images per step, for the features.
        engine: a `kerasvis.engines.Ray`, to compute the features on the machines of a cluster; None
            for this process.
        seed: seed of the folds and of the training of heads.
        verbose: 1 shows progress bars, 0 none; `"auto"` shows them on a terminal.

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
    sizes, engine = _standardized_sizes(per_class), standardize_engine(engine)
    _check(layers, heads, test, verbose, {"folds": folds, "num_test": num_test})
    model = standardize_model(model, data.train)
    preprocessing = standardize_preprocessing(model, preprocessing)
    if scratch_recipe is not None:
        _check_scratch(model, layers, data, preprocessing, scratch_recipe)
    images = AllImages(data)
    with _folder(cache) as folder:
        features = FeatureCache(folder, model, layers, images, preprocessing, largest_map)
        size = ClassSize(sizes[-1], num_test)
        _sample_fold(images, (), size, test, seed, 0)  # fail early if there are too few
        duplicates = _near_duplicates(images, trained_on, folder, verbose)
        sampled = [
            _sample_fold(images, duplicates.image_indices, size, test, seed, number)
            for number in range(folds)
        ]
        features.compute(batch_size, verbose, engine)
        accuracies, num_features = [], []
        with _bar("Heads", len(layers) * len(heads) * len(sizes) * folds, verbose) as bar:
            for layer in layers:
                vectors = normalized(features.load(layer))
                num_features.append(vectors.shape[1])
                of_layer = _accuracies(vectors, images, sampled, heads, sizes, seed, bar)
                accuracies.append(of_layer)
        scratch = np.zeros((len(sizes), 0), "float32")
        if scratch_recipe is not None:
            build = functools.partial(fresh_convnet, model, layers[-1], len(images.class_names))
            scratch = _from_scratch(build, images, sampled, sizes, scratch_recipe, folder, verbose)
    return FeatureTransfer(
        layers=layers,
        heads=heads,
        per_class=np.array(sizes, "int64"),
        accuracies=np.array(accuracies, "float32"),
        scratch_accuracies=scratch,
        num_features=np.array(num_features, "int64"),
        num_test_images=np.array([len(fold.test) for fold in sampled], "int64"),
        class_names=images.class_names,
        num_images=len(images),
        duplicate_indices=duplicates.image_indices,
    )


def _near_duplicates(images, references, folder, verbose):
    """The near-duplicates of the references, found once and cached in the folder."""
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


def _sample_fold(images, left_out, size, test, seed, number):
    is_allowed = ~np.isin(np.arange(len(images)), left_out)
    may_train, may_test = is_allowed, is_allowed
    if test == "given":
        may_train, may_test = is_allowed & images.is_train, is_allowed & ~images.is_train
    return sample_fold(images.labels, images.class_names, may_train, may_test, size, seed, number)


def _accuracies(vectors, images, folds, heads, per_class, seed, bar):
    """The accuracies of one layer, a nested list `(heads, sizes, folds)`."""
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
            "Give numbers of training images of each class, 1 or more, each once. "
            f"Received: per_class={per_class!r}"
        )
    return sorted(sizes)


def _check(layers, heads, test, verbose, numbers):
    for what, names in (("layer", layers), ("head", heads)):
        if not names:
            raise ValueError(
                f"No {what}s were given: name at least one. Received: {what}s={names!r}"
            )
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"The {what} {repeated[0]!r} was given more than once: name each once. "
                f"Received: {what}s={names!r}"
            )
    if unknown := [head for head in heads if head not in HEADS]:
        raise ValueError(
            f"There is no head {unknown[0]!r}: give {' or '.join(map(repr, HEADS))}. "
            f"Received: heads={heads!r}"
        )
    if test not in ("rest", "given"):
        raise ValueError(f"Give 'rest' or 'given'. Received: test={test!r}")
    if verbose not in ("auto", 0, 1):
        raise ValueError(f"Give 'auto', 0 or 1. Received: verbose={verbose!r}")
    for name, number in numbers.items():
        if not isinstance(number, int | np.integer) or number < 1:
            raise ValueError(f"Give an integer of at least 1. Received: {name}={number!r}")


def _check_scratch(model, layers, data, preprocessing, recipe):
    """Fails early if no model can be trained from scratch."""
    if preprocessing.mode != "raw":
        raise ValueError(
            "A model from scratch is trained on raw pixels: give a model that preprocesses by "
            f"itself, or no scratch_recipe. Received: preprocessing={preprocessing.mode!r}"
        )
    size = tuple(data.image_size)
    sizes = {
        "data": size,
        "model": image_shape(model)[:2],
        "recipe's images": (recipe.image_size,) * 2,
        "recipe's crops": (recipe.crop_size,) * 2,
    }
    if set(sizes.values()) != {size}:
        received = ", ".join(f"{what} {rows}×{columns}" for what, (rows, columns) in sizes.items())
        raise ValueError(
            "To train from scratch, model, data and recipe must have one image size: give "
            f"Recipe.for_small_images({size[0]}), and a model and data of {size[0]}×{size[0]}. "
            f"Received: {received}"
        )
    fresh_convnet(model, layers[-1], len(data.class_names))
