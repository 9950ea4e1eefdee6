import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import keras
import numpy as np
import pytest

from kerasvis.training import RMSLimit, filter_rms, limit_filters


def limited_oracle(kernel, limit):
    """Filter by filter, in float64."""
    limited = kernel.astype("float64")
    for number in range(kernel.shape[-1]):
        rms = np.sqrt(np.mean(limited[..., number] ** 2))
        if rms > limit:
            limited[..., number] *= limit / rms
    return limited


@hypothesis.given(
    kernel=arrays.arrays(
        "float32",
        st.tuples(*[st.integers(1, 4)] * 4),
        elements=st.floats(-2, 2, width=32).filter(lambda x: x == 0 or abs(x) > 1e-6),
    ),
    limit=st.sampled_from([0.01, 0.1, 1.0]),
)
def test_against_the_oracle(kernel, limit):
    limited = keras.ops.convert_to_numpy(RMSLimit(limit)(kernel))
    assert limited.dtype == kernel.dtype
    np.testing.assert_allclose(limited, limited_oracle(kernel, limit), rtol=1e-5, atol=0)
    within = np.sqrt(np.mean(kernel.astype("float64") ** 2, axis=(0, 1, 2))) < limit * (1 - 1e-6)
    np.testing.assert_array_equal(limited[..., within], kernel[..., within])


def test_zero_filters_stay_zero():
    kernel = np.zeros((3, 3, 2, 4), "float32")
    np.testing.assert_array_equal(RMSLimit()(kernel), kernel)


def test_filter_rms():
    kernel = np.random.default_rng(0).normal(size=(3, 5, 2, 4)).astype("float32")
    expected = [np.sqrt((kernel[..., number] ** 2).mean()) for number in range(4)]
    np.testing.assert_allclose(filter_rms(kernel), expected, rtol=1e-6)


def test_half_precision_neither_overflows_nor_changes_dtype():
    kernel = np.full((3, 3, 2, 2), [1000, 0.05], "float16")
    limited = keras.ops.convert_to_numpy(RMSLimit(0.1)(kernel))
    assert limited.dtype == "float16"
    np.testing.assert_allclose(limited[0, 0, 0], [0.1, 0.05], rtol=1e-3)


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_refused_limit(limit):
    with pytest.raises(ValueError, match="Give the largest RMS of a filter, above 0"):
        RMSLimit(limit)


def convnet(**options):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 9, 3)),
            layers.Conv2D(4, 3, name="conv1", **options),
            layers.DepthwiseConv2D(2, name="depthwise"),
            layers.Conv2D(6, (2, 3), groups=2, name="conv2", **options),
            layers.Flatten(),
            layers.Dense(2, activation="softmax"),
        ]
    )


def batch():
    random = np.random.default_rng(0)
    return random.normal(0, 60, (8, 8, 9, 3)).astype("float32"), random.integers(0, 2, 8)


def largest_rms(model):
    return [float(np.max(filter_rms(model.get_layer(n).kernel))) for n in ("conv1", "conv2")]


def fit(model):
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    model.fit(*batch(), batch_size=4, epochs=2, verbose=0)
    return model


def test_alone_in_a_layer_of_a_users_model(tmp_path):
    model = fit(convnet(kernel_constraint=RMSLimit(0.03)))
    assert largest_rms(model) == pytest.approx([0.03, 0.03], rel=1e-5)
    assert max(largest_rms(fit(convnet()))) > 0.1  # what it would be otherwise
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.get_layer("conv2").kernel_constraint.get_config() == {"limit": 0.03}
    assert loaded.get_layer("conv2").kernel.constraint.limit == 0.03


def test_compiled_by_xla():
    model = limited_convnet()
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", jit_compile=True)
    model.fit(*batch(), verbose=0)
    assert largest_rms(model) == pytest.approx([0.03, 0.03], rel=1e-5)


def limited_convnet():
    model = convnet()
    assert limit_filters(model, 0.03) == ("conv1", "conv2")
    return model


def test_limit_filters_of_a_built_model():
    model = fit(limited_convnet())
    assert largest_rms(model) == pytest.approx([0.03, 0.03], rel=1e-5)
    assert model.get_layer("depthwise").kernel.constraint is None
    clone = keras.Sequential.from_config(model.get_config())
    assert clone.get_layer("conv1").kernel_constraint.limit == 0.03


def test_limits_are_exchanged_and_taken_away():
    model = limited_convnet()
    limit_filters(model, 0.02)
    assert model.get_layer("conv1").kernel.constraint.limit == 0.02
    assert limit_filters(model, None) == ()
    assert model.get_layer("conv1").kernel.constraint is None
    assert model.get_layer("conv1").kernel_constraint is None


def test_nested_models():
    inner = convnet()
    model = keras.Sequential([keras.Input((8, 9, 3)), inner])
    assert set(limit_filters(model, 0.03)) == {"conv1", "conv2"}
    assert inner.get_layer("conv2").kernel.constraint.limit == 0.03


def test_mixed_precision():
    model = limited_convnet_of("mixed_float16")
    assert largest_rms(fit(model)) == pytest.approx([0.03, 0.03], rel=1e-5)
    assert model.get_layer("conv1").kernel.dtype == "float32"


def limited_convnet_of(policy):
    model = convnet(dtype=policy)
    limit_filters(model, 0.03)
    return model


def test_two_devices(two_devices):
    with two_devices.scope():
        model = limited_convnet()
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    model.fit(*batch(), batch_size=4, epochs=2, verbose=0)
    for kernel in two_devices.experimental_local_results(model.get_layer("conv1").kernel.value):
        np.testing.assert_allclose(np.max(filter_rms(kernel)), 0.03, rtol=1e-5)


def test_refused_models():
    dense = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="dense_only")
    with pytest.raises(ValueError, match="The model 'dense_only' has no convolution whose filters"):
        limit_filters(dense)
    with pytest.raises(ValueError, match="'conv1' has the constraint MaxNorm"):
        limit_filters(convnet(kernel_constraint="max_norm"))
    unbuilt = keras.Sequential([keras.layers.Conv2D(2, 3, name="conv1")])
    with pytest.raises(ValueError, match="The layer 'conv1' has no kernel yet: build the model"):
        limit_filters(unbuilt)
