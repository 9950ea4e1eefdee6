"""What feature maps add to a score, against models in which they are really taken away."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from keras import layers, ops

from kerasvis.analyses.explanation.decision_scores import Decision, DecisionScores
from kerasvis.analyses.explanation.feature_evidence import NO_CLASS, feature_evidence

SIZE = (13, 10)
DECISIONS = (Decision(2), Decision(2, 0))


class Masked:
    """A residual convnet written by hand, whose feature maps can be multiplied by a mask."""

    def __init__(self, activation="softmax", units=4):
        self.conv1 = layers.Conv2D(5, 3, padding="same", activation="relu", name="conv1")
        self.conv2 = layers.Conv2D(5, 3, padding="same", activation="relu", name="conv2")
        self.pool, self.add = layers.MaxPooling2D(name="pool"), layers.Add(name="add")
        self.conv3 = layers.Conv2D(6, 3, activation="tanh", name="conv3")
        self.mean = layers.GlobalAveragePooling2D(name="mean")
        self.dense = layers.Dense(units, activation=activation, name="scores")
        images = keras.Input((*SIZE, 3))
        self.model = keras.Model(images, self.dense(self.features(images)["mean"]))

    def features(self, images, masked=None, mask=None):
        """The outputs by name; those of `masked` are multiplied by `mask` as soon as made."""
        found = {}

        def made(name, tensor):
            found[name] = tensor * mask if name == masked else tensor
            return found[name]

        x = made("conv1", self.conv1(images))
        x = made("add", self.add([x, made("conv2", self.conv2(x))]))
        x = made("conv3", self.conv3(made("pool", self.pool(x))))
        made("mean", self.mean(x))
        return found

    def scores(self, image, masked=None, mask=None):
        """Scores before the activation."""
        mean = self.features(ops.convert_to_tensor(image[None]), masked, mask)["mean"]
        return ops.matmul(mean, self.dense.kernel) + self.dense.bias


@pytest.fixture(scope="module")
def masked():
    keras.utils.set_random_seed(3)
    return Masked()


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).normal(size=(*SIZE, 3)).astype("float32")


@pytest.mark.parametrize("layer", ["conv1", "conv2", "add", "conv3", "mean"])
def test_every_feature_map_taken_away_for_itself(masked, image, layer):
    scores = DecisionScores(masked.model, DECISIONS)
    found = feature_evidence(scores, layer, image, batch_size=4)
    number = len(found[0].effects)
    whole = np.asarray(masked.scores(image))[0]
    without = np.stack(
        [
            np.asarray(masked.scores(image, layer, 1 - np.eye(number, dtype="float32")[i]))[0]
            for i in range(number)
        ]
    )
    expected = {NO_CLASS: (whole - without)[:, 2], 0: (whole - without) @ [-1, 0, 1, 0]}
    for evidence in found:
        of_class = expected[evidence.other_index]
        np.testing.assert_allclose(evidence.effects, of_class, rtol=1e-4, atol=1e-6)
        assert evidence.ranked.tolist() == np.argsort(-evidence.effects, kind="stable").tolist()
    assert found[0].score == pytest.approx(whole[2], rel=1e-5)
    assert found[1].score == pytest.approx(whole[2] - whole[0], rel=1e-4)


@pytest.mark.parametrize("layer", ["conv1", "add", "mean"])
def test_estimates_are_derivatives_by_the_mask(masked, image, layer):
    scores = DecisionScores(masked.model, DECISIONS)
    found = feature_evidence(scores, layer, image)
    mask = tf.ones(len(found[0].effects))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(mask)
        of_classes = masked.scores(image, layer, mask)[0]
        lead = of_classes[2] - of_classes[0]
        score = of_classes[2]
    for evidence, expected in zip(found, (score, lead), strict=True):
        gradient = tape.gradient(expected, mask).numpy()
        np.testing.assert_allclose(evidence.estimates, gradient, rtol=1e-4, atol=1e-6)
        active = evidence.activations > 0 if layer == "conv1" else slice(None)
        rank = scipy.stats.spearmanr(evidence.effects[active], gradient[active]).statistic
        assert evidence.agreement == pytest.approx(rank, abs=1e-6)


def test_where_the_strongest_activation_is(masked, image):
    (evidence,) = feature_evidence(DecisionScores(masked.model, [Decision(1)]), "conv2", image)
    maps = np.asarray(masked.features(ops.convert_to_tensor(image[None]))["conv2"])[0]
    np.testing.assert_allclose(evidence.activations, maps.max(axis=(0, 1)), rtol=1e-6)
    for feature, (row, column) in enumerate(evidence.positions):
        assert maps[row, column, feature] == maps[..., feature].max()


def test_a_silent_feature_map_adds_nothing(image):
    net = Masked()
    kernel, bias = net.conv1.get_weights()
    bias[3] = -1e6
    net.conv1.set_weights([kernel, bias])
    (evidence,) = feature_evidence(DecisionScores(net.model, [Decision(1)]), "conv1", image)
    assert evidence.effects[3] == evidence.estimates[3] == evidence.activations[3] == 0
    assert (evidence.effects[:3] != 0).any()


def test_one_unit_is_two_classes(image):
    net = Masked("sigmoid", units=1)
    decisions = [Decision(1), Decision(0), Decision(1, 0)]
    found = feature_evidence(DecisionScores(net.model, decisions), "mean", image)
    (logit,) = np.asarray(net.scores(image))[0]
    assert [x.score for x in found] == pytest.approx([logit, -logit, logit], rel=1e-5)
    np.testing.assert_allclose(found[1].effects, -found[0].effects)


def test_the_score_is_that_before_the_softmax(masked, image):
    probabilities = masked.model.predict(image[None], verbose=0)[0]
    (evidence,) = feature_evidence(DecisionScores(masked.model, [Decision(2, 0)]), "mean", image)
    expected = np.log(probabilities[2] / probabilities[0])
    assert evidence.score == pytest.approx(expected, rel=1e-4)


def test_a_layer_beside_the_decision(image):
    images = keras.Input((*SIZE, 3))
    x = layers.Conv2D(4, 3, name="a")(images)
    beside = layers.Flatten(name="beside")(layers.Conv2D(2, 3, name="b")(images))
    outputs = [layers.Dense(3, name="scores")(layers.GlobalMaxPooling2D()(x)), beside]
    scores = DecisionScores(keras.Model(images, outputs), [Decision(1)], output="scores")
    with pytest.raises(ValueError, match="'b'"):
        feature_evidence(scores, "b", image)
