import keras
import numpy as np
import pytest
from keras import layers

import kerasvis as kv
from kerasvis.analyses import Explanation, explain
from kerasvis.analyses.explanation.decision_layers import decision_layers
from kerasvis.graph import read_graph
from kerasvis.graph.shapes import infer_shapes

SIZE = (22, 17)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    images = keras.Input((*SIZE, 3))
    x = layers.Rescaling(1 / 128, offset=-1)(images)
    x = layers.Conv2D(5, 3, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(name="pool1")(x)
    y = layers.Conv2D(5, 3, padding="same", activation="relu", name="conv2")(x)
    x = layers.Activation("relu", name="block2")(layers.Add(name="add2")([x, y]))
    x = layers.Conv2D(6, 3, strides=2, activation="relu", name="conv3")(x)
    x = layers.Flatten()(x)
    return keras.Model(images, layers.Dense(4, activation="softmax", name="classes")(x))


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype("uint8")


@pytest.fixture(scope="module")
def found(model, image):
    return explain(model, image, num_features=2, verbose=0)


def test_the_most_probable_class_against_the_second(model, image, found):
    probabilities = model.predict(image[None].astype("float32"), verbose=0)[0]
    first, second = np.argsort(-probabilities)[:2]
    assert (found.class_index, found.other_index) == (first, second)
    np.testing.assert_allclose(
        found.occlusion.base_probabilities, probabilities[found.occlusion.class_indices], rtol=1e-5
    )
    for layer, evidence in found.comparison.items():
        assert evidence.other_index == second
        lead = np.log(probabilities[first] / probabilities[second])
        assert evidence.score == pytest.approx(lead, rel=1e-3)
        assert found.evidence[layer].other_index == -1


def test_two_replicas_are_one(model, image, found, two_devices):
    with two_devices.scope():
        copied = keras.models.clone_model(model)
        copied.set_weights(model.get_weights())
        on_two = explain(copied, image, num_features=2, verbose=0)
    assert on_two == found


def test_the_last_layer_of_each_size(model, found):
    assert list(found.evidence) == ["conv1", "block2", "conv3"]
    np.testing.assert_array_equal(found.pixels.shape, (*SIZE, 3))


def test_what_is_shown_adds_most(model, image, found):
    deconv = kv.DeconvModel(model, "block2")
    for layer, maps in found.maps.items():
        best = [x.ranked[:2] for x in (found.evidence[layer], found.comparison[layer])]
        positive = [
            f
            for of_layer, x in zip(best, (found.evidence, found.comparison), strict=True)
            for f in of_layer
            if x[layer].effects[f] > 0
        ]
        assert maps.feature_indices.tolist() == list(dict.fromkeys(positive))
        (values,) = kv.feature_extractor(model, [layer])(image[None].astype("float32"))
        expected = np.asarray(values)[0][..., maps.feature_indices]
        np.testing.assert_allclose(maps.values, np.moveaxis(expected, -1, 0), rtol=1e-5)
        np.testing.assert_array_equal(
            found.projections[layer].feature_indices, maps.feature_indices
        )
    shown = found.projections["block2"]
    feature = int(shown.feature_indices[0])
    unit = kv.targets.Unit(feature, *shown.positions[0, 0])
    whole = deconv.project(image[None].astype("float32"), unit)[0]
    np.testing.assert_allclose(np.abs(shown.projections[0]).sum(), np.abs(whole).sum(), rtol=1e-4)


def test_saved_and_loaded(found, tmp_path):
    found.save(tmp_path / "explanation.npz")
    assert Explanation.load(tmp_path / "explanation.npz") == found


def test_chosen_classes_layers_and_occluder(model, image):
    found = explain(
        model, image, 2, 0, layers=["conv3"], num_features=1, patch_size=9, strides=6, verbose=0
    )
    assert (found.class_index, found.other_index) == (2, 0)
    assert list(found.evidence) == list(found.projections) == ["conv3"]
    assert found.occlusion.patch_size == (9, 9)
    assert found.occlusion.class_index == 2


def test_the_other_class_is_the_most_probable_of_all_others(model, image):
    found = explain(model, image, 3, layers=["conv3"], class_indices=[3], verbose=0)
    probabilities = keras.ops.convert_to_numpy(model(image[None]))[0]
    others = [index for index in np.argsort(-probabilities) if index != 3]
    assert (found.class_index, found.other_index) == (3, others[0])


def test_a_layer_that_cannot_be_projected(image):
    model = keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            layers.Conv2D(4, 5, activation="silu", name="smooth"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, name="classes"),
        ]
    )
    found = explain(model, image / 255, layers="smooth", verbose=0)
    assert found.projections == {}
    assert "smooth" in found.maps["smooth"].projection_reason
    assert found.evidence["smooth"].effects.shape == (4,)
    assert list(explain(model, image / 255, rules="relaxed", verbose=0).projections) == ["smooth"]


@pytest.mark.slow
def test_layers_of_real_nets():
    for name, expected in {
        "VGG16": ["block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3"],
        "ResNet50": [
            "conv2_block3_out",
            "conv3_block4_out",
            "conv4_block6_out",
            "conv5_block3_out",
        ],
    }.items():
        model = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3), classes=7)
        graph = read_graph(model)
        shapes = infer_shapes(graph, graph.nodes, model)
        assert list(decision_layers(graph, graph.nodes, shapes)) == expected


@pytest.mark.usefixtures("eager_functions")
@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        ({"class_index": 4}, "class_index=4"),
        ({"other_index": 4}, "other_index=4"),
        ({"class_index": 1, "other_index": 1}, "other_index=1"),
        ({"layers": ["conv9"]}, "conv9"),
        ({"num_features": 0}, "num_features=0"),
        ({"patch_size": 99}, "99"),
    ],
)
def test_mistakes(model, image, arguments, received, convolutions):
    """Before the model is run at all."""
    with pytest.raises(ValueError, match=received):
        explain(model, image, verbose=0, **arguments)
    assert convolutions.num_new() == 0
