import keras
import numpy as np
import pytest
from keras import layers

from kerasvis.analyses.fidelity.chosen_units import choose_units
from kerasvis.analyses.fidelity.map_similarity import map_similarity
from kerasvis.analyses.fidelity.selectivity import common_box, measure_selectivity
from kerasvis.analyses.fidelity.unit_maps import unit_methods
from kerasvis.graph import receptive_field

SIZE = (15, 11)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(4, *SIZE, 3)).astype("float32")


def convnet(*stack):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((*SIZE, 3)), *stack])


def measure(model, layer, images, methods, **options):
    units = choose_units(model, layer, images)
    return units, measure_selectivity(units, unit_methods(methods), **options)


def test_a_linear_unit_is_its_weights_whatever_the_image(images):
    model = convnet(layers.Flatten(), layers.Dense(6, use_bias=False, name="scores"))
    _, found = measure(model, "scores", images, ("gradient", "edges"), num_units=3)
    assert found.between_units.shape == (2, 4, 4)
    defined = found.between_images[0][~np.isnan(found.between_images[0])]
    assert defined.size
    np.testing.assert_allclose(defined, 1, rtol=1e-12)
    # The control knows no unit.
    np.testing.assert_allclose(found.between_units[1], 1, rtol=1e-12)
    assert (found.between_images[1][..., 1] < 0.5).all()

    scores = model.predict(images, verbose=0)
    kernel = model.get_layer("scores").kernel.numpy().reshape(*SIZE, 3, 6)
    for number, of_image in enumerate(scores):
        best = [f for f in np.argsort(-of_image)[:3] if of_image[f] > 0]
        np.testing.assert_array_equal(found.features[number][: len(best)], best)
        assert (found.features[number][len(best) :] == -1).all()
        pairs = [(a, b) for i, a in enumerate(best) for b in best[i + 1 :]]
        similar = [map_similarity(kernel[..., a], kernel[..., b]) for a, b in pairs]
        expected = np.mean(similar, axis=0) if pairs else np.full(4, np.nan)
        np.testing.assert_allclose(found.between_units[0, number], expected, rtol=1e-5)


def test_units_of_a_feature_map_are_compared_in_their_windows(images):
    """A linear convolution: every unit of a feature has the same map, at another place."""
    model = convnet(layers.Conv2D(4, 5, use_bias=False, name="conv"))
    num_advances = []
    _, found = measure(model, "conv", images, ["gradient"], advance=lambda: num_advances.append(1))
    np.testing.assert_allclose(found.between_images, 1, rtol=1e-12)
    assert (found.between_units[..., 1] < 0.9).all()
    assert len(num_advances) == len(images)


def test_windows_over_the_border_are_compared_where_both_are_inside():
    model = convnet(layers.Conv2D(1, 5, padding="same", use_bias=False, name="conv"))
    images = np.zeros((2, *SIZE, 3), "float32")
    kernel = np.random.default_rng(0).random((5, 5, 3, 1))
    model.set_weights([kernel])
    images[0, 1, 1] = images[1, 7, 5] = 1  # strongest at or near the border, and inside
    units, found = measure(model, "conv", images, ["gradient"])
    field = receptive_field(model, "conv")
    assert any(field.box(*map(int, p))[0] < 0 for p in units.positions)
    np.testing.assert_allclose(found.between_images, 1, rtol=1e-12)
    assert common_box((0, 2, 5, 5), (1, 0, 4, 5)) == (1, 2, 4, 5)


def test_a_feature_that_is_active_nowhere_else(images):
    model = convnet(layers.Flatten(), layers.Dense(4, use_bias=False, name="scores"))
    flat = images.reshape(4, -1)
    dual = np.linalg.pinv(flat)  # unit i is active in image i alone
    model.set_weights([dual])
    _, found = measure(model, "scores", images, ["gradient"])
    # Rounding leaves the others at about 0.
    np.testing.assert_array_equal(found.features[:, 0], [0, 1, 2, 3])
    model.set_weights([dual - 0.1 * dual.sum(axis=1, keepdims=True)])
    _, found = measure(model, "scores", images, ["gradient"])
    assert np.isnan(found.between_images).all()
    assert np.isnan(found.between_units).all()
    np.testing.assert_array_equal(found.features[:, 1:], -1)
