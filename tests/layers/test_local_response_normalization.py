import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasvis.layers import LocalResponseNormalization
from tests.marks import slow


def normalize(inputs, depth_radius, bias, alpha, beta):
    """Krizhevsky et al. 2012, Section 3.3, term by term."""
    outputs = np.zeros(inputs.shape)
    num_channels = inputs.shape[-1]
    for *position, channel in np.ndindex(inputs.shape):
        first, last = max(0, channel - depth_radius), min(num_channels - 1, channel + depth_radius)
        activity = sum(float(inputs[*position, j]) ** 2 for j in range(first, last + 1))
        divisor = (bias + alpha * activity) ** beta
        outputs[*position, channel] = inputs[*position, channel] / divisor
    return outputs


def noise(shape, scale=10.0):
    return (scale * np.random.default_rng(0).normal(size=shape)).astype("float32")


@pytest.mark.parametrize("num_channels", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("depth_radius", [0, 1, 2, 5])
def test_normalizes_like_the_formula(num_channels, depth_radius):
    inputs = noise((2, 3, 5, num_channels))
    layer = LocalResponseNormalization(depth_radius, bias=1.5, alpha=0.3, beta=0.6)
    expected = normalize(inputs, depth_radius, 1.5, 0.3, 0.6)
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-5)


def test_default_constants_are_alexnets():
    inputs = noise((1, 4, 3, 8), 100.0)
    layer = LocalResponseNormalization()
    expected = normalize(inputs, depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75)
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-5)
    builtin = tf.nn.local_response_normalization(inputs, 2, 2.0, 1e-4, 0.75)
    np.testing.assert_allclose(layer(inputs), builtin, rtol=1e-5)


@pytest.mark.parametrize("shape", [(4, 6), (2, 5, 6), (2, 3, 2, 5, 6)])
def test_any_number_of_axes(shape):
    inputs = noise(shape)
    expected = normalize(inputs, 2, 2.0, 1e-4, 0.75)
    np.testing.assert_allclose(LocalResponseNormalization()(inputs), expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_squares_do_not_overflow_in_half_precision(dtype):
    inputs = noise((1, 2, 2, 6), 1000.0).astype("float16")
    outputs = LocalResponseNormalization(dtype=dtype)(inputs)
    assert outputs.dtype.name == dtype
    expected = normalize(inputs.astype("float32"), 2, 2.0, 1e-4, 0.75)
    np.testing.assert_allclose(tf.cast(outputs, "float32"), expected, rtol=1e-2)


def test_float64_stays_float64():
    inputs = noise((1, 2, 2, 6)).astype("float64")
    outputs = LocalResponseNormalization(dtype="float64")(inputs)
    assert outputs.dtype.name == "float64"
    np.testing.assert_allclose(outputs, normalize(inputs, 2, 2.0, 1e-4, 0.75), rtol=1e-12)


def test_nan_touches_only_its_neighbours():
    inputs = noise((1, 2, 2, 9))
    inputs[0, 0, 1, 4] = np.nan
    outputs = LocalResponseNormalization(2)(inputs).numpy()
    assert np.argwhere(np.isnan(outputs)).tolist() == [[0, 0, 1, j] for j in range(2, 7)]


def test_gradient_is_that_of_the_builtin():
    inputs = tf.constant(noise((1, 3, 4, 7)))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        outputs = LocalResponseNormalization(2, 1.0, 0.1, 0.75)(inputs)
        builtin = tf.nn.local_response_normalization(inputs, 2, 1.0, 0.1, 0.75)
    upstream = noise(inputs.shape)
    gradients = [tape.gradient(tensor, inputs, upstream) for tensor in (outputs, builtin)]
    np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("policy", ["float32", slow("mixed_float16")])
@pytest.mark.parametrize("size", [slow((5, 7)), (None, None)])
def test_in_a_model(tmp_path, policy, size):
    inputs = keras.Input((*size, 3))
    features = keras.layers.Conv2D(6, 3, dtype=policy)(inputs)
    outputs = LocalResponseNormalization(1, 2.5, 0.2, 0.5, dtype=policy)(features)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D(dtype="float32")(outputs))
    assert outputs.shape == features.shape
    assert outputs.dtype == keras.DTypePolicy(policy).compute_dtype
    images = noise((4, 5, 7, 3))
    model.compile("sgd", "mse")
    model.fit(images, np.zeros((4, 6)), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for actual, expected in zip(loaded.layers, model.layers, strict=True):
        assert actual.get_config() == expected.get_config()
    np.testing.assert_array_equal(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0)
    )
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    served = exported.serve(images)
    np.testing.assert_allclose(served, model(images), rtol=1e-3, atol=1e-5)


def test_compiled_by_xla():
    inputs = noise((2, 3, 5, 6))
    layer = LocalResponseNormalization()
    compiled = tf.function(layer, jit_compile=True)
    np.testing.assert_allclose(compiled(inputs), layer(inputs), rtol=1e-5)


def test_negative_radius():
    with pytest.raises(ValueError, match=r"0 or more\. Received: depth_radius=-1"):
        LocalResponseNormalization(-1)


@pytest.mark.parametrize("bias", [0, -1.0])
def test_bias_that_is_not_positive(bias):
    with pytest.raises(ValueError, match=rf"Give a positive number.* Received: bias={bias}"):
        LocalResponseNormalization(bias=bias)
