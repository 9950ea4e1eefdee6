import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasvis.layers import PixelMean


def pixels(number=10, size=(4, 6)):
    return np.random.default_rng(0).integers(0, 256, (number, *size, 3)).astype("uint8")


@pytest.mark.parametrize("batch_size", [1, 3, 10, 1024])
def test_adapt_takes_the_mean_of_every_pixel(batch_size):
    layer = PixelMean()
    layer.adapt(pixels(), batch_size=batch_size)
    expected = pixels().astype("float64").mean(axis=0)
    np.testing.assert_allclose(layer.mean, expected, rtol=1e-6)
    np.testing.assert_allclose(layer(pixels()), pixels() - expected, atol=1e-4)


def test_adapt_replaces_an_earlier_mean():
    layer = PixelMean()
    layer.adapt(pixels())
    layer.adapt(np.full((2, 4, 6, 3), 7, "uint8"))
    np.testing.assert_array_equal(layer.mean, np.full((4, 6, 3), 7))


def test_is_zero_before_adapt():
    images = pixels().astype("float32")
    np.testing.assert_array_equal(PixelMean()(images), images)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_symbolic_shape_and_dtype_are_the_eager_ones(policy, dtype):
    layer = PixelMean(dtype=policy)
    symbolic = layer(keras.Input((4, 6, 3), dtype=dtype))
    outputs = layer(pixels().astype(dtype))
    assert symbolic.shape == (None, 4, 6, 3)
    assert outputs.shape == (10, 4, 6, 3)
    assert symbolic.dtype == outputs.dtype.name == layer.compute_dtype
    assert layer.mean.dtype == "float32"


def test_training_leaves_the_mean_and_saving_keeps_it(tmp_path):
    layer = PixelMean()
    inputs = keras.Input((4, 6, 3))
    means = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 3)(layer(inputs)))
    model = keras.Model(inputs, means)
    layer.adapt(pixels())
    mean = layer.mean.numpy()
    assert mean.any()
    model.compile("sgd", "mse")
    model.fit(pixels() / 255, np.zeros((10, 2)), verbose=0)
    np.testing.assert_array_equal(layer.mean, mean)
    assert [weight.path for weight in layer.non_trainable_weights] == [layer.mean.path]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(
        loaded.predict(pixels(), verbose=0), model.predict(pixels(), verbose=0)
    )
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    served = exported.serve(pixels().astype("float32"))
    np.testing.assert_allclose(served, model(pixels()), rtol=1e-4, atol=1e-4)


def test_images_of_unknown_size():
    with pytest.raises(ValueError) as error:  # noqa: PT011
        PixelMean()(keras.Input((None, None, 3)))
    assert str(error.value) == (
        "A per-pixel mean needs images of one known size: give the model an input_shape without "
        "None. Received: input_shape=(None, None, None, 3)"
    )


def test_no_images():
    with pytest.raises(ValueError) as error:  # noqa: PT011
        PixelMean().adapt(pixels(0))
    assert "give at least one image. Received: pixels of shape (0, " in str(error.value)
