import keras
import numpy as np
import pytest
from keras import layers

import kerasvis as kv
from kerasvis.analyses.explanation.decision_scores import Decision, DecisionScores
from kerasvis.analyses.explanation.feature_evidence import feature_evidence
from kerasvis.analyses.feature_relevance import find_top_relevances, num_shared
from kerasvis.graph import feature_extractor
from tests.marks import slow

SIZE = (17, 14)
NUM_IMAGES = 11
IMAGES = np.random.default_rng(0).uniform(0, 255, (NUM_IMAGES, *SIZE, 3)).astype("float32")
LAYERS = {"conv1": 5, "sum": 4, "fc": 6}


def convnet(units=3, last="softmax"):
    """A shortcut past a convolution, a dense layer, and scores with a fused or own activation."""
    keras.utils.set_random_seed(1)
    options = {"kernel_initializer": "he_normal", "bias_initializer": "random_normal"}
    inputs = keras.Input((*SIZE, 3))
    x = layers.Rescaling(1 / 64, offset=-2)(inputs)
    x = layers.Conv2D(5, 3, 2, activation="relu", name="conv1", **options)(x)
    x = shortcut = layers.Conv2D(4, 1, activation="relu", name="narrow", **options)(x)
    x = layers.Conv2D(4, 3, padding="same", activation="tanh", name="conv2", **options)(x)
    x = layers.Add(name="sum")([x, shortcut])
    x = layers.Flatten()(layers.MaxPooling2D(2)(x))
    x = layers.Dense(6, activation="relu", name="fc", **options)(x)
    return keras.Model(inputs, layers.Dense(units, activation=last, name="scores", **options)(x))


def relevances(model, layer):
    """float64 `(images, features)`: gradient × activation of the most probable class by hand."""
    probabilities = model.predict(IMAGES, verbose=0)
    found = []
    for image, of_image in zip(IMAGES, probabilities, strict=True):
        index = int(of_image.argmax()) if len(of_image) > 1 else int(of_image[0] > 0.5)
        scores = DecisionScores(model, [Decision(index)])
        found.append(feature_evidence(scores, layer, image)[0].estimates)
    return np.array(found, "float64")


@pytest.mark.parametrize(("units", "last"), [(3, "softmax"), slow(4, None), slow(1, "sigmoid")])
def test_images_are_ranked_by_what_the_feature_map_adds(units, last):
    model = convnet(units, last)
    if units == 1:  # both classes occur
        scores = model.predict(IMAGES, verbose=0)
        middle = np.quantile(np.log(scores / (1 - scores)), 0.45)  # of none of them
        model.get_layer("scores").bias.assign_sub([middle])
    top = find_top_relevances(model, list(LAYERS), IMAGES, k=4, batch_size=3, verbose=0)
    assert list(top) == list(LAYERS)
    for layer, num_features in LAYERS.items():
        expected = relevances(model, layer)
        assert np.abs(expected).max() > 0
        order = np.argsort(-expected, axis=0, kind="stable")[:4].T
        values = np.take_along_axis(expected.T, order, axis=1)
        assert top[layer].values.shape == (num_features, 4)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(top[layer].values, values, rtol=1e-4, atol=1e-5 * scale)
        distinct = np.abs(np.diff(values, axis=1)).min(axis=1) > 1e-4 * scale
        np.testing.assert_array_equal(
            top[layer].image_indices[distinct][:, :3], order[distinct][:, :3]
        )


def test_positions_are_those_of_the_largest_product():
    """At the last layer before the mean the derivative is the weight, at every place alike."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((*SIZE, 3))
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(x)
    x = layers.Dense(3, name="scores")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, x)
    (maps,) = feature_extractor(model, ["conv"]).predict(IMAGES, verbose=0)
    classes = model.predict(IMAGES, verbose=0).argmax(axis=1)
    weights = model.get_layer("scores").kernel.numpy()[:, classes].T
    products = maps * weights[:, None, None] / np.prod(maps.shape[1:3])
    (found,) = (find_top_relevances(model, "conv", IMAGES, k=2, verbose=0)["conv"],)
    sums = products.sum(axis=(1, 2))
    np.testing.assert_allclose(found.values, np.sort(sums, axis=0)[::-1][:2].T, rtol=1e-4)
    for feature in range(4):
        for place in range(2):
            product = products[found.image_indices[feature, place], ..., feature]
            expected = np.unravel_index(product.argmax(), product.shape)
            assert tuple(found.positions[feature, place]) == expected


def test_images_that_both_rankings_have():
    top = kv.activations.LayerActivations(
        np.zeros((2, 3)), np.array([[3, 1, 2], [0, -1, -1]]), np.zeros((2, 3, 2))
    )
    other = top._replace(image_indices=np.array([[2, 5, 3], [4, -1, -1]]))
    assert num_shared(top, other).tolist() == [2, 0]


def test_a_layer_of_which_the_scores_know_nothing_is_refused():
    with pytest.raises(ValueError, match="do not depend on layer 'scores'"):
        find_top_relevances(convnet(), ["conv1", "scores"], IMAGES, verbose=0)
