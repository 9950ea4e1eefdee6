import keras
import numpy as np
import pytest
from keras import layers

from kerasvis.analyses.transfer.flat_features import averaging_matrix, flat_features

SIZE = (19, 14)


@pytest.fixture
def model():
    return keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            layers.Conv2D(4, 3, activation="relu", name="conv1"),
            layers.MaxPooling2D(3, 2, name="pool1"),
            layers.Flatten(name="flatten"),
            layers.Dense(5, name="fc"),
        ]
    )


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(0, 255, (3, *SIZE, 3)).astype("float32")


def averaged(maps, num_rows, num_columns):
    """Adaptive average pooling, cell by cell."""
    images, rows, columns, features = maps.shape
    cells = np.zeros((images, num_rows, num_columns, features))
    for i in range(num_rows):
        top, bottom = i * rows // num_rows, -(-(i + 1) * rows // num_rows)
        for j in range(num_columns):
            left, right = j * columns // num_columns, -(-(j + 1) * columns // num_columns)
            cells[:, i, j] = maps[:, top:bottom, left:right].mean(axis=(1, 2))
    return cells


def test_large_maps_are_averaged_cell_by_cell(model, images):
    conv1, fc = flat_features(model, ["conv1", "fc"], SIZE, (6, 5))(images)
    maps = model.layers[0](images).numpy()
    assert maps.shape[1:3] == (17, 12)
    np.testing.assert_allclose(conv1, averaged(maps, 6, 5).reshape(3, -1), rtol=1e-5)
    np.testing.assert_allclose(fc, model(images), rtol=1e-5)


def test_only_sides_that_are_too_long_are_averaged(model, images):
    (features,) = flat_features(model, ["pool1"], SIZE, (20, 3))(images)
    maps = model.layers[1](model.layers[0](images)).numpy()
    expected = averaged(maps, maps.shape[1], 3)
    np.testing.assert_allclose(features, expected.reshape(3, -1), rtol=1e-5)


def test_maps_as_they_are(model, images):
    for largest_map in (None, (17, 12)):
        (features,) = flat_features(model, ["conv1"], SIZE, largest_map)(images)
        expected = model.layers[0](images).numpy().reshape(3, -1)
        np.testing.assert_allclose(features, expected, rtol=1e-6)


def test_a_model_that_takes_any_size(images):
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(2, 3, name="conv")])
    (features,) = flat_features(model, ["conv"], SIZE, (4, 4))(images)
    np.testing.assert_allclose(
        features, averaged(model(images).numpy(), 4, 4).reshape(3, -1), rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize(("length", "new_length"), [(13, 6), (12, 6), (7, 6), (6, 6), (5, 1)])
def test_averages_include_every_row(length, new_length):
    matrix = averaging_matrix(length, new_length)
    assert matrix.shape == (new_length, length)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-6)
    assert (matrix > 0).any(axis=0).all()


def test_an_output_that_is_no_map():
    model = keras.Sequential([keras.Input((*SIZE, 3)), layers.Reshape((SIZE[0], -1), name="rows")])
    with pytest.raises(ValueError, match=r"Received: layer 'rows' .* of shape \(None, 19, 42\)"):
        flat_features(model, ["rows"], SIZE)


def test_an_unknown_layer(model):
    with pytest.raises(ValueError, match="conv1"):
        flat_features(model, ["conv2"], SIZE)


@pytest.mark.parametrize("largest_map", [(0, 3), (6,)])
def test_a_size_that_is_none(model, largest_map):
    with pytest.raises(ValueError, match=r"or None. Received: largest_map=\("):
        flat_features(model, ["conv1"], SIZE, largest_map)
