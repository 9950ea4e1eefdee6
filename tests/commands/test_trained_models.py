import re

import keras
import numpy as np
import pytest

from kerasvis.commands.trained_models import load_model


def test_a_net_of_keras_applications():
    model = load_model("mobilenet", "random", image_size=(32, 48))
    assert model.name.startswith("mobilenet")
    assert model.input_shape == (None, 32, 48, 3)


def test_its_weights_come_from_a_file(tmp_path):
    first = load_model("MobileNet", "random", image_size=(32, 32))
    first.save_weights(tmp_path / "net.weights.h5")
    second = load_model("MobileNet", tmp_path / "net.weights.h5", image_size=(32, 32))
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="MobileNet cannot be created with these weights "):
        load_model("MobileNet", tmp_path / "net.weights.h5")  # with its dense layers


def test_a_weights_file_that_is_missing():
    sentence = (
        "There is no such weights file: give one, or --weights imagenet or random. Received: "
        "--weights=missing.weights.h5"
    )
    with pytest.raises(ValueError, match=re.escape(sentence)):
        load_model("VGG16", "missing.weights.h5")


def test_no_network(monkeypatch):
    def VGG16(weights):  # noqa: N802
        raise Exception(f"URL fetch failure on https://weights.example/{weights}: None -- [-2]")

    monkeypatch.setattr(keras.applications, "VGG16", VGG16)
    sentence = (
        "VGG16 cannot be created with these weights (URL fetch failure on "
        "https://weights.example/imagenet: None -- [-2]): give a weights file with --weights, or "
        "--weights random. Received: --weights=imagenet"
    )
    with pytest.raises(ValueError, match=re.escape(sentence)):
        load_model("vgg16")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("vgg61", "did you mean VGG19 or VGG16?"), ("qqq", "give the path of a .keras file.")],
)
def test_an_unknown_name(name, hint):
    sentence = (
        "There is neither a model file of that name nor a model of keras.applications: "
        f"{hint} Received: --model={name}"
    )
    with pytest.raises(ValueError, match=re.escape(sentence)):
        load_model(name)
