import dataclasses

import numpy as np
import pytest
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC

from kerasvis.analyses import FeatureTransfer, transfer_features
from kerasvis.analyses.transfer.all_images import AllImages
from kerasvis.analyses.transfer.feature_cache import FeatureCache
from kerasvis.data import LabelledImages
from kerasvis.training import Recipe
from tests.analyses.transfer.transfers import convnet, labelled_data


def transfer(layers=("conv1", "conv2"), data=None, **options):
    given = {"per_class": (2, 5), "folds": 2, "heads": "svm", "verbose": 0}
    return transfer_features(convnet(), layers, data or labelled_data(), **given | options)


def test_accuracies_are_those_of_the_protocol(tmp_path):
    """The protocol once more, image by image, with the same drawings of images."""
    found = transfer(num_test=4, cache=tmp_path)
    assert found.accuracies.shape == (2, 1, 2, 2)
    images = AllImages(labelled_data())
    cache = FeatureCache(tmp_path, convnet(), ["conv1", "conv2"], images)
    for layer, name in enumerate(["conv1", "conv2"]):
        features = cache.load(name)
        features = [vector / max(np.sqrt((vector**2).sum()), 1e-12) for vector in features]
        features = np.array(features)
        for fold in range(2):
            for size, per_class in enumerate((2, 5)):
                train, test = [], []
                for label in range(3):
                    own = [i for i in range(36) if images.labels[i] == label]
                    own = np.random.default_rng([0, fold, label]).permutation(own)
                    train += list(own[:per_class])
                    test += list(own[5:9])  # the same ones for both sizes
                svm = OneVsRestClassifier(SVC(C=3.0, kernel="linear"))
                predicted = svm.fit(features[train], images.labels[train]).predict(features[test])
                shares = [
                    np.mean(predicted[images.labels[test] == label] == label) for label in range(3)
                ]
                assert found.accuracies[layer, 0, size, fold] == pytest.approx(np.mean(shares))
    np.testing.assert_array_equal(found.num_test_images, [12, 12])
    np.testing.assert_array_equal(found.num_features, [6 * 6 * 5, 3 * 4 * 6])


def test_sizes_in_any_order(tmp_path):
    found = transfer("conv2", per_class=(5, 2), folds=1, num_test=4, cache=tmp_path)
    np.testing.assert_array_equal(found.per_class, [2, 5])
    ordered = transfer("conv2", per_class=(2, 5), folds=1, num_test=4, cache=tmp_path)
    np.testing.assert_array_equal(found.accuracies, ordered.accuracies)
    one = transfer("conv2", per_class=5, folds=1, num_test=4, cache=tmp_path)
    np.testing.assert_array_equal(one.per_class, [5])
    assert "5" in one._repr_html_()


@pytest.mark.slow
def test_both_heads_tell_colours_apart():
    found = transfer("conv2", heads=("softmax", "svm"), per_class=8, folds=1)
    assert found.heads == ("softmax", "svm")
    assert found.accuracies.shape == (1, 2, 1, 1)
    assert (found.accuracies > 0.7).all()  # by chance a third


def without(images, numbers):
    return LabelledImages(*(np.delete(array, numbers, axis=0) for array in images))


def test_planted_near_duplicates_are_left_out():
    """What is left is what would be there if they had never been among the images."""
    data = labelled_data(num_validation=15)
    planted = [3, 20, 25]
    both = np.concatenate([data.train.pixels, data.validation.pixels])
    found = transfer("conv1", data, trained_on=both[planted])
    np.testing.assert_array_equal(found.duplicate_indices, planted)
    assert found.num_images == 39
    fewer = dataclasses.replace(
        data, train=without(data.train, [3, 20]), validation=without(data.validation, [25 - 24])
    )
    expected = transfer("conv1", fewer)
    np.testing.assert_array_equal(found.accuracies, expected.accuracies)
    np.testing.assert_array_equal(found.num_test_images, expected.num_test_images)


def test_near_duplicates_are_looked_for_once(tmp_path):
    data = labelled_data()

    def transferred(number):
        found = transfer("conv1", data, trained_on=data.train.pixels[5:number], cache=tmp_path)
        files = tmp_path.glob("near_duplicates-*/near_duplicates.npz")
        return found, {file: file.stat().st_ino for file in files}

    first, files = transferred(7)
    again, same_files = transferred(7)
    assert same_files == files
    np.testing.assert_array_equal(again.duplicate_indices, [5, 6])
    np.testing.assert_array_equal(again.accuracies, first.accuracies)
    other, more_files = transferred(8)
    assert len(more_files) == len(files) + 1
    np.testing.assert_array_equal(other.duplicate_indices, [5, 6, 7])


