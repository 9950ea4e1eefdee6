import keras
import numpy as np
import pytest

from kerasvis.data import LabelledImages
from kerasvis.data.labelled.sub_crops import ten_crops
from kerasvis.training import ten_crop_evaluate, ten_crop_model
from tests.marks import slow

SIZE, CROP_SIZE, NUM_CLASSES = (9, 12), (6, 7), 8


def convnet(activation="softmax"):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((*CROP_SIZE, 3)),
            layers.Rescaling(1 / 50),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(NUM_CLASSES, activation=activation),
        ],
        name="convnet",
    )


def images(number):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (number, *SIZE, 3)).astype("uint8")
    return LabelledImages(pixels, random.integers(0, NUM_CLASSES, number))


def probabilities_oracle(model, pixels):
    """Crop by crop, image by image."""
    means = []
    for image in pixels:
        crops = [crop[0] for crop in ten_crops(image[None], CROP_SIZE)]
        outputs = [np.array(model(crop[None].astype("float32"))[0], "float64") for crop in crops]
        means.append(np.mean(outputs, axis=0))
    return np.array(means)


def shares_oracle(probabilities, labels):
    in_order = np.argsort(-probabilities, axis=1, kind="stable")
    hits = [
        [label in order[:k] for order, label in zip(in_order, labels, strict=True)] for k in (1, 5)
    ]
    return tuple(np.mean(hits, axis=1))


@pytest.mark.parametrize("batch_size", [slow(10), 30, slow(500)])
def test_against_brute_force(batch_size):
    model, data = convnet(), images(11)
    accuracy = ten_crop_evaluate(model, data, batch_size)
    expected = shares_oracle(probabilities_oracle(model, data.pixels), data.labels)
    assert accuracy == (*expected, 11)
    assert 0 < accuracy.top_1 < accuracy.top_5 < 1


def test_the_model_of_whole_images_gives_the_mean_probabilities():
    model, data = convnet(), images(3)
    averaged = ten_crop_model(model, SIZE)
    np.testing.assert_allclose(
        averaged.predict(data.pixels, verbose=0),
        probabilities_oracle(model, data.pixels),
        rtol=1e-5,
    )
    assert averaged.count_params() == model.count_params()


def test_equally_probable_classes_come_in_order():
    model, data = convnet(), images(50)
    model.layers[-1].set_weights([np.zeros_like(w) for w in model.layers[-1].get_weights()])
    accuracy = ten_crop_evaluate(model, data)
    assert accuracy.top_1 == np.mean(data.labels < 1)
    assert accuracy.top_5 == np.mean(data.labels < 5)


def test_two_devices_and_an_uneven_last_batch(two_devices):
    data = images(7)
    with two_devices.scope():
        model = convnet()
    accuracy = ten_crop_evaluate(model, data, batch_size=20)
    assert accuracy == (*shares_oracle(probabilities_oracle(model, data.pixels), data.labels), 7)


def test_refused():
    data = images(3)
    with pytest.raises(ValueError, match=r"at least one image. Received: data with 0 images"):
        ten_crop_evaluate(convnet(), LabelledImages(data.pixels[:0], data.labels[:0]))
    with pytest.raises(
        ValueError,
        match=r"'convnet' are not probabilities: .*softmax\. Received: outputs with a sum of",
    ):
        ten_crop_evaluate(convnet(None), data)
    with pytest.raises(ValueError, match=r"has 8 classes: .* Received: labels from 0 to 8"):
        ten_crop_evaluate(convnet(), data._replace(labels=np.array([0, 8, 1])))
    with pytest.raises(ValueError, match="Received: crops of 6×7 pixels, images of 5×12"):
        ten_crop_evaluate(convnet(), data._replace(pixels=data.pixels[:, :5]))
