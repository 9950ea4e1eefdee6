"""The chosen units start at their activation, or at 1: a switch of the deconvnet and of methods."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasvis as kv
from kerasvis.deconvnet.targets import Strongest, Unit, WholeMap
from tests.marks import few

SHAPE = (24, 20, 3)


def convnet():
    """Whose scores are negative, and whose feature maps are not."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(4, 5, strides=2, activation="relu", name="conv")(inputs)
    x = layers.Flatten()(x)
    bias = keras.initializers.Constant(-30.0)
    return keras.Model(inputs, layers.Dense(3, bias_initializer=bias, name="scores")(x))


def images():
    return np.random.default_rng(0).normal(size=(2, *SHAPE)).astype("float32")


def projected(layer, target, rectification="deconvnet", **options):
    deconv = kv.DeconvModel(convnet(), layer, rectification, **options)
    return deconv.project(images(), target)


@pytest.mark.parametrize("rectification", ["deconvnet", "guided", "gradient"])
@pytest.mark.parametrize("target", few([Unit(1, 3, 4), Unit(2, 0, 0), Strongest(2)], 1))
def test_units_that_are_active_differ_by_their_activation(target, rectification):
    at_one = projected("conv", target, rectification, starts_at="one")
    at_activation = projected("conv", target, rectification)
    (maps,) = kv.feature_extractor(convnet(), ["conv"])(images())
    maps = np.asarray(maps)[..., target.feature]
    row_column = target[1:] if isinstance(target, Unit) else None
    values = maps[:, *row_column] if row_column else maps.max((1, 2))
    assert (np.abs(at_one).max((1, 2, 3))[values > 0] > 0).all()
    expected = at_one * values[:, None, None, None]
    np.testing.assert_allclose(at_activation, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_a_whole_map_starts_at_one_everywhere():
    at_one = projected("conv", WholeMap(1), "gradient", starts_at="one")
    expected = kv.attribute(convnet(), "conv", images(), WholeMap(1), "gradient")
    np.testing.assert_allclose(at_one, expected, rtol=1e-5, atol=1e-6)


def test_a_negative_score_is_projected_where_it_starts_at_one():
    at_activation = projected("scores", Unit(1))
    at_one = projected("scores", Unit(1), starts_at="one")
    assert np.abs(at_one).max() > 0
    assert np.abs(at_activation - at_one * -30).max() > 0.1  # not a multiple of one another


@pytest.mark.parametrize("method", ["guided", "gradient"])
@pytest.mark.parametrize("target", few([Unit(1, 3, 4), Strongest(0), WholeMap(2)], 1))
def test_methods_that_start_at_one_do_as_the_deconvnet_that_does(method, target):
    actual = projected("conv", target, method, starts_at="one")
    expected = kv.attribute(convnet(), "conv", images(), target, method)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_it_is_printed_and_saved(tmp_path):
    deconv = kv.DeconvModel(convnet(), "conv", starts_at="one")
    assert str(deconv.plan).splitlines()[0].endswith("starts at 1")
    deconv.save(tmp_path / "deconv.keras")
    loaded = keras.models.load_model(tmp_path / "deconv.keras")
    unit = Unit(1, 3, 4)
    np.testing.assert_array_equal(loaded.project(images(), unit), deconv.project(images(), unit))


@pytest.mark.parametrize("wrong", ["1", 1, None])
def test_another_start_is_refused(wrong):
    with pytest.raises(ValueError, match=r"'activation' or 'one'.*Received: starts_at="):
        kv.DeconvModel(convnet(), "conv", starts_at=wrong)
