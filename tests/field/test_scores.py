"""What the model answers: probabilities are those of `predict`, whatever its head looks like.

Each case is one that a user brought, or a relative of it.
"""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from PIL import Image

import kerasvis as kv
from kerasvis.analyses import feature_invariance
from kerasvis.commands.command_line import run
from tests.marks import few, slow

SIZE = (20, 18)
QUICK = {"patch_size": 10, "strides": 10, "verbose": 0}
rng = np.random.default_rng(0)
IMAGE = rng.integers(0, 256, (*SIZE, 3)).astype("float32")
OTHERS = rng.integers(0, 256, (8, *SIZE, 3)).astype("float32")

pytestmark = pytest.mark.usefixtures("eager_functions")


def trunk():
    """`(inputs, features)` of a small convnet."""
    inputs = keras.Input((*SIZE, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1)(inputs)
    x = layers.Conv2D(6, 3, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(2, name="pool1")(x)
    x = layers.Conv2D(5, 3, activation="relu", name="conv2")(x)
    return inputs, layers.GlobalAveragePooling2D(name="features")(x)


def dense(activation=None, units=3, **options):
    """A dense layer with weights large enough that its answers are clear."""
    kernel = keras.initializers.RandomNormal(stddev=8, seed=units)
    return layers.Dense(units, activation, kernel_initializer=kernel, **options)


def with_head(head):
    inputs, features = trunk()
    return keras.Model(inputs, head(features))


def sparse_probabilities(x):
    """Euclidean projection onto the simplex, as a user would write it."""
    sorted_scores = -ops.sort(-x, axis=-1)
    sums = ops.cumsum(sorted_scores, axis=-1) - 1
    number = ops.arange(1, x.shape[-1] + 1, dtype="float32")
    support = ops.sum(ops.cast(sorted_scores * number > sums, "int32"), axis=-1, keepdims=True)
    threshold = ops.take_along_axis(sums, support - 1, axis=-1) / ops.cast(support, "float32")
    return ops.maximum(x - threshold, 0)


def nested_classifier(x):
    head = keras.Sequential([keras.Input((5,)), dense("relu", 7), dense(tf.nn.softmax)])
    return head(x)


def of_two_heads(x):
    return layers.Average()([dense("softmax")(x), dense("softmax", name="other")(x)])


def with_adapter(x):
    layer = dense("softmax")
    layer.build(x.shape)
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.full(layer.lora_kernel_b.shape, 0.3))
    return layer(x)


def cast_to_float32(x):
    return layers.Activation("linear", dtype="float32")(dense("softmax", dtype="float16")(x))


# Heads of three probabilities: `predict` says them.
PROBABILITIES = {
    # the case: a net that ends in tf.nn.softmax
    "tf.nn.softmax in a Dense": dense(tf.nn.softmax),
    "tf.nn.softmax in an Activation": lambda x: layers.Activation(tf.nn.softmax)(dense()(x)),
    "tf.nn.softmax in a Lambda": lambda x: layers.Lambda(tf.nn.softmax)(dense()(x)),
    "jax-like function": lambda x: layers.Lambda(
        lambda z: tf.exp(z - tf.reduce_logsumexp(z, 1, keepdims=True))
    )(dense()(x)),
    # the case: the softmaxes of two heads are averaged
    "average of two heads": of_two_heads,
    "half of the sum": lambda x: (dense("softmax")(x) + dense("softmax", name="other")(x)) / 2,
    "mean of stacked heads": lambda x: ops.mean(
        ops.stack([dense("softmax")(x), dense("softmax", name="other")(x)]), axis=0
    ),
    "geometric mean": lambda x: ops.softmax(
        (ops.log_softmax(dense()(x)) + ops.log_softmax(dense(name="other")(x))) / 2
    ),
    # relatives that Keras knows
    "Dense": dense("softmax"),
    "Activation": lambda x: layers.Activation("softmax")(dense()(x)),
    "Softmax": lambda x: layers.Softmax()(dense()(x)),
    "keras.ops.softmax": lambda x: ops.softmax(dense()(x)),
    "softmax, then reshaped": lambda x: layers.Reshape((1, 1, 3))(dense("softmax")(x)),
    "softmax, then cast": cast_to_float32,
    "sparsemax of Keras": dense("sparsemax"),
    # relatives that only the values tell
    "temperature": lambda x: layers.Softmax()(dense()(x) / 3),
    "temperature in a Lambda": lambda x: layers.Lambda(lambda z: tf.nn.softmax(z / 3))(dense()(x)),
    "sparsemax of the user's": lambda x: sparse_probabilities(dense()(x)),
    "nested classifier": nested_classifier,
    "softmax after a clip": lambda x: ops.clip(dense("softmax")(x), 1e-7, 1 - 1e-7),
    "label smoothing": lambda x: 0.9 * dense("softmax")(x) + 0.1 / 3,
    "masked classes": lambda x: dense("softmax")(x) * np.array([1, 0, 1], "float32"),
    "normalized by hand": lambda x: (y := dense("softplus")(x)) / ops.sum(y, -1, keepdims=True),
    # independent probabilities
    "sigmoids": dense("sigmoid"),
    "tf.nn.sigmoid": dense(tf.nn.sigmoid),
    "hard sigmoid": dense("hard_sigmoid"),
    "stretched tanh": lambda x: (ops.tanh(dense()(x)) + 1) / 2,
    "1 − exp(−x)": lambda x: 1 - ops.exp(-dense("softplus")(x)),
    "adapter": with_adapter,
}


def assert_says(result, probabilities):
    """The result's probabilities of the image that is not occluded are these."""
    np.testing.assert_allclose(
        result.base_probabilities, probabilities[result.class_indices], atol=1e-6
    )
    assert result.base_label == probabilities.argmax()


@pytest.mark.parametrize("head", few(PROBABILITIES.values(), 9), ids=PROBABILITIES)
def test_probabilities_are_those_of_predict(head):
    model = with_head(head)
    p = model.predict(IMAGE[None], verbose=0).ravel().astype("float32")
    assert np.ptp(model.predict(OTHERS, verbose=0), axis=0).max() > 0.01, "images differ"
    result = kv.occlusion_sensitivity(model, IMAGE, class_indices=[0, 1, 2], **QUICK)
    assert_says(result, p)
    assert result.activation == "the model's own probabilities"


LOGITS = {
    "Dense": dense(),
    "relu": dense("relu"),
    "convolution": lambda x: layers.Conv2D(3, 1)(layers.Reshape((1, 1, 5))(x)),
    "scaled cosine": lambda x: 10 * layers.UnitNormalization()(dense()(x)),
    "log softmax": dense("log_softmax"),
    "log softmax of TensorFlow": dense(tf.nn.log_softmax),
    "logarithm of the softmax": lambda x: ops.log(dense("softmax")(x)),
    "tanh": dense("tanh"),
}


@pytest.mark.parametrize("head", few(LOGITS.values(), 4), ids=LOGITS)
def test_logits_get_a_softmax(head):
    model = with_head(head)
    scores = model.predict(IMAGE[None], verbose=0).ravel()
    e = np.exp(scores - scores.max())
    result = kv.occlusion_sensitivity(model, IMAGE, class_indices=[0, 1, 2], **QUICK)
    assert_says(result, e / e.sum())
    assert result.activation == "softmax of the model's logits"


def test_the_caller_states_it():
    model = with_head(dense())
    scores = model.predict(IMAGE[None], verbose=0).ravel()
    result = kv.occlusion_sensitivity(
        model, IMAGE, class_indices=[0, 1, 2], activation="sigmoid", **QUICK
    )
    np.testing.assert_allclose(
        result.base_probabilities, (1 / (1 + np.exp(-scores)))[result.class_indices], atol=1e-6
    )
    assert result.activation == "sigmoid of the model's logits"


def test_what_a_later_image_contradicts_is_an_error():
    """For most images the answers lie in [0, 1]; for a nearly black one not."""
    model = with_head(lambda x: ops.clip(x * 1e-3, 0, 1))
    is_black = ops.cast(ops.equal(ops.max(model.input, axis=(1, 2, 3)), 9), "float32")
    model = keras.Model(model.input, model.output - 2 * is_black[:, None])
    images = np.stack([IMAGE, np.full_like(IMAGE, 9)])
    with pytest.raises(
        ValueError, match=r"here they range from -.* to -.*: state activation='softm"
    ):
        kv.occlusion_sensitivity(model, images, preprocessing="raw", **QUICK)


@pytest.mark.parametrize("name", ["tf.nn.softmax in a Dense", "average of two heads", "sigmoids"])
def test_invariance_says_what_predict_says(name):
    model = with_head(PROBABILITIES[name])
    pixels = OTHERS[:2].astype("uint8")
    found = feature_invariance(
        model, None, pixels, transformations={"translation": [0, 3]}, verbose=0
    )
    p = model.predict(pixels.astype("float32"), verbose=0)
    expected = np.take_along_axis(p, found.class_indices[:, None], axis=1)
    np.testing.assert_allclose(found.curves[0].probabilities[:, :1], expected, atol=1e-6)
    assert found.activation == "the model's own probabilities"


# One unit, two classes: a dog of 0.9986.
ONE_UNIT = {
    "sigmoid": lambda x: dense("sigmoid", 1)(x),
    "logit": lambda x: dense(None, 1)(x),
    "tf.nn.sigmoid": lambda x: dense(tf.nn.sigmoid, 1)(x),
    "sigmoid in a Lambda": lambda x: layers.Lambda(tf.sigmoid)(dense(None, 1)(x)),
    "without an axis": lambda x: dense("sigmoid", 1)(x)[:, 0],
    "of a convolution": lambda x: layers.Conv2D(1, 1, activation="sigmoid")(
        layers.Reshape((1, 1, 5))(x)
    ),
}


def dog_model(head):
    """The probability of class 1, of which the image has 0.9986."""
    model = with_head(head)
    layer = next(layer for layer in reversed(model.layers) if layer.weights)
    kernel, bias = layer.get_weights()
    features = keras.Model(model.input, model.get_layer("features").output)
    z = (features.predict(IMAGE[None], verbose=0) @ kernel.reshape(5, 1)).item()
    layer.set_weights([kernel, bias + np.log(0.9986 / 0.0014) - z])
    return model


@pytest.mark.parametrize("head", few(ONE_UNIT.values(), 2), ids=ONE_UNIT)
def test_one_unit_is_two_classes(head):
    model = dog_model(head)
    result = kv.occlusion_sensitivity(model, IMAGE, **QUICK)
    assert (result.class_index, result.base_label) == (1, 1)
    np.testing.assert_allclose(result.base_probabilities, [0.9986, 0.0014], atol=1e-6)
    cat = kv.occlusion_sensitivity(model, IMAGE, class_index=0, **QUICK)
    np.testing.assert_allclose(cat.probability, 1 - result.probability, atol=1e-6)
    np.testing.assert_array_equal(cat.label, (result.probability > 0.5).astype(int))
    with pytest.raises(ValueError, match="from 0 to 1"):
        kv.occlusion_sensitivity(model, IMAGE, class_index=2, **QUICK)


def test_the_dog_is_a_dog_on_the_figures():
    result = kv.occlusion_sensitivity(dog_model(ONE_UNIT["sigmoid"]), IMAGE, **QUICK)
    row = kv.figures.OcclusionRow(result, IMAGE.astype("uint8"), ["cat", "dog"])
    figure = kv.figures.occlusion_panel(row)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "of dog" in texts
    assert "without: dog" in texts
    assert "own probability of class 1, the rest is class 0." in " ".join(texts)


@pytest.mark.parametrize(("name", "number", "p"), [("dog", 1, 0.9986), ("cat", 0, 0.0014)])
def test_the_command_knows_both(name, number, p, tmp_path):
    dog_model(ONE_UNIT["sigmoid"]).save(tmp_path / "model.keras")
    (tmp_path / "classes.json").write_text(json.dumps(["cat", "dog"]))
    Image.fromarray(IMAGE.astype("uint8")).save(tmp_path / "photograph.png")
    given = ["--model", tmp_path / "model.keras", "--images", tmp_path / "photograph.png"]
    given += ["--class", name, "--patch-size", 10, "--strides", 10, "--out", tmp_path / "out"]
    run(["occlusion", *map(str, given)])
    result = kv.analyses.OcclusionSensitivity.load(tmp_path / "out" / "photograph.npz")
    assert result.class_index == number
    np.testing.assert_allclose(result.base_probability, p, atol=1e-6)


def test_methods_are_compared_on_either_class():
    model = kv.two_class_model(dog_model(ONE_UNIT["sigmoid"]))
    name = model.layers[-1].name
    found = [
        kv.compare_methods(
            model, name, IMAGE[None], kv.targets.Unit(number), ["gradient"], preprocessing="raw"
        )
        for number in (0, 1)
    ]
    np.testing.assert_allclose(found[0].maps["gradient"], -found[1].maps["gradient"], rtol=1e-4)
    np.testing.assert_allclose(found[1].activations, np.log(0.9986 / 0.0014), rtol=1e-4)


def several_outputs(form=list):
    inputs, features = trunk()
    species = dense(tf.nn.softmax, name="species")(features)
    is_wild = dense("sigmoid", 1, name="is_wild")(features)
    box = dense(None, 4, name="box")(features)
    if form is dict:
        return keras.Model(inputs, {"a": species, "b": is_wild, "c": box})
    return keras.Model(inputs, [species, is_wild, box])


@pytest.mark.parametrize(
    ("form", "output", "place", "number"),
    [(list, "species", 0, 3), (list, "is_wild", 1, 2), (list, 0, 0, 3), (dict, "b", "b", 2)],
)
def test_one_of_several_outputs(form, output, place, number):
    model = several_outputs(form)
    p = model.predict(IMAGE[None], verbose=0)[place][0]
    p = np.array([1 - p[0], p[0]]) if number == 2 else p
    classes = list(range(number))
    result = kv.occlusion_sensitivity(model, IMAGE, class_indices=classes, output=output, **QUICK)
    assert_says(result, p)
    found = feature_invariance(
        model,
        None,
        IMAGE[None].astype("uint8"),
        transformations={"scale": [1]},
        output=output,
        verbose=0,
    )
    np.testing.assert_allclose(found.curves[0].probabilities[0, 0], p.max(), atol=1e-6)


@pytest.mark.parametrize(("form", "listed"), [(list, "'species', 'is_wild', 'box'"), (dict, "'a'")])
def test_several_outputs_are_listed_where_none_is_chosen(form, listed):
    for call in (
        lambda model: kv.occlusion_sensitivity(model, IMAGE, **QUICK),
        lambda model: feature_invariance(model, None, IMAGE[None].astype("uint8")),
    ):
        with pytest.raises(ValueError, match=f"has 3 outputs, {listed}.*: choose one"):
            call(several_outputs(form))


def several_inputs():
    inputs, features = trunk()
    age = keras.Input((1,), name="age")
    sex = keras.Input((1,), dtype="int32", name="sex")
    sexes = layers.Flatten()(layers.Embedding(2, 3)(sex))
    x = layers.Concatenate()([features, layers.Rescaling(0.01)(age), sexes])
    return keras.Model([inputs, age, sex], dense(tf.nn.softmax, name="diagnosis")(x))


def test_several_inputs_held_fixed_for_scan_projection_occlusion_and_gallery(tmp_path):
    model = several_inputs()
    made = kv.image_model(model, fixed={"age": 61.5, "sex": 1})
    others = [np.full((8, 1), 61.5), np.ones((8, 1))]
    expected = model.predict([OTHERS, *others], verbose=0)
    np.testing.assert_allclose(made.predict(OTHERS, verbose=0), expected, atol=1e-6)
    result = kv.occlusion_sensitivity(made, OTHERS[0], class_indices=[0, 1, 2], **QUICK)
    assert_says(result, expected[0])
    assert result.projection.shape == (*SIZE, 3)
    assert np.abs(result.projection).max() > 0
    top = kv.find_top_activations(made, ["conv2"], OTHERS, k=2, verbose=0)
    alone = keras.Model(model.inputs[0], model.get_layer("conv2").output)
    maxima = alone.predict(OTHERS, verbose=0).max(axis=(1, 2))
    assert top["conv2"].image_indices[:, 0].tolist() == maxima.argmax(axis=0).tolist()
    assert kv.DeconvModel(made, "diagnosis").project(OTHERS, kv.targets.Unit(1)).any()
    kv.write_gallery(made, ["conv2"], OTHERS, directory=tmp_path / "gallery", k=2, verbose=0)
    assert (tmp_path / "gallery" / "index.html").exists()


@pytest.mark.parametrize(
    "call",
    [
        lambda model: kv.occlusion_sensitivity(model, IMAGE, **QUICK),
        lambda model: kv.DeconvModel(model, "conv2"),
        lambda model: kv.find_top_activations(model, ["conv2"], OTHERS),
        lambda model: feature_invariance(model, None, IMAGE[None].astype("uint8")),
    ],
)
def test_several_inputs_are_told_the_remedy(call):
    with pytest.raises(ValueError, match=r"3 inputs, .*'age' \(1,\).* kerasvis\.image_model\("):
        call(several_inputs())


def segmenter(activation, classes=3):
    inputs = keras.Input((*SIZE, 3))
    x = layers.Rescaling(1 / 127.5, -1)(inputs)
    x = layers.Conv2D(6, 3, 2, padding="same", activation="relu", name="down")(x)
    x = layers.UpSampling2D(2, name="up")(x)
    x = layers.Conv2D(classes, 3, padding="same", name="classes")(x)
    return keras.Model(inputs, x if activation is None else layers.Activation(activation)(x))


def softmax(values):
    e = np.exp(values - values.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("method", ["incremental", slow("full")])
@pytest.mark.parametrize("activation", few(["softmax", tf.nn.softmax, None, "sigmoid"], 2))
@pytest.mark.parametrize("region", [None, (3, 2, 11, 15)])
def test_a_segmented_class_is_its_map_summed(activation, region, method):
    model = segmenter(activation)
    result = kv.occlusion_sensitivity(
        model, IMAGE, 1, class_indices=[0, 1, 2], region=region, method=method, **QUICK
    )
    top, left, bottom, right = region or (0, 0, *SIZE)
    for place, box in [(None, (0, 0, 0, 0)), *((p, result.boxes[p]) for p in np.ndindex(2, 2))]:
        occluded = IMAGE.copy()
        occluded[box[0] : box[2], box[1] : box[3]] = 127.5
        maps = model.predict(occluded[None], verbose=0)[0]
        maps = softmax(maps) if activation is None else maps
        expected = maps[top:bottom, left:right].sum(axis=(0, 1))[result.class_indices]
        found = result.base_probabilities if place is None else result.probabilities[place]
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert result.measure == "summed probability"


def test_a_map_of_one_class_and_the_rest():
    model = segmenter("sigmoid", 1)
    result = kv.occlusion_sensitivity(model, IMAGE, 0, class_indices=[0, 1], **QUICK)
    p = model.predict(IMAGE[None], verbose=0)
    np.testing.assert_allclose(result.base_probabilities, [(1 - p).sum(), p.sum()], rtol=1e-5)


def test_the_figure_of_a_segmented_class_says_so():
    result = kv.occlusion_sensitivity(segmenter("softmax"), IMAGE, 1, **QUICK)
    pixels = IMAGE.astype("uint8")
    for figure in (
        kv.figures.occlusion_panel(kv.figures.OcclusionRow(result, pixels)),
        kv.figures.occlusion_overlay(result, pixels),
    ):
        words = " ".join(text.get_text() for text in figure.axes[0].texts)
        assert "summed probability" in words
        assert "the model's own probabilities, summed over the map" in words


def top_two_margin(p):
    """How far the most probable class is ahead."""
    two = ops.top_k(p, 2)[0]
    return two[:, 0] - two[:, 1]


def strongest_activation(maps):
    return ops.max(maps, axis=(1, 2, 3))


def summed_logits(maps):
    return ops.sum(maps[..., 0], axis=(1, 2))


SCORES = {
    "of probabilities": (with_head, dense("softmax"), {}, top_two_margin),
    "of feature maps": (with_head, dense("softmax"), {"output": "conv1"}, strongest_activation),
    "of a regression": (with_head, dense(None, 1), {}, lambda y: y[:, 0]),
    "of a box": (lambda _: several_outputs(), None, {"output": "box"}, lambda box: box[:, 2]),
    "of maps of logits": (segmenter, None, {}, summed_logits),
    "of stated probabilities": (with_head, dense(), {"activation": "softmax"}, top_two_margin),
}


@pytest.mark.parametrize("method", ["incremental", slow("full")])
@pytest.mark.parametrize("case", few(SCORES, 3))
def test_a_free_score(case, method):
    build, head, options, score = SCORES[case]
    model = build(head)
    result = kv.occlusion_sensitivity(model, IMAGE, score=score, method=method, **options, **QUICK)
    output = options.get("output")
    tensor = model.get_layer(output).output if output else model.output
    read = keras.Model(model.input, tensor)
    for place in np.ndindex(result.probability.shape):
        top, left, bottom, right = result.boxes[place]
        occluded = IMAGE.copy()
        occluded[top:bottom, left:right] = 127.5
        values = read.predict(occluded[None], verbose=0)
        values = softmax(values) if "activation" in options else values
        np.testing.assert_allclose(result.probability[place], score(values)[0], rtol=1e-4)
    name = score.__name__
    assert result.measure == ("score" if name == "<lambda>" else name)
    assert (result.class_index, result.base_label) == (-1, -1)
    assert result.drop.shape == result.probability.shape


def test_the_figures_of_a_free_score(tmp_path):
    model = with_head(dense("softmax"))
    result = kv.occlusion_sensitivity(model, IMAGE, score=top_two_margin, **QUICK)
    result.save(tmp_path / "score.npz")
    result = kv.analyses.OcclusionSensitivity.load(tmp_path / "score.npz")
    pixels = IMAGE.astype("uint8")
    panel = kv.figures.occlusion_panel(kv.figures.OcclusionRow(result, pixels))
    overlay = kv.figures.occlusion_overlay(result, pixels)
    for figure in (panel, overlay):
        words = " ".join(text.get_text() for text in figure.axes[0].texts)
        assert "top_two_margin" in words
        assert "class" not in words


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"class_index": 1}, "class_index=1"),
        ({"class_indices": [0]}, r"class_indices=\[0\]"),
        ({"score": lambda p: p}, "one number for each image"),
        ({"score": lambda p: ops.sum(p)}, "one number for each image"),
    ],
)
def test_a_free_score_knows_no_classes(settings, sentence):
    model = with_head(dense("softmax"))
    with pytest.raises(ValueError, match=sentence):
        kv.occlusion_sensitivity(model, IMAGE, **{"score": top_two_margin, **settings}, **QUICK)


def test_why_there_is_no_projection():
    """The reason is in the result and in the projection's place; rules are the remedy."""
    inputs = keras.Input((*SIZE, 3))
    x = layers.Conv2D(4, 3, activation="silu", name="smooth")(inputs)
    model = keras.Model(inputs, dense("softmax")(layers.GlobalAveragePooling2D()(x)))
    result = kv.occlusion_sensitivity(model, IMAGE, **QUICK)
    assert result.projection is None
    assert "'silu'" in result.projection_reason
    figure = kv.figures.occlusion_panel(kv.figures.OcclusionRow(result, IMAGE.astype("uint8")))
    words = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert "'silu'" in words
    rules = [(keras.activations.silu, kv.rules.Rectification)]
    projected = kv.occlusion_sensitivity(model, IMAGE, rules=rules, **QUICK)
    assert projected.projection_reason == ""
    expected = kv.DeconvModel(model, "smooth", rules=rules).project(
        IMAGE[None], kv.targets.WholeMap(projected.feature_index)
    )
    np.testing.assert_allclose(projected.projection, expected[0], rtol=1e-5)
