"""Distances and probabilities against a loop over transformed images."""

import re

import keras
import numpy as np
import pytest
from keras import layers

import kerasvis as kv
from kerasvis.analyses.invariance.feature_invariance import (
    FeatureInvariance,
    feature_invariance,
    first_and_last_features,
    paper_transformations,
)
from kerasvis.analyses.invariance.image_transformations import transformed
from kerasvis.convnets.published_weights import read_arrays, squeezenet_from_published
from kerasvis.data import Preprocessing
from kerasvis.data.photographs import read_photograph
from kerasvis.graph.scores import Scores
from tests.marks import slow

SIZE = (23, 18)
VALUES = {"translation": [4, -3, 0], "rotation": [0, 25], "scale": [1.5]}


def convnet(size=SIZE, name="net", **options):
    random = {"kernel_initializer": "he_normal", "bias_initializer": "random_normal"}
    inputs = keras.Input((*size, 3))
    x = layers.Rescaling(1 / 127.5, -1)(inputs)
    x = layers.Conv2D(5, 3, (2, 1), name="conv1", **random)(x)
    x = layers.ReLU(name="relu1")(layers.BatchNormalization(name="norm1")(x))
    x = layers.Conv2D(4, 3, activation="relu", name="conv2", **random)(x)
    x = layers.GlobalMaxPooling2D(name="pooled")(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    return keras.Model(inputs, layers.Dense(6, name="scores", **random, **options)(x), name=name)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return convnet()


@pytest.fixture(scope="module")
def photographs():
    """Of different sizes, the first just that of the image."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3)).astype("uint8") for size in (SIZE, (30, 18), (25, 40))]


@pytest.fixture(scope="module")
def invariance(model, photographs):
    return feature_invariance(model, None, photographs, 2, transformations=VALUES, verbose=0)


def looked_at(model, layer, pixels):
    """`(features, probabilities)` of one image, by Keras alone."""
    inner = keras.Model(model.input, [model.get_layer(layer).output, model.output])
    features, scores = inner(pixels[None].astype("float32"), training=False)
    e = np.exp(np.array(scores[0]) - np.max(scores[0]))
    return np.array(features, "float64"), e / e.sum()


@pytest.mark.parametrize("batch_size", [slow(1), 4, slow(16)])
def test_definition(model, photographs, batch_size):
    found = feature_invariance(
        model,
        ["conv2", "norm1"],
        photographs,
        [0, 3, 5],
        transformations=VALUES,
        batch_size=batch_size,
        verbose=0,
    )
    assert found.layers == ("conv2", "norm1")
    assert found.class_indices.tolist() == [0, 3, 5]
    assert [curves.transformation for curves in found.curves] == list(VALUES)
    for curves in found.curves:
        assert curves.values.tolist() == sorted(VALUES[curves.transformation])
        assert curves.distances.shape == (2, 3, len(curves.values))
        for image, photograph in enumerate(photographs):
            original = transformed(photograph, "translation", 0, SIZE)
            for place, value in enumerate(curves.values):
                version = transformed(photograph, curves.transformation, value, SIZE)
                for number, layer in enumerate(found.layers):
                    features, probabilities = looked_at(model, layer, version)
                    differences = features - looked_at(model, layer, original)[0]
                    distance = np.sqrt((differences**2).sum())
                    given = curves.distances[number, image, place]
                    np.testing.assert_allclose(given, distance, rtol=1e-5, atol=1e-5)
                probability = probabilities[found.class_indices[image]]
                given = curves.probabilities[image, place]
                np.testing.assert_allclose(given, probability, rtol=1e-5)
    assert found.curves[1].distances[:, :, 1].min() > 0.1, "turning changes something"


@pytest.mark.usefixtures("eager_functions")
def test_an_interrupted_analysis_resumes(model, photographs, tmp_path, convolutions):
    given = {"images": photographs, "class_indices": 2, "transformations": VALUES, "verbose": 0}
    given["activation"] = "softmax"  # asked of the model otherwise

    def measure(directory, layers=None):
        return feature_invariance(model, layers, directory=tmp_path / directory, **given)

    whole = measure("whole")
    num_calls = convolutions.num_new()
    assert num_calls % len(photographs) == 0
    convolutions.interrupt_after(num_calls - 1)  # at the last photograph
    with pytest.raises(KeyboardInterrupt):
        measure("stopped")
    convolutions.num_new()
    again = measure("stopped")
    assert convolutions.num_new() == num_calls // len(photographs)
    for curves, expected in zip(again.curves, whole.curves, strict=True):
        np.testing.assert_array_equal(curves.distances, expected.distances)
        np.testing.assert_array_equal(curves.probabilities, expected.probabilities)
    with pytest.raises(ValueError, match="computed from other layers"):
        measure("stopped", "conv1")
    assert convolutions.num_new() == 0


def test_the_untransformed_image_is_at_distance_0(invariance):
    translation, rotation, _ = invariance.curves
    assert not translation.distances[:, :, 1].any()
    assert not rotation.distances[:, :, 0].any()
    np.testing.assert_array_equal(translation.probabilities[:, 1], rotation.probabilities[:, 0])


def test_the_true_class_is_by_default_the_most_probable_one(model, photographs):
    found = feature_invariance(
        model, None, photographs, transformations={"rotation": [0, 90]}, verbose=0
    )
    centres = [transformed(x, "translation", 0, SIZE) for x in photographs]
    probabilities = [looked_at(model, "conv1", x)[1] for x in centres]
    assert found.class_indices.tolist() == [p.argmax() for p in probabilities]
    highest = [p.max() for p in probabilities]
    np.testing.assert_allclose(found.curves[0].probabilities[:, 0], highest, rtol=1e-5)


def test_examples_are_what_the_model_saw(photographs, invariance):
    translation, rotation, scale = invariance.curves
    assert translation.example_values.tolist() == [-3, 0, 4]
    assert rotation.example_values.tolist() == [0, 25]
    assert scale.example_values.tolist() == [1.5]
    np.testing.assert_array_equal(translation.examples[0, 1], photographs[0])
    np.testing.assert_array_equal(
        scale.examples[2, 0], transformed(photographs[2], "scale", 1.5, SIZE)
    )


def test_few_images_and_values_are_kept_as_examples(model, photographs):
    found = feature_invariance(
        model, None, photographs[:1] * 7, transformations={"rotation": range(9)}, verbose=0
    )
    assert found.curves[0].example_values.tolist() == [0, 4, 8]
    assert found.curves[0].examples.shape == (5, 3, *SIZE, 3)
    assert found.curves[0].probabilities.shape == (7, 9)


def test_pixels_are_preprocessed(photographs):
    model = convnet(name="vgg16")  # a name, which tells nothing
    found = feature_invariance(model, None, photographs, 1, transformations=VALUES, verbose=0)
    named = feature_invariance(
        model, None, photographs, 1, transformations=VALUES, preprocessing="caffe", verbose=0
    )
    raw = feature_invariance(
        model,
        None,
        photographs,
        1,
        transformations=VALUES,
        preprocessing=Preprocessing("raw"),
        verbose=0,
    )
    np.testing.assert_array_equal(found.curves[0].distances, raw.curves[0].distances)
    assert np.abs(found.curves[0].distances - named.curves[0].distances).max() > 1e-3


def test_the_activation_of_logits(model, photographs):
    arguments = {"layers": None, "transformations": {"scale": [1]}, "verbose": 0}
    sigmoid = feature_invariance(
        model, images=photographs, class_indices=3, activation="sigmoid", **arguments
    )
    (scores,) = np.array(model(photographs[0][None].astype("float32"), training=False))
    expected = 1 / (1 + np.exp(-scores[3]))
    np.testing.assert_allclose(sigmoid.curves[0].probabilities[0, 0], expected, rtol=1e-5)


def test_a_model_of_any_size(photographs):
    model = convnet((None, None))
    found = feature_invariance(
        model, None, photographs, image_size=(20, 17), transformations=VALUES, verbose=0
    )
    assert found.curves[0].examples.shape[2:4] == (20, 17)


def test_paper_transformations():
    values = paper_transformations(224)
    assert values["translation"].tolist() == list(range(-60, 61, 5))
    np.testing.assert_allclose(values["scale"], [1 + 0.05 * n for n in range(17)])
    assert values["rotation"].tolist() == list(range(0, 360, 10))
    smaller = paper_transformations(64)["translation"]
    assert (smaller[0], smaller[-1]) == (-17, 17)
    assert (smaller == smaller.round()).all()
    assert 0 in paper_transformations(9)["translation"]


def test_paper_transformations_are_the_default(model, photographs):
    found = feature_invariance(model, None, photographs[:1], verbose=0)
    for curves, values in zip(found.curves, paper_transformations(SIZE[0]).values(), strict=True):
        np.testing.assert_array_equal(curves.values, values)


def test_first_and_last_features(model):
    assert first_and_last_features(model) == ("relu1", "pooled")
    zfnet = kv.convnets.ZFNet((64, 64, 3), classes=4, width=0.05, dense_units=8)
    assert first_and_last_features(zfnet) == ("conv1", "fc7")
    convolutional = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(3, 3, activation="relu", name="a"),
            layers.Dropout(0.5),
            layers.Conv2D(2, 1, name="b"),
            layers.GlobalAveragePooling2D(),
        ]
    )
    assert first_and_last_features(convolutional) == ("a",)


def test_first_and_last_features_are_the_default(invariance):
    assert invariance.layers == ("relu1", "pooled")


def test_the_model_stays_as_it_is(model, photographs):
    before = [w.copy() for w in model.get_weights()]
    names = [layer.name for layer in model.layers]
    feature_invariance(model, None, photographs, transformations=VALUES, verbose=0)
    assert [layer.name for layer in model.layers] == names
    for weight, same in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, same)


def test_save_and_load(invariance, tmp_path):
    invariance.save(tmp_path / "invariance.npz")
    assert FeatureInvariance.load(tmp_path / "invariance.npz") == invariance


PIXELS = np.zeros((1, *SIZE, 3), "uint8")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"images": []}, "Give at least one photograph. Received: images=[]"),
        (
            {"images": PIXELS[:, :, 1:]},
            "enlarge the photograph. Received: a photograph of 23×17 pixels",
        ),
        (
            {"class_indices": [1, 2]},
            "Give one class for all images, or one for each. Received: 2 classes for 1 image",
        ),
        (
            {"class_indices": 6},
            "The model has 6 classes: give a number from 0 to 5. Received: class_index=6",
        ),
        ({"layers": []}, "Give the names of layers, at least one"),
        ({"layers": ["conv3"]}, "The model has no layer 'conv3': did you mean"),
        (
            {"transformations": {}},
            "No transformation was given: give translation, scale, rotation.",
        ),
        (
            {"transformations": {"shear": [1]}},
            "There is no transformation 'shear': give translation, scale, rotation.",
        ),
        (
            {"transformations": {"rotation": [np.nan]}},
            "a list of finite numbers. Received: rotation=[nan]",
        ),
        (
            {"transformations": {"scale": [1, 0]}},
            "Give scale factors above 0. Received: scale=[1. 0.]",
        ),
        (
            {"image_size": (24, 18)},
            "The model 'net' takes images of 23×18 pixels only: leave out image_size. Received: "
            "image_size=(24, 18)",
        ),
        (
            {"images": PIXELS - np.float32(3)},
            "The preprocessing of the images is unknown",
        ),
        (
            {"activation": "relu"},
            "There is no such activation: give 'auto', 'linear', 'softmax', 'sigmoid'",
        ),
        ({"batch_size": 0}, "Give a whole number from 1 to 1000000. Received: batch_size=0"),
        ({"verbose": 3}, "Give 'auto', 0, 1 or 2. Received: verbose=3"),
    ],
)
def test_mistakes(model, options, sentence):
    arguments = {"layers": None, "images": PIXELS} | options
    with pytest.raises(ValueError, match=re.escape(sentence)):
        feature_invariance(model, **arguments)


def test_models_that_do_not_fit(model):
    with pytest.raises(ValueError, match="any size: give image_size, \\(height, width\\) in pix"):
        feature_invariance(convnet((None, None)), None, PIXELS)
    maps = keras.Model(model.input, model.get_layer("conv2").output, name="maps")
    with pytest.raises(ValueError, match=r"'maps' returns \(None, 9, 14, 4\), but scores"):
        feature_invariance(maps, None, PIXELS)
    two = keras.Model(model.input, [model.output, model.get_layer("pooled").output], name="two")
    with pytest.raises(ValueError, match="'two' has 2 outputs, 'scores', 'pooled': choose one"):
        Scores(two, image_size=SIZE)
    dense = keras.Sequential(
        [keras.Input((*SIZE, 3)), layers.Flatten(), layers.Dense(2)], name="flat"
    )
    with pytest.raises(
        ValueError, match="'flat' has no convolution below its scores: name the layers"
    ):
        feature_invariance(dense, None, PIXELS)


def test_infinities_are_refused(photographs):
    model = convnet()
    kernel, bias = model.get_layer("conv2").get_weights()
    model.get_layer("conv2").set_weights([kernel, bias + np.inf])
    with pytest.raises(ValueError, match="returns NaN or infinity: check the range of the images"):
        feature_invariance(model, None, photographs, transformations=VALUES, verbose=0)


def test_a_small_translation_changes_the_first_layer_most(shared_data):
    """The paper's finding, with ImageNet weights: layer 1 at once, the last layer gradually."""
    model = squeezenet_from_published(
        read_arrays(shared_data / "squeezenet-v1.1" / "squeezenet_v1_1.npz")
    )
    names = ("n02088364_beagle.jpg", "n01817953_African_grey.jpg")
    folder = shared_data / "imagenet-samples" / "images"
    photographs = [read_photograph(folder / name, (227, 227)) for name in names]
    found = feature_invariance(
        model, None, photographs, transformations={"translation": [0, 5, 60]}, verbose=0
    )
    assert found.layers == ("conv1", "fire9")
    assert found.class_indices.tolist() == [162, 87]
    first, last = found.curves[0].distances[..., 1] / found.curves[0].distances[..., 2]
    assert first.min() > 0.7
    assert last.max() < 0.5
