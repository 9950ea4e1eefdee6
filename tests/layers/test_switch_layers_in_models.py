"""Pooling with switches and unpooling as layers of a Keras model: fit, predict, save, export."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasvis.layers import MaxPooling2DWithSwitches, MaxUnpooling2D
from kerasvis.layers.xla_compilation import plain_operations
from tests.marks import grid, slow

LARGE = (63, 65)  # with 40 channels large enough to be compiled
SIZES = [(9, 11), (None, None), (None, 11), LARGE]
WINDOWS = [(2, 2, "valid"), (3, 2, "same")]


def switch_model(size=(9, 11), window=(3, 2, "same"), channels=40, **options):
    """Convolution, pooling, unpooling; returns the means, the pooled maps and the switches."""
    inputs = keras.Input((*size, 3))
    features = keras.layers.Conv2D(channels, 3, padding="same", **options)(inputs)
    pooled, switches = MaxPooling2DWithSwitches(*window, **options)(features)
    unpooled = MaxUnpooling2D(*window, **options)(pooled, switches, features)
    means = keras.layers.GlobalAveragePooling2D(**options)(unpooled)
    return keras.Model(inputs, {"means": means, "pooled": pooled, "switches": switches})


def means_only(model):
    return keras.Model(model.inputs, model.output["means"])


def images(size, number=6):
    size = [n or 9 for n in size]
    return np.random.default_rng(0).normal(size=(number, *size, 3)).astype("float32")


def assert_same_outputs(actual, expected, **tolerance):
    assert actual.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], err_msg=name, **tolerance)


@pytest.mark.parametrize(
    ("policy", "size", "window"),
    grid(
        ["float32", "mixed_float16", "mixed_bfloat16", "bfloat16"],
        SIZES,
        WINDOWS,
        quick=[
            *(("float32", size, WINDOWS[1]) for size in SIZES),
            ("float32", (9, 11), WINDOWS[0]),
            ("mixed_float16", (None, 11), WINDOWS[0]),
            ("mixed_bfloat16", (9, 11), WINDOWS[1]),
            ("bfloat16", (None, None), WINDOWS[1]),
        ],
    ),
)
def test_symbolic_shapes_and_dtypes_are_the_eager_ones(policy, size, window):
    model = switch_model(size, window, dtype=policy)
    outputs = model(images(size))
    for name, symbolic in model.output.items():
        pairs = zip(symbolic.shape, outputs[name].shape, strict=True)
        assert all(known in (None, actual) for known, actual in pairs)
        assert keras.backend.standardize_dtype(outputs[name].dtype) == symbolic.dtype
    assert model.output["switches"].dtype == "uint8"
    assert model.output["pooled"].dtype == keras.DTypePolicy(policy).compute_dtype
    assert model.output["switches"].shape[-1] == 40


@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_symbolic_dtype_of_whole_numbers(dtype):
    pooled, switches = MaxPooling2DWithSwitches()(keras.Input((4, 6, 2), dtype=dtype))
    unpooled = MaxUnpooling2D()(pooled, switches, keras.Input((4, 6, 2), dtype=dtype))
    assert (pooled.dtype, switches.dtype, unpooled.dtype) == (dtype, "uint8", dtype)


@pytest.mark.parametrize(
    ("size", "jit_compile"),
    [
        slow((None, None), "auto"),
        slow(LARGE, "auto"),
        slow(LARGE, False),
        slow((None, None), True),
        ((9, 11), "auto"),
        slow((None, 11), "auto"),
        slow(LARGE, True),
    ],
)
def test_fit_and_predict(size, jit_compile):
    model = switch_model(size)
    trained = means_only(model)
    trained.compile("sgd", "mse", jit_compile=jit_compile)
    before = trained.get_weights()
    pixels = images(size, 7)
    history = trained.fit(pixels, np.ones((7, 40)), batch_size=3, epochs=2, verbose=0).history
    assert history["loss"][1] < history["loss"][0]
    assert not np.array_equal(before[0], trained.get_weights()[0])
    if jit_compile != "auto":
        model.jit_compile = jit_compile
    predicted = model.predict(pixels, batch_size=3, verbose=0)
    assert predicted["switches"].dtype == np.uint8
    assert_same_outputs(predicted, model(pixels), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("policy", "size"),
    grid(
        ["mixed_float16", "mixed_bfloat16"],
        [(9, 11), LARGE],
        quick=[("mixed_float16", (9, 11))],
    ),
)
def test_fit_in_mixed_precision(policy, size):
    trained = means_only(switch_model(size, dtype=policy))
    trained.compile("sgd", "mse")
    history = trained.fit(images(size), np.ones((6, 40)), epochs=2, verbose=0).history
    assert history["loss"][1] < history["loss"][0]


@pytest.mark.slow
def test_training_is_that_of_max_pooling():
    pixels, targets = images(LARGE), np.random.default_rng(1).normal(size=(6, 40))
    weights = []
    with_switches = lambda features: MaxPooling2DWithSwitches(3, 2, "same")(features)[0]  # noqa: E731
    for pooling in (with_switches, keras.layers.MaxPooling2D(3, 2, "same")):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((*LARGE, 3))
        pooled = pooling(keras.layers.Conv2D(40, 3)(inputs))
        model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(pooled))
        model.compile("sgd", "mse")
        model.fit(pixels, targets, batch_size=3, shuffle=False, epochs=2, verbose=0)
        weights.append(model.get_weights())
    for actual, expected in zip(*weights, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_sizes_that_change_from_batch_to_batch():
    model = switch_model((None, None))
    function = tf.function(model, input_signature=[tf.TensorSpec((None, None, None, 3))])
    for size in ((9, 11), (8, 12), (1, 1), (30, 7)):
        assert_same_outputs(
            function(images(size)),
            switch_model_like(model, size)(images(size)),
            rtol=1e-5,
            atol=1e-6,
        )


def switch_model_like(model, size):
    copy = switch_model(size)
    copy.set_weights(model.get_weights())
    return copy


@pytest.mark.slow
@pytest.mark.parametrize("size", [(9, 11), LARGE])
def test_mirrored_strategy(two_devices, size):
    pixels, targets = images(size, 8), np.ones((8, 40))
    alone = switch_model(size)
    with two_devices.scope():
        mirrored = switch_model(size)
        mirrored.set_weights(alone.get_weights())
        trained = means_only(mirrored)
        trained.compile(keras.optimizers.SGD(0.1), "mse")
    trained_alone = means_only(alone)
    trained_alone.compile(keras.optimizers.SGD(0.1), "mse")
    for model in (trained, trained_alone):
        model.fit(pixels, targets, batch_size=4, shuffle=False, epochs=2, verbose=0)
    for actual, expected in zip(mirrored.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)
    predicted = mirrored.predict(pixels, batch_size=4, verbose=0)
    assert_same_outputs(predicted, mirrored(pixels), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [*SIZES[:-1], slow(SIZES[-1])])
def test_saved_and_loaded(tmp_path, size):
    model = switch_model(size, dtype="mixed_bfloat16")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for actual, expected in zip(loaded.layers, model.layers, strict=True):
        assert actual.get_config() == expected.get_config()
    assert_same_outputs(loaded(images(size)), model(images(size)))


SERVE_WITHOUT_KERAS = """
import sys
sys.modules["keras"] = sys.modules["kerasvis"] = None
import numpy as np, tensorflow as tf
exported = tf.saved_model.load(sys.argv[1])
np.savez(sys.argv[3], **exported.serve(np.load(sys.argv[2])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", [slow((None, None)), LARGE])
def test_exported_and_served_where_kerasvis_is_missing(tmp_path, size):
    model = switch_model(size)
    model.export(tmp_path / "exported", verbose=False)
    np.save(tmp_path / "images.npy", images(size))
    paths = [str(tmp_path / name) for name in ("exported", "images.npy", "outputs.npz")]
    subprocess.run([sys.executable, "-c", SERVE_WITHOUT_KERAS, *paths], check=True)
    outputs = dict(np.load(paths[2]))
    assert outputs["switches"].dtype == np.uint8
    assert_same_outputs(outputs, model(images(size)), rtol=1e-5, atol=1e-6)


def is_compiled(model, pixels):
    """Whether the model's graph holds a function that must be compiled by XLA."""
    graph = tf.function(model).get_concrete_function(pixels).graph.as_graph_def()
    functions = graph.library.function
    return any(function.attr["_XlaMustCompile"].b for function in functions)


@pytest.mark.slow
def test_large_poolings_are_compiled_unless_plain_operations_are_wanted():
    model = switch_model(LARGE)
    assert is_compiled(model, images(LARGE))
    assert not is_compiled(switch_model((9, 11)), images((9, 11)))
    with plain_operations():
        assert not is_compiled(model, images(LARGE))
        plain = tf.function(model)(images(LARGE))
    assert is_compiled(model, images(LARGE))
    assert_same_outputs(plain, model(images(LARGE)), rtol=1e-5, atol=1e-6)


def test_plain_operations_end_with_an_exception():
    with pytest.raises(KeyError), plain_operations():
        raise KeyError
    assert is_compiled(switch_model(LARGE), images(LARGE))
