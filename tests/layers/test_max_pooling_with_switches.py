import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasvis.layers import MaxPooling2DWithSwitches, MaxUnpooling2D
from tests.marks import few
from tests.oracles import pooling

WINDOWS = [
    (2, 2, "valid"),
    (2, 2, "same"),
    (3, 2, "valid"),
    (3, 2, "same"),
    (3, 1, "same"),
    (2, 3, "valid"),
    (2, 3, "same"),
    ((3, 2), (1, 4), "same"),
    ((1, 5), (3, 2), "valid"),
    (1, 1, "valid"),
]


def pair(value):
    return (value, value) if isinstance(value, int) else value


def with_ties(rng, shape):
    """Small whole numbers, so that most windows hold their maximum more than once."""
    return rng.integers(-2, 3, shape).astype("float32")


def assert_pools_like_oracle(pool, inputs, pool_size, strides, padding):
    expected = pooling.max_pool(inputs, pair(pool_size), pair(strides), padding)
    for actual, wanted in zip(pool(inputs), expected, strict=True):
        np.testing.assert_array_equal(np.asarray(actual), wanted, strict=True)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_pools_like_loops(window, jit_compile):
    inputs = with_ties(np.random.default_rng(0), (2, 7, 10, 3))
    pool = tf.function(MaxPooling2DWithSwitches(*window), jit_compile=jit_compile)
    assert_pools_like_oracle(pool, inputs, *window)


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 2),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    pool_size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    strides=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    padding=st.sampled_from(["valid", "same"]),
    seed=st.integers(0, 1000),
)
def test_pools_like_loops_any_window(batch, size, pool_size, strides, padding, seed):
    if padding == "valid":
        size = tuple(np.maximum(size, pool_size))
    inputs = with_ties(np.random.default_rng(seed), (batch, *size, 2))
    layer = MaxPooling2DWithSwitches(pool_size, strides, padding)
    assert_pools_like_oracle(layer, inputs, pool_size, strides, padding)
    max_pooling = keras.layers.MaxPooling2D(pool_size, strides, padding)
    np.testing.assert_array_equal(layer(inputs)[0], max_pooling(inputs))


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(32, 36), st.integers(32, 36)),
    pool_size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    padding=st.sampled_from(["valid", "same"]),
    seed=st.integers(0, 1000),
)
def test_pools_like_loops_with_borders_apart(size, pool_size, strides, padding, seed):
    rng = np.random.default_rng(seed)
    inputs = with_ties(rng, (1, *size, 1))
    inputs[rng.random(inputs.shape) < 0.3] = -np.inf
    inputs[rng.random(inputs.shape) < 0.01] = np.nan
    layer = MaxPooling2DWithSwitches(pool_size, strides, padding)
    assert_pools_like_oracle(layer, inputs, pool_size, strides, padding)


@pytest.mark.parametrize("window", few([(3, 2, "same"), (2, 2, "valid"), (3, 1, "same")], 1))
def test_large_eager_inputs_are_compiled_and_pool_alike(window):
    inputs = with_ties(np.random.default_rng(0), (1, 41, 83, 40))
    pooled, switches = MaxPooling2DWithSwitches(*window)(inputs)
    few_channels = MaxPooling2DWithSwitches(*window)(inputs[..., -3:])
    np.testing.assert_array_equal(pooled[..., -3:], few_channels[0])
    np.testing.assert_array_equal(switches[..., -3:], few_channels[1])


def test_first_maximum_in_row_major_order_wins():
    layer = MaxPooling2DWithSwitches(2)
    for elements, switch in (([1, 1, 1, 1], 0), ([0, 1, 1, 1], 1), ([0, 0, 1, 1], 2)):
        inputs = np.array(elements, "float32").reshape(1, 2, 2, 1)
        assert int(layer(inputs)[1][0, 0, 0, 0]) == switch


@pytest.mark.parametrize("jit_compile", [False, True])
def test_nan_gives_nan_and_its_own_location(jit_compile):
    inputs = np.zeros((1, 3, 6, 1), "float32")
    inputs[0, 1, 1] = inputs[0, 2, 0] = np.nan
    inputs[0, 0, 2] = inputs[0, 2, 2] = np.inf
    pool = tf.function(MaxPooling2DWithSwitches(3), jit_compile=jit_compile)
    pooled, switches = pool(inputs)
    np.testing.assert_array_equal(pooled[0, 0, :, 0], [np.nan, 0])
    np.testing.assert_array_equal(switches[0, 0, :, 0], [4, 0])
    assert_pools_like_oracle(pool, inputs, 3, 3, "valid")


