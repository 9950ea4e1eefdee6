"""The scan against a brute-force search, its sources, and its errors."""

import itertools
import re
import sys

import hypothesis
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from kerasvis.activations import NotFiniteError, StrongestActivations, find_top_activations
from kerasvis.activations.channel_maxima import ChannelMaxima, channel_maxima
from kerasvis.activations.forward_pass import ForwardPass
from kerasvis.activations.reducers import Batch
from tests.activations.small_models import (
    small_convnet,
    whole_numbered,
    whole_numbered_images,
)
from tests.oracles.top_activations import top_activations

LAYERS = ["conv", "pool", "inner/linear", "dense"]


def maps_of(model, layer, images):
    """The outputs of a layer through a model of its own."""
    if "/" in layer:
        outer, layer = layer.split("/")
        inner = model.get_layer(outer)
        images = maps_of(model, "pool", images)
        model = inner
    return keras.Model(model.inputs[0], model.get_layer(layer).output)(images).numpy()


def assert_is(layer, expected):
    for actual, array in zip(layer, expected, strict=True):
        assert actual.dtype == array.dtype
        np.testing.assert_array_equal(actual, array)


def assert_same(top, other):
    assert top.layers == other.layers
    for name in top:
        assert_is(top[name], other[name])


def scan(model, images, layers="conv", k=3, **options):
    return find_top_activations(model, layers, images, k, **{"verbose": 0, **options})


@pytest.fixture(scope="module")
def model():
    return small_convnet()


@pytest.mark.parametrize(
    ("number", "batch_size", "k"), [(23, 5, 9), (20, 20, 1), (7, 3, 9), (1, 16, 2)]
)
def test_is_what_sorting_everything_finds(model, number, batch_size, k):
    images = whole_numbered_images(number)
    top = scan(model, images, LAYERS, k, batch_size=batch_size)
    assert top.layers == tuple(LAYERS)
    for name in LAYERS:
        assert_is(top[name], top_activations(maps_of(model, name, images), k))


def test_ties_were_among_them(model):
    maps = maps_of(model, "conv", whole_numbered_images(23))
    maxima = maps.max(axis=(1, 2))
    assert any(len(np.unique(maxima[:, f])) < 23 for f in range(4)), "between images"
    assert ((maps == maxima[:, None, None]).sum(axis=(1, 2)) > 1).any(), "inside maps"


def test_equal_images_are_taken_in_order(model):
    images = np.repeat(whole_numbered_images(1), 11, axis=0)
    top = scan(model, images, k=4, batch_size=3)
    np.testing.assert_array_equal(top["conv"].image_indices, [[0, 1, 2, 3]] * 4)


def test_dead_feature_map_is_found_at_its_first_place():
    model = keras.Sequential([keras.Input((4, 5, 3)), keras.layers.Conv2D(2, 1, name="dead")])
    model.set_weights([np.zeros((1, 1, 3, 2)), np.array([0.0, -3.0])])
    values, image_indices, positions = scan(model, np.ones((6, 4, 5, 3)), "dead", 2)["dead"]
    np.testing.assert_array_equal(values, [[0, 0], [-3, -3]])
    np.testing.assert_array_equal(image_indices, [[0, 1], [0, 1]])
    assert not positions.any()


def test_fewer_images_than_k(model):
    values, image_indices, positions = scan(model, whole_numbered_images(2), k=4)["conv"]
    assert np.isneginf(values[:, 2:]).all()
    assert (image_indices[:, 2:] == -1).all()
    assert (positions[:, 2:] == -1).all()
    assert np.isfinite(values[:, :2]).all()


@hypothesis.given(
    rows=st.integers(1, 6),
    columns=st.integers(1, 6),
    number=st.integers(1, 9),
    batch_size=st.integers(1, 9),
    k=st.integers(1, 4),
    seed=st.integers(0, 99),
)
@hypothesis.settings(max_examples=25)
def test_any_size(rows, columns, number, batch_size, k, seed):
    keras.config.disable_traceback_filtering()
    images = whole_numbered_images(number, (rows, columns), seed)
    top = scan(ANY_SIZE, images, ["twice"], k, batch_size=batch_size)
    assert_is(top["twice"], top_activations(2 * images, k))


def any_size_model():
    inputs = keras.Input((None, None, 3))
    return keras.Model(inputs, keras.layers.Rescaling(2.0, name="twice")(inputs))


ANY_SIZE = any_size_model()


def test_one_layer_may_be_a_name(model):
    images = whole_numbered_images(4)
    assert_same(scan(model, images, "pool"), scan(model, images, ["pool"]))


