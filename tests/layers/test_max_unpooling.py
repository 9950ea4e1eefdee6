import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasvis.layers import MaxPooling2DWithSwitches, MaxUnpooling2D
from tests.oracles import pooling

WINDOWS = [
    ((2, 2), (2, 2), "valid"),
    ((2, 2), (2, 2), "same"),
    ((3, 3), (2, 2), "valid"),
    ((3, 3), (2, 2), "same"),
    ((3, 3), (1, 1), "same"),
    ((2, 2), (3, 3), "valid"),
    ((2, 2), (3, 3), "same"),
    ((3, 2), (1, 4), "same"),
    ((1, 5), (3, 2), "valid"),
    ((15, 15), (4, 7), "same"),
]


def pooled_noise(shape, window, seed=0):
    """A reference, a signal that is not its maxima, and its switches."""
    rng = np.random.default_rng(seed)
    reference = rng.integers(-2, 3, shape).astype("float32")
    _, switches = pooling.max_pool(reference, *window)
    return rng.normal(size=switches.shape).astype("float32"), switches, reference


def assert_unpools_like_oracle(unpool, shape, window, seed=0):
    signal, switches, reference = pooled_noise(shape, window, seed)
    expected = pooling.max_unpool(signal, switches, shape[1:3], *window)
    actual = np.asarray(unpool(signal, switches, reference))
    assert actual.shape == shape
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_unpools_like_loops(window, jit_compile):
    unpool = tf.function(MaxUnpooling2D(*window), jit_compile=jit_compile)
    assert_unpools_like_oracle(unpool, (2, 7, 10, 3), window)


