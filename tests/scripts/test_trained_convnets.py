import keras
import numpy as np
import pytest
from command import UserError
from trained_convnets import load_convnet


def test_a_net_of_keras_applications():
    convnet = load_convnet("mobilenet", "random", image_size=(32, 48))
    assert convnet.model.name.startswith("mobilenet")
    assert convnet.model.input_shape == (None, 32, 48, 3)
    assert convnet.preprocessing == "tf"


def test_its_weights_come_from_a_file(tmp_path):
    first = load_convnet("MobileNet", "random", image_size=(32, 32)).model
    first.save_weights(tmp_path / "net.weights.h5")
    second = load_convnet("MobileNet", tmp_path / "net.weights.h5", image_size=(32, 32)).model
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(UserError) as raised:
        load_convnet("MobileNet", tmp_path / "net.weights.h5")  # with its dense layers
    assert str(raised.value).startswith(
        f"MobileNet cannot be had with weights {tmp_path / 'net.weights.h5'} ("
    )


def test_a_weights_file_that_is_missing():
    with pytest.raises(UserError) as raised:
        load_convnet("VGG16", "missing.weights.h5")
    assert str(raised.value) == (
        "There is no weights file missing.weights.h5: give one, or --weights imagenet or random."
    )


def test_no_network(monkeypatch):
    def VGG16(weights):  # noqa: N802
        raise Exception(f"URL fetch failure on https://weights.example/{weights}: None -- [-2]")

    monkeypatch.setattr(keras.applications, "VGG16", VGG16)
    with pytest.raises(UserError) as raised:
        load_convnet("vgg16")
    assert str(raised.value) == (
        "VGG16 cannot be had with weights imagenet (URL fetch failure on "
        "https://weights.example/imagenet: None -- [-2]): give a weights file with --weights, or "
        "--weights random."
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [("vgg61", "did you mean VGG19 or VGG16?"), ("qqq", "give the path of a .keras file.")],
)
def test_an_unknown_name(name, hint):
    with pytest.raises(UserError) as raised:
        load_convnet(name)
    assert str(raised.value) == (
        f"There is neither a model file {name} nor a net of that name in keras.applications: {hint}"
    )