@pytest.mark.parametrize("position", range(4))
def test_nan_anywhere_wins_over_larger_neighbours(position):
    elements = np.array([np.inf, 5, np.inf, 7], "float32")
    elements[position] = np.nan
    pooled, switches = MaxPooling2DWithSwitches(2)(elements.reshape(1, 2, 2, 1))
    assert np.isnan(pooled[0, 0, 0, 0])
    assert int(switches[0, 0, 0, 0]) == position


def lowest(dtype):
    if dtype in ("float32", "float16", "bfloat16"):
        return -np.inf
    return ml_dtypes.iinfo(dtype).min


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "bfloat16", "int8", "uint8", "int32", "int64"]
)
def test_padding_never_wins_over_the_lowest_value(dtype, jit_compile):
    numpy_dtype = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    inputs = np.full((1, 4, 5, 2), lowest(dtype), numpy_dtype)
    policy = dtype if "float" in dtype else "float32"
    layer = MaxPooling2DWithSwitches((5, 3), (2, 1), "same", dtype=policy)
    pool = tf.function(layer, jit_compile=jit_compile)
    assert_pools_like_oracle(pool, inputs, (5, 3), (2, 1), "same")
    pooled, switches = pool(inputs)
    assert pooled.dtype.name == dtype
    assert int(switches[0, 0, 0, 0]) == 1 * 3 + 1  # one padded row above, one padded column before


@pytest.mark.parametrize("value", [-3e38, -1e-38, -65504.0])
def test_padding_never_wins_over_negative_values(value):
    inputs = np.full((1, 3, 3, 1), value, "float32")
    assert_pools_like_oracle(MaxPooling2DWithSwitches(3, 2, "same"), inputs, 3, 2, "same")


@pytest.mark.parametrize("pool_size", [(15, 15), (1, 225), (225, 1), (9, 25)])
def test_positions_of_the_largest_windows(pool_size):
    inputs = np.zeros((1, *pool_size, 225), "float32")
    for position in range(225):
        inputs[0, *divmod(position, pool_size[1]), position] = 1
    _, switches = MaxPooling2DWithSwitches(pool_size)(inputs)
    np.testing.assert_array_equal(switches[0, 0, 0], np.arange(225))


