"""SqueezeNet with its ImageNet weights on a photograph."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasvis.attributions import attribute
from kerasvis.attributions.grad_cam import last_feature_maps
from kerasvis.convnets.published_weights import read_arrays, squeezenet_from_published
from kerasvis.data.photographs import read_photograph
from kerasvis.deconvnet.targets import Unit

TENCH = 0


@pytest.fixture(scope="module")
def model(shared_data):
    arrays = read_arrays(shared_data / "squeezenet-v1.1" / "squeezenet_v1_1.npz")
    return squeezenet_from_published(arrays)


@pytest.fixture(scope="module")
def image(shared_data):
    folder = shared_data / "imagenet-samples" / "images"
    return read_photograph(folder / "n01440764_tench.jpg", (227, 227))[None].astype("float32")


def test_gradient_of_a_class_score(model, image):
    scores = keras.Model(model.input, model.get_layer("pool10").output)
    pixels = tf.constant(image)
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        score = scores(pixels)[:, TENCH]
    expected = tape.gradient(score, pixels).numpy()
    actual = attribute(model, "softmax", image, Unit(TENCH), "gradient")
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_grad_cam_lies_on_the_fish(model, image):
    """It fills the middle of the photograph from side to side; above and below is cloth."""
    assert last_feature_maps(model, "softmax") == "conv10"
    (heat,) = attribute(model, "softmax", image, Unit(TENCH), "grad_cam")
    assert heat[90:180].mean() > 3 * heat[:60].mean()