def test_real_weights_within_rounding():
    model = keras.Sequential(
        [
            keras.Input((17, 12, 3)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.Conv2D(16, 3, activation="elu", name="top"),
        ]
    )
    images = np.random.default_rng(0).normal(size=(30, 17, 12, 3)).astype("float32")
    found = scan(model, images, "top", 9)["top"]
    values, image_indices, positions = top_activations(maps_of(model, "top", images), 9)
    np.testing.assert_allclose(found.values, values, rtol=1e-5)
    np.testing.assert_array_equal(found.image_indices, image_indices)
    np.testing.assert_array_equal(found.positions, positions)


def test_half_precision_gives_float32_values():
    inputs = keras.Input((6, 6, 3))
    conv = keras.layers.Conv2D(4, 3, dtype="mixed_float16", name="conv")
    model = whole_numbered(keras.Model(inputs, conv(inputs)))
    images = whole_numbered_images(5, (6, 6))
    expected = top_activations(maps_of(model, "conv", images).astype("float32"), 2)
    assert_is(scan(model, images, k=2)["conv"], expected)


def test_the_model_is_left_as_it_is(model):
    before = [weight.copy() for weight in model.get_weights()]
    scan(model, whole_numbered_images(3), LAYERS)
    for weight, earlier in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, earlier)


class Batches(keras.utils.PyDataset):
    """Batches of four images, and labels, without end where they are asked for one by one."""

    def __init__(self, images):
        super().__init__()
        self.images = images

    @property
    def num_batches(self):
        return -(-len(self.images) // 4)

    def __getitem__(self, index):
        images = np.roll(self.images, -4 * index, axis=0)
        return images[: min(4, len(images) - 4 * index)], np.zeros(4)


@pytest.mark.slow
def test_all_sources_agree(model, tmp_path):
    images = whole_numbered_images(11)
    expected = scan(model, images, LAYERS, batch_size=4)
    labels = np.arange(11)
    dataset = tf.data.Dataset.from_tensor_slices(images).batch(4)
    labelled = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)
    np.save(tmp_path / "images.npy", images)
    sources = [
        dataset,
        labelled,
        [images[:4], images[4:4], images[4:9], images[9:]],
        (images[i : i + 3] for i in range(0, 11, 3)),
        np.load(tmp_path / "images.npy", mmap_mode="r"),
        tf.constant(images),
        images.astype("int8"),
        list(images),
        (images, labels),
        tf.data.Dataset.from_tensor_slices({"image": images, "label": labels}).batch(4),
        tf.data.Dataset.from_tensor_slices((images, labels)),
        Batches(images),
    ]
    for source in sources:
        assert_same(scan(model, source, LAYERS, batch_size=4), expected)


def test_memory_grows_with_maps_times_k_not_with_images():
    strongest, state = StrongestActivations(9), None
    generator = np.random.default_rng(0)
    for number in range(100):
        values = generator.normal(size=(16, 50)).astype("float32")
        places = generator.integers(0, 9, (2, 16, 50)).astype("int32")
        batch = Batch(np.arange(16 * number, 16 * (number + 1)), np.zeros((16, 1, 1, 1)))
        state = strongest.update(state, ChannelMaxima(values, *places), batch)
        assert sum(array.nbytes for array in state.values()) == 50 * 9 * (4 + 8 + 2 * 4)
        assert all(array.base is None for array in state.values()), "no views of batches are kept"


def test_one_batch_leaves_the_device_as_three_numbers_per_map(model):
    """In one piece for each dtype, however many ask for them."""
    forward_pass = ForwardPass(model, 2 * [(layer, channel_maxima) for layer in LAYERS])
    outputs = forward_pass.function.predict_on_batch(whole_numbered_images(5))
    num_maps = 4 + 4 + 5 + 6
    assert [(x.shape, x.dtype.name) for x in outputs] == [
        ((5, num_maps), "float32"),
        ((5, 2 * num_maps), "int32"),
    ]


class Spoil(keras.layers.Layer):
    """Puts a value into the feature map 2 of every image whose first pixel is 1."""

    def __init__(self, value, **options):
        super().__init__(**options)
        self.value = value

    def call(self, inputs):
        spoilt = np.zeros((4, 5, 3), "bool")
        spoilt[2, 3, 2] = True
        chosen = (inputs[:, :1, :1, :1] == 1) & spoilt
        return keras.ops.where(chosen, self.value, inputs)


