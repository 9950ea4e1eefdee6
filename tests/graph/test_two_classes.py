"""Both classes of a single unit, as units of their own."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasvis as kv
from kerasvis.deconvnet.targets import Unit

SIZE = (9, 8)


def convnet(*head):
    inputs = keras.Input((*SIZE, 3))
    x = layers.Conv2D(5, 3, activation="relu", name="conv")(inputs)
    x = layers.GlobalMaxPooling2D()(x)
    for layer in head:
        x = layer(x)
    return keras.Model(inputs, x, name="net")


def dense(activation=None, name="scores", **options):
    return layers.Dense(1, activation, bias_initializer="random_normal", name=name, **options)


def nested_head():
    return keras.Sequential([keras.Input((5,)), layers.Dense(4), dense("sigmoid")], name="head")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(-1, 1, (4, *SIZE, 3)).astype("float32")


HEADS = {
    "sigmoid": lambda: [dense("sigmoid")],
    "hard sigmoid": lambda: [dense("hard_sigmoid")],
    "Activation": lambda: [dense(), layers.Activation("sigmoid", dtype="float32")],
    "without bias": lambda: [dense("sigmoid", use_bias=False)],
    "nested": lambda: [nested_head()],
    "float16": lambda: [dense("sigmoid", dtype="mixed_float16")],
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_probabilities_of_both(images, head):
    model = convnet(*head())
    both = kv.two_class_model(model)
    p = model.predict(images, verbose=0)
    found = both.predict(images, verbose=0)
    np.testing.assert_allclose(
        found, np.concatenate([1 - p, p], 1), atol=1e-3 if "16" in str(found.dtype) else 1e-6
    )
    assert [layer.name for layer in both.layers] == [layer.name for layer in model.layers]
    assert both.get_layer("conv") is model.get_layer("conv")


def test_logits_of_both(images):
    model = convnet(dense())
    z = model.predict(images, verbose=0)
    found = kv.two_class_model(model).predict(images, verbose=0)
    np.testing.assert_allclose(found, np.concatenate([-z, z], axis=1), atol=1e-6)


def test_a_sequential_model(images):
    model = keras.Sequential([keras.Input((*SIZE, 3)), layers.Flatten(), dense("sigmoid")])
    p = model.predict(images, verbose=0)
    found = kv.two_class_model(model).predict(images, verbose=0)
    np.testing.assert_allclose(found, np.concatenate([1 - p, p], axis=1), atol=1e-6)


def test_attributions_of_both(images):
    """The gradient of class 0 is minus that of class 1, which is that of the unit."""
    model = convnet(dense("sigmoid"))
    both = kv.two_class_model(model)
    of_unit = kv.attribute(model, "scores", images, Unit(0), "gradient")
    zero, one = (kv.attribute(both, "scores", images, Unit(c), "gradient") for c in (0, 1))
    np.testing.assert_allclose(one, of_unit, atol=1e-6)
    np.testing.assert_allclose(zero, -of_unit, atol=1e-6)
    assert np.abs(of_unit).max() > 0
    compared = kv.compare_methods(both, "scores", images, Unit([0, 1, 0, 1]), preprocessing="tf")
    assert compared.feature_indices.tolist() == [0, 1, 0, 1]


def test_occlusion_says_the_same(images):
    model = convnet(dense("sigmoid"))
    settings = {"patch_size": 4, "strides": 3, "preprocessing": "tf", "verbose": 0}
    for class_index in (0, 1):
        one, other = (
            kv.occlusion_sensitivity(each, images[0], class_index, **settings)
            for each in (model, kv.two_class_model(model))
        )
        np.testing.assert_allclose(one.probability, other.probability, atol=1e-6)


def test_the_model_is_left_as_it_is(images):
    model = convnet(dense("sigmoid"))
    weights, config = model.get_weights(), model.get_config()
    kv.two_class_model(model).predict(images, verbose=0)
    assert model.get_config() == config
    for weight, before in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, before)


def test_saved_and_loaded(images, tmp_path):
    both = kv.two_class_model(convnet(dense("sigmoid")))
    both.save(tmp_path / "both.keras")
    loaded = keras.models.load_model(tmp_path / "both.keras")
    np.testing.assert_array_equal(loaded(images), both(images))


def two_outputs():
    inputs = keras.Input((5,))
    return keras.Model(inputs, [dense()(inputs), layers.Dense(2)(inputs)], name="net")


REFUSED = {
    "two units": (
        lambda: convnet(layers.Dense(2)),
        r"ends in 'dense.*' \(Dense\), but a Dense layer",
    ),
    "softmax": (lambda: convnet(dense("softmax")), r"ends in 'scores' \(Dense\)"),
    "relu": (lambda: convnet(dense("relu")), r"ends in 'scores' \(Dense\)"),
    "no dense": (lambda: convnet(), r"\(GlobalMaxPooling2D\), but a Dense layer of one unit"),
    "two outputs": (two_outputs, r"has 2 outputs: choose one, kerasvis.image_model"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_heads_are_refused(case):
    build, sentence = REFUSED[case]
    with pytest.raises(ValueError, match=sentence):
        kv.two_class_model(build())