@settings(max_examples=150, deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    pool_size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    strides=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    padding=st.sampled_from(["valid", "same"]),
    seed=st.integers(0, 1000),
)
def test_is_the_adjoint_of_pooling_with_fixed_switches(size, pool_size, strides, padding, seed):
    """<pool(a), b> = <a, unpool(b)>, pooling being any choice of one element in each window."""
    if padding == "valid":
        size = tuple(np.maximum(size, pool_size))
    window = (pool_size, strides, padding)
    shape = (2, *(int(n) for n in size), 2)
    assert_unpools_like_oracle(MaxUnpooling2D(*window), shape, window, seed)

    b, switches, reference = pooled_noise(shape, window, seed)
    a = np.random.default_rng(seed + 1).normal(size=shape).astype("float32")
    chosen = np.zeros(b.shape)
    for image, row, column, channel in np.ndindex(b.shape):
        elements = dict(pooling.window_elements(row, column, size, *window))
        location = elements[switches[image, row, column, channel]]
        chosen[image, row, column, channel] = a[image, *location, channel]
    unpooled = MaxUnpooling2D(*window)(b, switches, reference)
    np.testing.assert_allclose(
        (chosen * b).sum(), (a * unpooled).numpy().sum(), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("window", [((2, 2), (2, 2), "valid"), ((3, 3), (2, 2), "same")])
def test_large_signals_are_compiled_and_unpool_alike(window):
    assert_unpools_like_oracle(MaxUnpooling2D(*window), (1, 41, 83, 32), window)


def test_values_sent_to_one_location_are_summed():
    reference = np.zeros((1, 3, 5, 1), "float32")
    reference[0, 1, 2, 0] = 1
    layers = [layer((3, 3), (2, 2)) for layer in (MaxPooling2DWithSwitches, MaxUnpooling2D)]
    pooled, switches = layers[0](reference)
    signal = np.array([2, 5], "float32").reshape(pooled.shape)
    unpooled = layers[1](signal, switches, reference)
    np.testing.assert_array_equal(unpooled, 7 * reference)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_nan_and_infinity_go_to_their_location_alone(jit_compile):
    window = ((3, 3), (2, 2), "same")
    signal, switches, reference = pooled_noise((1, 7, 9, 2), window)
    finite = pooling.max_unpool(signal, switches, (7, 9), *window)
    signal[0, 1, 2, 0], signal[0, 3, 4, 1] = np.nan, -np.inf
    expected = pooling.max_unpool(signal, switches, (7, 9), *window)
    unpooled = tf.function(MaxUnpooling2D(*window), jit_compile=jit_compile)(
        signal, switches, reference
    )
    np.testing.assert_allclose(unpooled, expected, rtol=1e-5, atol=1e-6)
    assert np.sum(expected != finite) == 2


def test_nan_of_the_reference_keeps_its_location():
    reference = np.zeros((1, 4, 4, 1), "float32")
    reference[0, 2, 3] = np.nan
    pooled, switches = MaxPooling2DWithSwitches(2)(reference)
    unpooled = MaxUnpooling2D(2)(pooled, switches, reference).numpy()
    assert np.argwhere(np.isnan(unpooled)).tolist() == [[0, 2, 3, 0]]


@pytest.mark.parametrize("window", WINDOWS[:4])
def test_gradient_reads_the_signal_back(window):
    signal, switches, reference = (tf.constant(a) for a in pooled_noise((2, 7, 10, 3), window))
    upstream = np.random.default_rng(1).normal(size=reference.shape).astype("float32")
    with tf.GradientTape() as tape:
        tape.watch([signal, reference])
        unpooled = MaxUnpooling2D(*window)(signal, switches, reference)
    by_signal, by_reference = tape.gradient(unpooled, [signal, reference], upstream)
    assert by_reference is None or not np.any(by_reference)
    expected = np.zeros(signal.shape, "float32")
    for image, row, column, channel in np.ndindex(*signal.shape):
        elements = dict(pooling.window_elements(row, column, (7, 10), *window))
        location = elements[int(switches[image, row, column, channel])]
        expected[image, row, column, channel] = upstream[image, *location, channel]
    np.testing.assert_allclose(by_signal, expected, rtol=1e-5)


def test_only_the_size_of_the_reference_counts():
    window = ((3, 3), (2, 2), "same")
    signal, switches, reference = pooled_noise((2, 7, 9, 3), window)
    layer = MaxUnpooling2D(*window)
    other = np.full((5, 7, 9, 1), np.nan, "float32")
    np.testing.assert_array_equal(
        layer(signal, switches, other), layer(signal, switches, reference)
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_dtype_is_that_of_the_signal(dtype):
    signal, switches, reference = pooled_noise((1, 6, 6, 2), ((2, 2), (2, 2), "valid"))
    unpooled = MaxUnpooling2D(dtype=dtype)(signal, switches, reference)
    assert unpooled.dtype.name == dtype
    counts = MaxUnpooling2D()(np.ones(signal.shape, "int32"), switches, reference)
    assert counts.dtype.name == "int32"
    assert int(tf.reduce_sum(counts)) == signal.size


def test_batch_of_none():
    signal, switches, reference = pooled_noise((0, 6, 7, 2), ((2, 2), (2, 2), "valid"))
    assert MaxUnpooling2D()(signal, switches, reference).shape == (0, 6, 7, 2)


class TestShapesThatDoNotBelongTogether:
    def test_switches_of_another_shape(self):
        tensors = [keras.KerasTensor(shape) for shape in ((2, 3, 3, 4), (2, 3, 2, 4), (2, 6, 6, 4))]
        assert error_text(tensors).endswith(
            "give one switch for each value. Received: signal of shape (2, 3, 3, 4), switches of "
            "shape (2, 3, 2, 4)"
        )

    def test_reference_of_another_size(self):
        tensors = [keras.KerasTensor(shape) for shape in ((2, 3, 3, 4), (2, 3, 3, 4), (2, 8, 6, 4))]
        message = error_text(tensors)
        assert message.startswith("The reference pools to the shape (2, 4, 3, 4), which is not")
        assert message.endswith("signal of shape (2, 3, 3, 4), reference of shape (2, 8, 6, 4)")

    def test_reference_of_wrong_rank(self):
        tensors = [keras.KerasTensor(shape) for shape in ((2, 3, 3, 4), (2, 3, 3, 4), (6, 6))]
        assert error_text(tensors) == (
            "Give a tensor of 4 axes, (batch, rows, columns, channels). Received: a tensor of "
            "shape (6, 6)"
        )

    def test_signal_of_wrong_rank(self):
        tensors = [np.zeros(shape, "float32") for shape in ((3, 3), (3, 3), (2, 6, 6, 4))]
        assert "Received: signal of shape (3, 3), reference of" in error_text(tensors)

    def test_again_after_a_call_that_was_right(self):
        layer = MaxUnpooling2D()
        layer(*pooled_noise((1, 6, 6, 2), ((2, 2), (2, 2), "valid")))
        tensors = [
            np.zeros(shape, "float32") for shape in ((1, 3, 3, 2), (1, 3, 3, 2), (1, 9, 9, 2))
        ]
        assert "pools to the shape (1, 4, 4, 2)" in error_text(tensors, layer)


def error_text(tensors, layer=None):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        (layer or MaxUnpooling2D())(*tensors)
    return str(error.value)


# `torch.nn.MaxUnpool2d`, in numbers on paper: those of its documentation, and its padding.

TO_16 = np.arange(1.0, 17).reshape(4, 4)
TO_20 = np.arange(1.0, 21).reshape(4, 5)
TO_25 = np.arange(1.0, 26).reshape(5, 5)


def unpooled(image, pool_size, strides, padding):
    """An image pooled and unpooled, both by our layers: `(maxima, image)`."""
    image = np.asarray(image, "float32")[None, :, :, None]
    window = {"pool_size": pool_size, "strides": strides, "padding": padding}
    maxima, switches = MaxPooling2DWithSwitches(**window)(image)
    back = MaxUnpooling2D(**window)(maxima, switches, image)
    return np.asarray(maxima)[0, :, :, 0], np.asarray(back)[0, :, :, 0]


@pytest.mark.parametrize(
    ("image", "window", "maxima", "expected"),
    [
        (
            TO_16,
            (2, 2, "valid"),
            [[6, 8], [14, 16]],
            [[0, 0, 0, 0], [0, 6, 0, 8], [0, 0, 0, 0], [0, 14, 0, 16]],
        ),
        (  # there only with output_size, here always: the size is that of the input
            TO_20,
            (2, 2, "valid"),
            [[7, 9], [17, 19]],
            [[0, 0, 0, 0, 0], [0, 7, 0, 9, 0], [0, 0, 0, 0, 0], [0, 17, 0, 19, 0]],
        ),
        (  # padding=1 there
            TO_25,
            (3, 2, "same"),
            [[7, 9, 10], [17, 19, 20], [22, 24, 25]],
            [
                *([0, 0, 0, 0, 0], [0, 7, 0, 9, 10], [0, 0, 0, 0, 0]),
                *([0, 17, 0, 19, 20], [0, 22, 0, 24, 25]),
            ],
        ),
        (np.full((2, 2), 3), (2, 2, "valid"), [[3]], [[3, 0], [0, 0]]),  # the first of a tie
        (
            -TO_16,
            (2, 2, "valid"),
            [[-1, -3], [-9, -11]],
            [[-1, 0, -3, 0], [0] * 4, [-9, 0, -11, 0], [0] * 4],
        ),
    ],
)
def test_unpools_as_torch_does(image, window, maxima, expected):
    pooled, back = unpooled(image, *window)
    np.testing.assert_array_equal(pooled, maxima)
    np.testing.assert_array_equal(back, expected)


def test_windows_that_overlap_are_summed_where_torch_keeps_one():
    image = np.zeros((5, 5))
    image[2, 2] = 9
    pooled, back = unpooled(image, 3, 2, "valid")
    np.testing.assert_array_equal(pooled, np.full((2, 2), 9))
    np.testing.assert_array_equal(back, 4 * image)  # 9 in the middle there