@pytest.mark.parametrize(
    ("value", "what"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")]
)
def test_activation_that_is_not_finite_is_an_error(value, what):
    inputs = keras.Input((4, 5, 3))
    first = keras.layers.Rescaling(2.0, name="first")(inputs)
    model = keras.Model(inputs, Spoil(value, name="second")(Spoil(7.0)(first)))
    images = np.zeros((20, 4, 5, 3), "float32")
    images[[13, 14], 0, 0, 0] = 0.5
    sentence = (
        f"Image 13 gives {what} in layer 'second', feature map 2: check the range of the images "
        "and the model's weights."
    )
    with pytest.raises(ValueError, match=re.escape(sentence)):
        scan(model, images, ["first", "second"], batch_size=4)
    assert np.isfinite(scan(model, images, "first")["first"].values).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_image_that_is_not_finite_is_an_error(model, value):
    images = whole_numbered_images(9)
    images[[5, 8], 3, 2, 1] = value
    sentence = (
        "Image 5 contains NaN or infinity, which would reach every layer: correct the image or "
        "leave it out."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        scan(model, images, batch_size=4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_an_error(value):
    model = small_convnet()
    weights = model.get_weights()
    weights[2].flat[3] = value
    model.set_weights(weights)
    with pytest.raises(NotFiniteError, match="'inner/linear' contain NaN or infinity"):
        scan(model, whole_numbered_images(3), "dense")
    scan(model, whole_numbered_images(3), "pool")  # below them all is well


WRONG = [
    (
        {"layers": "con"},
        "The model has no layer 'con': did you mean conv",
    ),
    ({"layers": []}, "layers=[]"),
    ({"layers": ["pool", "pool"]}, "The layer 'pool' was given more than once: name each once."),
    ({"k": 0}, "k=0"),
    ({"k": 2.5}, "k=2.5"),
    ({"k": 999999999}, "k=999999999"),
    ({"batch_size": -1}, "batch_size=-1"),
    ({"steps": 0}, "steps=0"),
    ({"verbose": 3}, "verbose=3"),
    ({"images": np.zeros((0, 7, 9, 3))}, "images of shape (0, 7, 9, 3)"),
    ({"images": np.zeros((7, 9, 3))}, "images of shape (7, 9, 3)"),
    ({"images": np.zeros((2, 9, 7, 3))}, "(9, 7, 3)"),
    ({"images": [np.zeros((2, 7, 9, 1))]}, "(7, 9, 1)"),
    ({"images": [np.full((2, 7, 9, 3), "a")]}, "<U1"),
    ({"images": []}, "without images"),
    ({"images": [np.zeros((7, 9, 3)), np.zeros((9, 7, 3))]}, "image 1 of shape (9, 7, 3)"),
    ({"images": "no photographs"}, "no photographs"),
    ({"images": tf.data.Dataset.from_tensors(np.zeros((2, 7, 9, 3))).repeat()}, "steps="),
    ({"images": {"a": np.zeros((2, 7, 9, 3))}}, "images={'a'"),
]


@pytest.mark.parametrize(("options", "sentence"), WRONG)
def test_errors(model, options, sentence):
    options = {"images": whole_numbered_images(2), "layers": "conv", "verbose": 0, **options}
    with pytest.raises(ValueError, match=re.escape(sentence)):
        find_top_activations(model, **options)


@pytest.mark.parametrize(("size", "wanted"), [((4, 5), "4, 5, 3"), ((None, 5), "any, 5, 3")])
def test_images_of_another_size_are_an_error(size, wanted):
    inputs = keras.Input((*size, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 3, name="conv")(inputs))
    batches = (np.zeros((2, 4, n, 3), "float32") for n in (5, 6))
    with pytest.raises(ValueError, match=re.escape(f"(batch, {wanted})") + r".*\(2, 4, 6, 3\)"):
        scan(model, batches)


def test_layer_that_gives_no_feature_maps_is_an_error():
    inputs = keras.Input((4, 5, 3))
    model = keras.Model(inputs, keras.layers.Reshape((20, 3), name="sequence")(inputs))
    sentence = (
        "The output of layer 'sequence' has the shape (None, 20, 3), but (batch, rows, columns, "
        "feature maps) or (batch, units) was expected: choose another layer."
    )
    with pytest.raises(ValueError, match=re.escape(sentence)):
        scan(model, np.zeros((2, 4, 5, 3)), "sequence")


def test_progress_bar(model, capsys, monkeypatch):
    images = whole_numbered_images(5)
    for verbose, is_terminal in itertools.product(["auto", 0, 1], [False, True]):
        monkeypatch.setattr(sys.stderr, "isatty", lambda answer=is_terminal: answer, raising=False)
        scan(model, images, verbose=verbose, batch_size=2)
        shown = "5/5" in capsys.readouterr().err
        assert shown == (verbose == 1 or (verbose == "auto" and is_terminal))