@pytest.mark.parametrize("window", few(WINDOWS, 3))
@pytest.mark.parametrize("jit_compile", [False, True])
def test_gradient_is_that_of_max_pooling_away_from_ties(window, jit_compile):
    rng = np.random.default_rng(0)
    inputs = tf.constant(rng.permutation(2 * 7 * 10 * 3).reshape(2, 7, 10, 3).astype("float32"))
    layer, max_pooling = MaxPooling2DWithSwitches(*window), keras.layers.MaxPooling2D(*window)
    upstream = rng.normal(size=layer(inputs)[0].shape).astype("float32")

    def gradient(pool):
        @tf.function(jit_compile=jit_compile)
        def compute(inputs):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                pooled = pool(inputs)
            return tape.gradient(pooled, inputs, upstream)

        return compute(inputs)

    expected = gradient(max_pooling)
    np.testing.assert_allclose(gradient(lambda x: layer(x)[0]), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("window", [(3, 2, "same"), (2, 2, "valid")])
def test_gradient_at_ties_goes_to_the_first_maximum(window):
    inputs = tf.constant(with_ties(np.random.default_rng(0), (1, 7, 9, 2)))
    layer = MaxPooling2DWithSwitches(*window)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        pooled, switches = layer(inputs)
    upstream = np.random.default_rng(1).normal(size=pooled.shape).astype("float32")
    sizes = (pair(window[0]), pair(window[1]), window[2])
    expected = pooling.max_unpool(upstream, switches.numpy(), inputs.shape[1:3], *sizes)
    gradient = tape.gradient(pooled, inputs, upstream)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_gradient_of_large_inputs_is_that_of_max_pooling():
    rng = np.random.default_rng(0)
    inputs = tf.constant(rng.permutation(41 * 83 * 40).reshape(1, 41, 83, 40).astype("float32"))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        pooled = MaxPooling2DWithSwitches(3, 2, "same")(inputs)[0]
        expected = keras.layers.MaxPooling2D(3, 2, "same")(inputs)
    gradients = [tape.gradient(output, inputs) for output in (pooled, expected)]
    np.testing.assert_array_equal(*gradients)


def test_second_derivative():
    inputs = tf.constant(np.random.default_rng(0).normal(size=(1, 4, 5, 1)).astype("float32"))
    layer = MaxPooling2DWithSwitches(2)
    with tf.GradientTape() as outer:
        outer.watch(inputs)
        with tf.GradientTape() as inner:
            inner.watch(inputs)
            cubes = tf.reduce_sum(layer(inputs)[0] ** 3)
        slope = inner.gradient(cubes, inputs)
    curvature = outer.gradient(slope, inputs)
    pooled, switches = layer(inputs)
    np.testing.assert_allclose(
        curvature, MaxUnpooling2D(2)(6 * pooled, switches, inputs), rtol=1e-5
    )


@pytest.mark.parametrize("shape", [(0, 7, 9, 3), (0, 60, 60, 32)])
def test_batch_of_none(shape):
    pooled, switches = MaxPooling2DWithSwitches(3, 2, "same")(np.zeros(shape, "float32"))
    assert pooled.shape == switches.shape == (0, -(-shape[1] // 2), -(-shape[2] // 2), shape[3])


def test_takes_the_config_of_max_pooling():
    config = keras.layers.MaxPooling2D((3, 2), (2, 1), "same", name="pool1").get_config()
    assert MaxPooling2DWithSwitches.from_config(config).get_config() == config


@pytest.mark.parametrize("layer_class", [MaxPooling2DWithSwitches, MaxUnpooling2D])
class TestArguments:
    def test_standard_form(self, layer_class):
        layer = layer_class(3, padding="SAME")
        assert layer.pool_size == layer.strides == (3, 3)
        assert layer.padding == "same"
        assert layer_class([3, 2], strides=(np.int64(2), 1)).strides == (2, 1)

    @pytest.mark.parametrize("value", [0, -1, (2, 0), (2, 2, 2), 2.5, (1.5, 2), "22", None])
    def test_wrong_pool_size(self, layer_class, value):
        message = "Give an integer, 1 or more, or a pair (rows, columns). Received: pool_size="
        assert error_text(lambda: layer_class(value)) == f"{message}{value!r}"

    @pytest.mark.parametrize("value", [0, (0, 1), "2"])
    def test_wrong_strides(self, layer_class, value):
        message = "Give an integer, 1 or more, or a pair (rows, columns). Received: strides="
        assert error_text(lambda: layer_class(2, strides=value)) == f"{message}{value!r}"

    @pytest.mark.parametrize("value", ["full", "", None, 1, ((1, 1), (1, 1))])
    def test_wrong_padding(self, layer_class, value):
        message = f"Give 'valid' or 'same'. Received: padding={value!r}"
        assert error_text(lambda: layer_class(2, padding=value)) == message

    @pytest.mark.parametrize("pool_size", [(16, 16), (15, 16), (1, 226), (300, 300)])
    def test_too_large_window(self, layer_class, pool_size):
        message = error_text(lambda: layer_class(pool_size))
        assert "at most 225 elements (15x15)" in message
        assert message.endswith(f"Received: pool_size={pool_size}")

    def test_channels_first(self, layer_class):
        message = (
            "Switches are recorded for channels-last inputs only: give (batch, rows, columns, "
            "channels) and data_format='channels_last'. Received: data_format='channels_first'"
        )
        assert error_text(lambda: layer_class(data_format="channels_first")) == message
        keras.config.set_image_data_format("channels_first")
        try:
            assert error_text(layer_class) == message
            assert layer_class.from_config(layer_class(data_format="channels_last").get_config())
        finally:
            keras.config.set_image_data_format("channels_last")

    def test_config_round_trip(self, layer_class):
        layer = layer_class((3, 2), (2, 1), "same", name="pool", dtype="mixed_float16")
        again = layer_class.from_config(layer.get_config())
        assert again.get_config() == layer.get_config()
        serialized = keras.saving.serialize_keras_object(layer)
        assert serialized["registered_name"] == f"kerasvis>{layer_class.__name__}"


@pytest.mark.parametrize("shape", [(3, 3), (4, 3, 3), (1, 2, 3, 4, 5)])
def test_wrong_rank(shape):
    message = (
        "Give a tensor of 4 axes, (batch, rows, columns, channels). Received: a tensor of shape "
        f"{shape}"
    )
    assert error_text(lambda: MaxPooling2DWithSwitches()(np.zeros(shape, "float32"))) == message
    symbolic = keras.KerasTensor(shape)
    assert error_text(lambda: MaxPooling2DWithSwitches()(symbolic)) == message
    used_before = MaxPooling2DWithSwitches()
    used_before(np.zeros((1, 2, 2, 1), "float32"))
    assert message in error_text(lambda: used_before(np.zeros(shape, "float32")))


def test_no_window_fits():
    message = (
        "The input is smaller than a window of 3x3: give a larger input, a smaller pool_size, or "
        "padding='same'. Received: a tensor of shape (None, 2, 5, 3)"
    )
    layer = MaxPooling2DWithSwitches(3, 2)
    assert error_text(lambda: layer(keras.Input((2, 5, 3)))) == message


def error_text(call):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        call()
    return str(error.value)
