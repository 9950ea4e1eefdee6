"""One image and one output of a model of several."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import kerasvis as kv
from kerasvis.layers import FixedValue
from kerasvis.occlusion import Occluders, OcclusionSweep
from tests.marks import slow
from tests.oracles.occluded_images import looked_at, occluded_images

SIZE = (21, 18)


def late(**options):
    """Metadata joins the features after pooling; two outputs."""
    image = keras.Input((*SIZE, 3), name="image")
    meta = keras.Input((2,), name="meta")
    x = layers.Conv2D(4, 3, activation="relu", name="conv1")(image)
    x = layers.MaxPooling2D(2, name="pool1")(x)
    x = layers.Conv2D(5, 3, activation="relu", name="conv2")(x)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    x = layers.Concatenate(name="joined")([x, layers.Dense(3, "silu", name="embedding")(meta)])
    first = layers.Dense(3, "softmax", name="species")(x)
    second = layers.Dense(1, "sigmoid", name="is_wild")(x)
    return keras.Model([image, meta], [first, second], name="late")


def scaled():
    """Metadata scales feature maps, channel by channel, in a nested model."""
    image, meta = keras.Input((*SIZE, 3), name="image"), keras.Input((2,), name="meta")
    maps, scale = keras.Input((19, 16, 4)), keras.Input((1, 1, 4))
    x = layers.Multiply(name="scaled")([maps, scale])
    x = layers.Conv2D(5, 3, activation="relu", name="conv2")(x)
    nested = keras.Model([maps, scale], x, name="nested")
    x = layers.Conv2D(4, 3, activation="relu", name="conv1")(image)
    s = layers.Reshape((1, 1, 4))(layers.Dense(4, "sigmoid", name="embedding")(meta))
    x = layers.GlobalAveragePooling2D()(nested([x, s]))
    return keras.Model([image, meta], layers.Dense(3, name="species")(x), name="scaled")


def with_depth():
    """A second map joins the image at once."""
    image, depth = keras.Input((*SIZE, 3), name="image"), keras.Input((*SIZE, 1), name="depth")
    x = layers.Concatenate()([image, depth])
    x = layers.Conv2D(4, 3, activation="relu", name="conv1")(x)
    x = layers.Conv2D(5, 3, activation="relu", name="conv2")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model({"image": image, "depth": depth}, layers.Dense(3, name="species")(x))


def of_words():
    """Words of any number, by their numbers."""
    image = keras.Input((*SIZE, 3), name="image")
    words = keras.Input((None,), dtype="int32", name="words")
    x = layers.Conv2D(4, 3, activation="relu", name="conv1")(image)
    x = layers.GlobalAveragePooling2D()(x)
    y = layers.GlobalAveragePooling1D()(layers.Embedding(9, 6, name="embedding")(words))
    return keras.Model(
        [words, image], layers.Dense(3, name="species")(layers.Concatenate()([x, y]))
    )


rng = np.random.default_rng(0)
META, DEPTH, WORDS = np.array([0.3, -2]), rng.normal(size=(*SIZE, 1)), np.array([4, 1, 8, 8])
CASES = {
    "late": (late, {"fixed": {"meta": META}, "output": "species"}, "meta", META),
    "late, its other output": (late, {"fixed": META, "output": 1}, "meta", META),
    "scaled": (scaled, {"fixed": {"meta": META}}, "meta", META),
    "one number": (scaled, {"fixed": {"meta": 0.7}}, "meta", np.array([0.7, 0.7])),
    "with depth": (with_depth, {"input": "image", "fixed": DEPTH}, "depth", DEPTH),
    "of words": (of_words, {"fixed": {"words": WORDS}}, "words", WORDS),
}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).uniform(-2, 2, (3, *SIZE, 3)).astype("float32")


def answers(model, images, name, value, output=None):
    inputs = {"image": images, name: np.stack([value] * len(images))}
    if not isinstance(model.input, dict):
        inputs = [inputs[x.name] for x in model.inputs]
    found = model.predict(inputs, verbose=0)
    return found if output is None else found[{"species": 0, 1: 1}[output]]


@pytest.mark.parametrize("case", CASES)
def test_answers_are_those_of_the_model(images, case):
    build, options, name, value = CASES[case]
    model = build()
    made = kv.image_model(model, **options)
    expected = answers(model, images, name, value, options.get("output"))
    np.testing.assert_allclose(made.predict(images, verbose=0), expected, atol=1e-6)
    assert made.input_shape == (None, *SIZE, 3)
    assert len(made.outputs) == 1
    names = {layer.name for layer in model.layers}
    assert {layer.name for layer in made.layers} <= names
    assert made.get_layer("conv1") is model.get_layer("conv1")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_saved_and_loaded(images, case, ending, tmp_path):
    build, options, *_ = CASES[case]
    made = kv.image_model(build(), **options)
    made.save(tmp_path / f"made.{ending}")
    loaded = keras.models.load_model(tmp_path / f"made.{ending}")
    np.testing.assert_array_equal(loaded(images), made(images))


@pytest.mark.parametrize("case", CASES)
def test_the_model_is_left_as_it_is(images, case):
    build, options, name, value = CASES[case]
    model = build()
    weights, config = model.get_weights(), model.get_config()
    before = answers(model, images, name, value)
    kv.image_model(model, **options).predict(images, verbose=0)
    assert model.get_config() == config
    for weight, was in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, was)
    for array, was in zip(
        *map(keras.tree.flatten, (answers(model, images, name, value), before)), strict=True
    ):
        np.testing.assert_array_equal(array, was)


@pytest.mark.parametrize("method", ["incremental", slow("full")])
@pytest.mark.parametrize("case", CASES)
def test_occlusion_is_exact(images, case, method):
    build, options, *_ = CASES[case]
    made = kv.image_model(build(), **options)
    layer = "nested/conv2" if case in ("scaled", "one number") else "conv1"
    occluders = Occluders(SIZE, (5, 4), (4, 4))
    sweep = OcclusionSweep(
        made, occluders, layer, kv.graph.Scores(made, activation="linear"), method=method
    )
    assert sweep.plan.method == method
    fill = images[1]
    base = sweep.base(images[0]).probabilities
    probabilities, _, activity = sweep.run(images[0], fill, 1, range(len(base)), verbose=0)
    occluded = occluded_images(images[0], fill, (5, 4), (4, 4))
    expected, sums = looked_at(made, layer, occluded)
    np.testing.assert_allclose(probabilities[..., -expected.shape[-1] :], expected, atol=1e-5)
    np.testing.assert_allclose(activity, sums[..., 1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("case", "layer"), [("scaled", "nested/conv2"), ("with depth", "conv2")])
def test_occlusion_works_on_windows_past_what_is_fixed(case, layer):
    build, options, *_ = CASES[case]
    made = kv.image_model(build(), **options)
    plan = OcclusionSweep(made, Occluders(SIZE, 3, 3), layer, method="incremental").plan
    assert layer in [step.node.name for step in plan.steps]


@pytest.mark.parametrize("case", CASES)
def test_projection_passes_what_is_fixed_by(images, case):
    """It does not go down the branch of what is fixed, whose layers have no rules."""
    build, options, *_ = CASES[case]
    made = kv.image_model(build(), **options)
    deconv = kv.DeconvModel(made, made.layers[-1].name)
    assert "embedding" not in str(deconv.plan)
    found = deconv.project(images, kv.targets.Unit(0))
    assert np.abs(found).max() > 0


@pytest.mark.parametrize("case", ["late", "scaled", "with depth"])
def test_gradient_is_that_of_tensorflow(images, case):
    build, options, *_ = CASES[case]
    made = kv.image_model(build(), **options)
    name = made.layers[-1].name
    found = kv.attribute(made, name, images, kv.targets.Unit(1), "gradient")
    made.layers[-1].activation = keras.activations.linear  # the score before it is derived
    with tf.GradientTape() as tape:
        tape.watch(watched := tf.constant(images))
        scores = made(watched)[:, 1]
    expected = tape.gradient(scores, watched)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    assert np.abs(expected).max() > 0


def test_units_are_projected_as_in_the_whole_image(images):
    """In crops, or from one pass of the image for many units."""
    made = kv.image_model(scaled(), fixed=META)
    deconv = kv.DeconvModel(made, "nested/conv2")
    rows, columns = [0, 5, 16, 9], [3, 0, 13, 9]
    unit = kv.targets.Unit([0, 1, 2, 3], rows, columns)
    parts, origins = deconv.project_units(images[:1], unit, [0, 0, 0, 0])
    for number, (part, (top, left)) in enumerate(zip(parts, origins, strict=True)):
        alone = kv.targets.Unit(number, rows[number], columns[number])
        whole = deconv.project(images[:1], alone)[0]
        inside = whole[top : top + part.shape[0], left : left + part.shape[1]]
        np.testing.assert_allclose(inside, part, atol=1e-6)
        np.testing.assert_allclose(np.abs(inside).sum(), np.abs(whole).sum(), rtol=1e-5)


def test_a_second_map_rules_crops_out(images):
    made = kv.image_model(with_depth(), "image", DEPTH)
    deconv = kv.DeconvModel(made, "conv2")
    assert deconv.project(images, kv.targets.Strongest(1)).shape == images.shape
    assert deconv.receptive_field().size == (5, 5)


def test_scan_and_features(images):
    made = kv.image_model(late(), fixed=META, output="species")
    top = kv.find_top_activations(made, ["conv2", "joined"], images, k=2, verbose=0)
    assert top["conv2"].image_indices.shape == (5, 2)
    features = kv.visualize_features(
        made,
        ["conv2"],
        images,
        k=2,
        preprocessing=(lambda x: x / 51 - 2.5, lambda x: 51 * (x + 2.5)),
    )
    assert features["conv2"].projections.shape[:2] == (5, 2)


def test_another_layer_as_the_output(images):
    model = late()
    made = kv.image_model(model, output="pooled")
    assert made.output_shape == (None, 5)
    assert [layer.name for layer in made.layers][-1] == "pooled"
    assert kv.image_model(model, fixed=META, output="joined").output_shape == (None, 8)


def test_one_image_and_one_output_stay_as_they_are():
    model = keras.Sequential([keras.Input((*SIZE, 3)), layers.Flatten(), layers.Dense(2)])
    assert kv.image_model(model) is model


def test_two_images(images):
    inputs = [keras.Input((*SIZE, 3), name=name) for name in ("left", "right")]
    eye = layers.Conv2D(4, 3, activation="relu", name="eye")
    x = layers.Subtract()([layers.GlobalAveragePooling2D()(eye(x)) for x in inputs])
    model = keras.Model(inputs, layers.Dense(2)(x), name="eyes")
    with pytest.raises(ValueError, match=r"takes 'left' \(21, 18, 3\) and 'right' .* input='name'"):
        kv.image_model(model, fixed=images[1])
    made = kv.image_model(model, "left", images[1])
    expected = model.predict([images, np.stack([images[1]] * 3)], verbose=0)
    np.testing.assert_allclose(made.predict(images, verbose=0), expected, atol=1e-6)
    made = kv.image_model(model, "right", {"left": images[1]})
    np.testing.assert_allclose(
        made.predict(images[1:2], verbose=0), model.layers[-1].bias[None], atol=1e-6
    )


REFUSED = {
    "no value": (late, {"output": 0}, "depends on 'meta' (2,), too: give a value to hold, fixed="),
    "output": (late, {"fixed": META}, "has 2 outputs, 'species', 'is_wild': choose one"),
    "shape": (scaled, {"fixed": {"meta": [1, 2, 3]}}, "float32 numbers of shape (2,): give such"),
    "batch axis": (
        scaled,
        {"fixed": {"meta": [[1, 2]]}},
        "without the batch axis. Received: fixed=",
    ),
    "NaN": (scaled, {"fixed": {"meta": np.nan}}, "Received: fixed={'meta': nan}"),
    "text": (scaled, {"fixed": {"meta": "old"}}, "Received: fixed={'meta': old}"),
    "fraction": (of_words, {"fixed": {"words": [1.5]}}, "int32 numbers of shape (None,)"),
    "axes": (of_words, {"fixed": {"words": 3}}, "int32 numbers of shape (None,)"),
    "unknown": (scaled, {"fixed": {"meta": 1, "age": 3}}, "Received: fixed=['age']"),
    "input": (scaled, {"input": "meta", "fixed": 1}, "choose the one of images"),
    "no such input": (scaled, {"input": "photo", "fixed": 1}, "Received: input='photo'"),
    "inside": (
        scaled,
        {"fixed": META, "output": "nested/conv2"},
        "lies inside a nested model, where a model cannot end: give an output, 'species'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    build, options, sentence = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(sentence)):
        kv.image_model(build(), **options)


def test_the_refusal_of_several_inputs_names_the_remedy(images):
    """The sentence's code is run as it stands, with a name and a value of the model's."""
    model = scaled()
    with pytest.raises(ValueError, match=r"has 2 inputs, 'image' .*, 'meta' \(2,\)") as caught:
        kv.DeconvModel(model, "conv1")
    code = re.search(r"model = (kerasvis\.image_model\(.*\))\.$", str(caught.value)).group(1)
    made = eval(code, {"kerasvis": kv, "model": model, "name": "meta", "value": META})
    np.testing.assert_allclose(
        made.predict(images, verbose=0), answers(model, images, "meta", META), atol=1e-6
    )


def test_fixed_value():
    layer = FixedValue((2, 3), np.arange(6).reshape(2, 3), dtype="int32", name="x")
    assert layer(np.zeros((4, 5, 5, 1))).shape == (4, 2, 3)
    assert layer.get_config()["shape"] == (2, 3)
    assert layer(keras.KerasTensor((None, 5, 5, 1))).shape == (None, 2, 3)
    again = FixedValue.from_config(layer.get_config())
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(np.zeros((1, 1)))[0], [[0, 1, 2], [3, 4, 5]])
    assert not layer.trainable_weights
