import keras
import numpy as np
import pytest
from keras import layers

from kerasvis.convnets import ZFNet
from kerasvis.graph import feature_extractor


def images(size=(8, 9, 3), dtype="float32"):
    return np.random.default_rng(0).uniform(0, 255, (3, *size)).astype(dtype)


def nested_model():
    inner = keras.Sequential([keras.Input((8, 9, 4)), layers.Conv2D(2, 3, name="b")], name="inner")
    inputs = keras.Input((8, 9, 3))
    x = inner(layers.Conv2D(4, 3, padding="same", name="a")(inputs))
    return keras.Model(inputs, layers.Dense(5, name="top")(layers.Flatten()(x)))


def test_features_are_the_outputs_of_the_layers():
    model = nested_model()
    features = feature_extractor(model, ["inner/b", "a"])
    b, a = features.predict(images(), batch_size=2, verbose=0)
    expected = model.get_layer("a")(images())
    np.testing.assert_allclose(a, expected, rtol=1e-5, atol=1e-4)
    expected = model.get_layer("inner").get_layer("b")(expected)
    np.testing.assert_allclose(b, expected, rtol=1e-5, atol=1e-4)
    assert features.layer_names == ("inner/b", "a")


def test_it_runs_only_what_the_layers_need():
    model = nested_model()
    features = feature_extractor(model, ["a"])
    model.get_layer("top").kernel.assign(np.full((84, 5), np.nan))
    (a,) = features(images())
    assert np.isfinite(a).all()


def test_weights_are_shared_and_the_model_is_left_as_it_is():
    model = nested_model()
    calls = [len(layer._inbound_nodes) for layer in model.layers]
    features = feature_extractor(model, ["a"])
    features(images())
    assert [len(layer._inbound_nodes) for layer in model.layers] == calls
    model.get_layer("a").kernel.assign(np.zeros((3, 3, 3, 4)))
    np.testing.assert_array_equal(features(images())[0], np.zeros((3, 8, 9, 4)))


@pytest.mark.parametrize("dtype", ["uint8", "float64", "int32"])
def test_inputs_are_cast_as_the_model_casts_them(dtype):
    model = keras.Sequential([keras.Input((8, 9, 3)), layers.Conv2D(2, 3, name="a")])
    np.testing.assert_allclose(
        feature_extractor(model, ["a"])(images(dtype=dtype))[0],
        model(images(dtype=dtype)),
        rtol=1e-5,
        atol=1e-4,
    )


def test_a_model_in_double_precision():
    inputs = keras.Input((8, 9, 3), dtype="float64")
    model = keras.Model(inputs, layers.Conv2D(2, 3, name="a", dtype="float64")(inputs))
    (features,) = feature_extractor(model, ["a"])(images(dtype="float64"))
    assert features.dtype == "float64"
    np.testing.assert_allclose(features, model(images(dtype="float64")), rtol=1e-12, atol=1e-10)


def test_images_of_any_size():
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(2, 3, name="a")])
    features = feature_extractor(model, ["a"])
    for size in ((8, 9, 3), (5, 4, 3)):
        assert features.predict(images(size), verbose=0)[0].shape == (
            3,
            size[0] - 2,
            size[1] - 2,
            2,
        )


def test_all_layers_of_a_convnet():
    model = ZFNet((64, 64, 3), 10, width=0.05, dense_units=8, strides=(2, 1))
    names = ["conv1", "norm1", "pool5", "softmax"]
    outputs = feature_extractor(model, names).predict(images((64, 64, 3)), verbose=0)
    for name, features in zip(names, outputs, strict=True):
        assert features.shape[1:] == model.get_layer(name).output.shape[1:]
    np.testing.assert_allclose(
        outputs[-1], model.predict(images((64, 64, 3)), verbose=0), rtol=1e-4
    )


def test_an_unknown_layer():
    with pytest.raises(ValueError) as error:  # noqa: PT011
        feature_extractor(nested_model(), ["a", "b"])
    assert str(error.value) == (
        "The model has no layer 'b': did you mean inner/b? Received: layer='b'"
    )


def test_channels_first():
    conv = layers.Conv2D(2, 3, data_format="channels_first", name="c")
    model = keras.Sequential([keras.Input((3, 8, 8)), conv])
    with pytest.raises(ValueError, match="Layer 'c' is channels-first"):
        feature_extractor(model, ["c"])
