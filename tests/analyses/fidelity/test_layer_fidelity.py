"""How far a layer's pictures go: planted cases whose numbers are known."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasvis as kv
from kerasvis.analyses import LayerFidelity, layer_fidelity
from kerasvis.analyses.fidelity.layer_fidelity import evenly_chosen, lowest_of_own_weights
from kerasvis.analyses.fidelity.map_similarity import map_similarity

SIZE = (15, 11)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0, 255, (5, *SIZE, 3)).astype("float32")


def measured(model, layer, images, methods=("gradient", "edges"), **options):
    top = kv.find_top_activations(model, [layer], images, 1, verbose=0)[layer]
    return top, layer_fidelity(model, layer, images, top, methods, **options)


def convnet(*stack):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((*SIZE, 3)), *stack])


def test_the_gradient_of_a_linear_unit_is_its_weights(images):
    """So is its specificity that of the weights; the control knows no unit and no weights."""
    model = convnet(layers.Flatten(), layers.Dense(6, use_bias=False, name="scores"))
    scores = model.get_layer("scores")
    scores.kernel.assign(scores.kernel + 0.2)  # all units are active
    top, found = measured(model, "scores", images, num_images=2)
    kernel = model.get_layer("scores").kernel.numpy().reshape(*SIZE, 3, 6)
    scores = model.predict(images, verbose=0)
    alike, chosen = [], evenly_chosen(top, 2, np.ones(6, bool))
    for feature in chosen:
        of_image = scores[top.image_indices[feature, 0]]
        others = [f for f in np.argsort(-of_image) if f != feature and of_image[f] > 0][:3]
        units = [feature, *others]
        pairs = [(a, b) for i, a in enumerate(units) for b in units[i + 1 :]]
        similar = [map_similarity(kernel[..., a], kernel[..., b])[1] for a, b in pairs]
        alike += [np.mean(similar)] if similar else []
    assert found.specificity[0] == pytest.approx(1 - np.mean(alike), rel=1e-5)
    assert found.specificity[1] == pytest.approx(0, abs=1e-12)
    assert found.weight_dependence[1] == pytest.approx(0, abs=1e-12)
    assert found.weight_dependence[0] > 0.5
    assert found.num_images == len(chosen) > 0


def test_a_patch_that_holds_everything(images):
    """A unit whose weights are zero but in one corner: all energy lies there."""
    model = convnet(layers.Flatten(), layers.Dense(1, use_bias=False, name="unit"))
    kernel = np.zeros((*SIZE, 3, 1), "float32")
    kernel[2:5, 1:4] = 1
    model.get_layer("unit").set_weights([kernel.reshape(-1, 1)])
    _, found = measured(model, "unit", images, ("gradient",), num_images=1)
    assert found.energy[0] == pytest.approx(1, rel=1e-6)
    assert found.kept[0] > found.kept_by_chance[0]


def test_units_that_see_too_little_are_left_out(images):
    model = convnet(layers.Conv2D(3, 1, activation="relu", name="conv"))
    _, found = measured(model, "conv", images, ("deconvnet",))
    assert found.num_images == 0
    assert np.isnan(found.specificity).all()
    assert "No active unit" in found.sentence()


def test_features_are_spread_and_have_images_of_their_own():
    values = np.array([[3.0], [0.0], [2.0], [5.0], [1.0], [4.0]])
    image_indices = np.array([[0], [1], [2], [0], [3], [4]])
    top = kv.activations.LayerActivations(values, image_indices, np.zeros((6, 1, 2), "int32"))
    chosen = evenly_chosen(top, 3, np.ones(6, bool))
    assert set(chosen) <= {0, 2, 4, 5}
    assert len({int(image_indices[f, 0]) for f in chosen}) == 3
    assert evenly_chosen(top, 9, np.arange(6) < 3).tolist() == [0, 2]
    assert len(evenly_chosen(top, 9, np.zeros(6, bool))) == 0


def test_weights_of_the_layers_own():
    images = keras.Input((*SIZE, 3))
    x = layers.Conv2D(6, 3, name="conv1")(images)
    y = layers.Conv2D(4, 3, padding="same", activation="relu", name="wide")(x)
    z = layers.Conv2D(4, 1, activation="relu", name="narrow")(x)
    x = layers.Concatenate(name="both")([y, z])
    x = layers.Conv2D(5, 3, use_bias=False, name="conv3")(x)
    x = layers.BatchNormalization(name="norm3")(x)
    model = keras.Model(images, layers.ReLU(name="relu3")(x))
    assert lowest_of_own_weights(model, "relu3") == "conv3"
    assert lowest_of_own_weights(model, "conv1") == "conv1"
    assert lowest_of_own_weights(model, "both") in ("wide", "narrow")


def fidelity(*specificity):
    numbers = np.array([0.5, 0.4, 0.3])
    return LayerFidelity(
        "conv", ("deconvnet", "guided", "gradient"), 4, np.array(specificity), *[numbers] * 4
    )


def test_the_sentence_says_what_to_look_at_instead():
    assert "tell units apart" in fidelity(0.7, 0.9, 0.9).sentence()
    poor = fidelity(0.1, 0.2, 0.6)
    assert not poor.is_specific()
    assert "gradients (0.60)" in poor.sentence()
    assert "gradients" not in poor.sentence("gradient").split(".", 1)[1]
    assert "look at" not in fidelity(0.1, 0.2, 0.15).sentence()
    for number in ("0.10", "50 %", "0.50"):
        assert number in poor.sentence()


def test_saved_and_loaded(images, tmp_path):
    model = convnet(layers.Conv2D(3, 5, activation="relu", name="conv"))
    _, found = measured(model, "conv", images, ("deconvnet", "guided"))
    found.save(tmp_path / "fidelity.npz")
    assert LayerFidelity.load(tmp_path / "fidelity.npz") == found