def test_classes_that_are_too_small_are_refused_first(tmp_path):
    with pytest.raises(ValueError, match="'ant' has too few images, 12 for training and 0 others"):
        transfer("conv1", per_class=12, trained_on=tmp_path / "missing")


def test_the_given_test_images():
    found = transfer("conv1", test="given")
    np.testing.assert_array_equal(found.num_test_images, [12, 12])
    rest = transfer("conv1")
    np.testing.assert_array_equal(rest.num_test_images, [36 - 15] * 2)


def test_the_model_is_left_as_it_is():
    model = convnet()
    before = [weight.copy() for weight in model.get_weights()]
    transfer_features(model, "conv1", labelled_data(), per_class=2, folds=1, verbose=0)
    for weight, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)


@pytest.mark.slow
def test_from_scratch(tmp_path):
    data = labelled_data(size=(12, 12))
    recipe = Recipe.for_small_images(12, epochs=2, batch_size=10)
    given = {"per_class": (3, 5), "folds": 1, "heads": "svm", "verbose": 0}
    model = convnet((12, 12))
    found = transfer_features(
        model, ["conv1"], data, scratch_recipe=recipe, cache=tmp_path, **given
    )
    assert found.scratch_accuracies.shape == (2, 1)
    assert ((found.scratch_accuracies >= 0) & (found.scratch_accuracies <= 1)).all()
    assert len(list(tmp_path.glob("from_scratch-*/history.csv"))) == 2
    assert transfer("conv1").scratch_accuracies.shape == (2, 0)


@pytest.mark.parametrize(
    ("recipe", "layers", "sentence"),
    [
        (
            Recipe.scaled(12),
            ["conv1"],
            r"one image size: .* recipe's images 14×14, recipe's crops 12×12",
        ),
        (Recipe.for_small_images(12), ["fc6"], "Received: layer='fc6'"),
    ],
)
def test_from_scratch_with_what_does_not_fit(recipe, layers, sentence):
    data = labelled_data(size=(12, 12))
    with pytest.raises(ValueError, match=sentence):
        transfer_features(convnet((12, 12)), layers, data, scratch_recipe=recipe, verbose=0)


def test_save_and_load(tmp_path):
    found = transfer()
    found.save(tmp_path / "a.npz")
    assert FeatureTransfer.load(tmp_path / "a.npz") == found


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"layers": []}, r"layers=\[\]"),
        ({"layers": ["conv1", "conv1"]}, "The layer 'conv1' was given more than once: name each"),
        ({"heads": ()}, "No heads were given: name at least one."),
        ({"heads": "forest"}, "There is no head 'forest': give 'softmax' or 'svm'."),
        ({"per_class": ()}, r"1 or more, each once. Received: per_class=\(\)"),
        ({"per_class": 0}, "1 or more, each once. Received: per_class=0"),
        ({"per_class": (5, 5)}, r"each once. Received: per_class=\(5, 5\)"),
        ({"per_class": 2.5}, "Received: per_class=2.5"),
        ({"folds": 0}, "an integer of at least 1. Received: folds=0"),
        ({"num_test": 1.5}, "an integer of at least 1. Received: num_test=1.5"),
        ({"test": "train"}, "'rest' or 'given'. Received: test='train'"),
        ({"verbose": 2}, "'auto', 0 or 1. Received: verbose=2"),
        ({"per_class": 12}, "'ant' has too few images, 12 for training and 0 others"),
        ({"preprocessing": "coffee"}, "preprocessing='coffee'"),
        (
            {"scratch_recipe": Recipe.for_small_images(12), "preprocessing": "tf"},
            "trained on raw pixels: .* Received: preprocessing='tf'",
        ),
        (
            {"scratch_recipe": Recipe.for_small_images(12)},
            "one image size: give Recipe.for_small_images.* Received: data 12×15, model 12×15, "
            "recipe's images 12×12, recipe's crops 12×12",
        ),
    ],
)
def test_wrong_arguments(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        transfer(**options)
