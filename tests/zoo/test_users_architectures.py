"""Nets as users build them: each is projected, scanned and occluded as by the plain way."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasvis as kv
from tests.marks import slow
from tests.oracles import modified_gradient
from tests.oracles.lively_models import make_lively
from tests.zoo import checks

SIZE = (33, 26)
SHAPE = (*SIZE, 3)


def convolution(filters, **arguments):
    return layers.Conv2D(filters, 3, padding="same", activation="relu", **arguments)


def classified(inputs, maps):
    x = layers.GlobalAveragePooling2D(name="pooled")(maps)
    return keras.Model(inputs, layers.Dense(4, activation="softmax", name="scores")(x))


def u_net():
    """Down by pooling, up by transposed convolutions and interpolation, joined at each level."""
    inputs = keras.Input((32, 24, 3))
    first = convolution(4, name="down1")(inputs)
    second = convolution(6, name="down2")(layers.MaxPooling2D()(first))
    x = convolution(8, name="bottom")(layers.MaxPooling2D()(second))
    x = layers.Conv2DTranspose(6, 2, strides=2, activation="relu")(x)
    x = convolution(6, name="up2")(layers.Concatenate()([x, second]))
    x = layers.UpSampling2D(interpolation="bilinear")(x)
    x = convolution(4, name="up1")(layers.Concatenate()([x, first]))
    return keras.Model(inputs, layers.Conv2D(3, 1, activation="softmax", name="classes")(x))


def squeeze_and_excite():
    """Every gate is written differently."""
    inputs = keras.Input(SHAPE)
    x = convolution(6, name="conv1")(inputs)
    gate = layers.GlobalAveragePooling2D()(x)
    gate = layers.Dense(6, activation="sigmoid")(layers.Dense(2, activation="relu")(gate))
    x = layers.Multiply(name="gated1")([layers.Reshape((1, 1, 6))(gate), x])
    x = convolution(8, strides=2, name="conv2")(x)
    gate = ops.mean(x, axis=(1, 2), keepdims=True)
    gate = layers.Conv2D(8, 1, activation="hard_sigmoid", name="gate2")(gate)
    x = x * gate
    spatial = layers.Conv2D(1, 5, padding="same", activation="sigmoid", name="where")(x)
    x = convolution(8, name="conv3")(layers.Multiply(name="gated2")([x, spatial]))
    return classified(inputs, x)


def at_several_sizes():
    """One convolution and one model, called on three sizes of the image."""
    inputs = keras.Input((32, 24, 3))
    shared = convolution(5, name="shared")
    tower_inputs = keras.Input((None, None, 5))
    tower = keras.Model(
        tower_inputs,
        convolution(5, name="inner")(layers.MaxPooling2D()(tower_inputs)),
        name="tower",
    )
    x = inputs
    levels = []
    for _ in range(3):
        levels.append(tower(shared(x)))
        x = layers.AveragePooling2D(2)(x)
    x = layers.Add(name="sum")([layers.GlobalMaxPooling2D(keepdims=True)(y) for y in levels])
    return classified(inputs, layers.Add(name="joined")([levels[-1], x]))


def siamese():
    """The same tower over two halves of the image; their difference is classified."""
    inputs = keras.Input((20, 32, 3))
    half = keras.Input((20, 16, 3))
    tower = keras.Model(
        half,
        convolution(5, name="b")(layers.MaxPooling2D()(convolution(4, name="a")(half))),
        name="tower",
    )
    left, right = tower(inputs[:, :, :16]), tower(inputs[:, :, 16:])
    x = layers.Subtract(name="difference")([left, right])
    return classified(inputs, convolution(5, name="top")(x))


def dilated():
    inputs = x = keras.Input(SHAPE)
    for rate in (1, 2, 3):
        x = convolution(5, dilation_rate=rate, name=f"rate{rate}")(x)
    return classified(inputs, x)


def stochastic_depth():
    """Whole branches are dropped in training, by a layer with a state of its own."""
    inputs = keras.Input(SHAPE)
    x = convolution(6, name="stem")(inputs)
    for number in range(2):
        branch = layers.Dropout(0.3, noise_shape=(None, 1, 1, 1))(convolution(6)(x))
        x = layers.Add(name=f"block{number}")([x, branch])
    return classified(inputs, x)


def nested_three_deep():
    """A model in a model in a model, each with layers before and after."""
    x = inputs = keras.Input(SHAPE)
    model = None
    for depth in range(3):
        inside = keras.Input(SHAPE)
        x = convolution(3, name=f"before{depth}")(inside)
        x = layers.Add()([x, inside])
        x = x if model is None else model(x)
        model = keras.Model(inside, convolution(3, name=f"after{depth}")(x), name=f"depth{depth}")
    return classified(inputs, model(inputs))


def sequential_in_functional():
    inner = keras.Sequential(
        [keras.Input(SHAPE), convolution(4, name="a"), layers.BatchNormalization(), layers.ReLU()],
        name="stack",
    )
    middle_inputs = keras.Input(SHAPE)
    middle = keras.Model(
        middle_inputs, convolution(5, name="b")(inner(middle_inputs)), name="middle"
    )
    inputs = keras.Input(SHAPE)
    return classified(inputs, convolution(6, name="c")(middle(inputs)))


def transformer_head():
    """A transformer block on the feature maps of a convnet, with position embeddings."""
    inputs = keras.Input(SHAPE)
    x = layers.MaxPooling2D(3)(convolution(8, strides=2, name="conv")(inputs))
    rows, columns = x.shape[1:3]
    x = layers.Reshape((rows * columns, 8))(x)
    x = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4, name="attention")(x, x)])
    mlp = layers.Dense(8)(layers.Dense(16, activation="gelu")(layers.LayerNormalization()(x)))
    x = layers.GlobalAveragePooling1D()(layers.Add()([x, mlp]))
    return keras.Model(inputs, layers.Dense(4, activation="softmax", name="scores")(x))


def patch_embedding():
    """The first layer cuts the image into patches, as in ConvNeXt and ViT."""
    inputs = keras.Input((32, 24, 3))
    x = layers.Conv2D(12, 4, strides=4, name="patches")(inputs)
    x = convolution(8, name="conv")(x)
    return classified(inputs, x)


def wide_images():
    inputs = keras.Input((32, 500, 1))
    x = layers.MaxPooling2D((2, 4))(convolution(4, name="conv1")(inputs))
    x = layers.MaxPooling2D((2, 5), strides=(2, 3))(convolution(6, name="conv2")(x))
    return classified(inputs, convolution(6, name="conv3")(x))


def resizing():
    inputs = keras.Input(SHAPE)
    x = layers.Resizing(24, 20)(layers.Rescaling(1 / 127.5, -1)(inputs))
    x = convolution(5, name="conv1")(x)
    x = ops.image.resize(x, (11, 17), interpolation="bilinear")
    return classified(inputs, convolution(5, name="conv2")(x))


# By name: `(build, layers, rules)`.
MODELS = {
    "U-Net": (u_net, ["down2", "bottom", "up1"], ()),
    "squeeze and excite": (squeeze_and_excite, ["gated1", "gated2", "conv3", "scores"], "relaxed"),
    "several sizes": (at_several_sizes, ["shared:3", "tower/inner:2", "joined", "scores"], ()),
    "siamese": (siamese, ["tower/b", "tower/b:2", "top", "scores"], ()),
    "dilated": (dilated, ["rate3", "scores"], ()),
    "stochastic depth": (stochastic_depth, ["block1", "scores"], ()),
    "nested three deep": (
        nested_three_deep,
        ["depth2/depth1/depth0/after0", "depth2/before2", "scores"],
        (),
    ),
    "Sequential in Functional": (
        sequential_in_functional,
        ["middle/stack/a", "middle/b", "scores"],
        (),
    ),
    "transformer head": (transformer_head, ["conv", "scores"], "relaxed"),
    "patch embedding": (patch_embedding, ["patches", "conv", "scores"], ()),
    "wide images": (wide_images, ["conv2", "conv3", "scores"], ()),
    "resizing": (resizing, ["conv2", "scores"], ()),
}
# `make test` has the uppermost layer of each alone.
CASES = [
    (name, layer) if layer == names[-1] else slow(name, layer)
    for name, (_, names, _) in MODELS.items()
    for layer in names
]


def lively(name):
    keras.utils.set_random_seed(0)
    model = MODELS[name][0]()
    return model, make_lively(model, np.random.default_rng(0))


@pytest.mark.parametrize(("name", "layer"), CASES)
def test_projection(name, layer):
    model, images = lively(name)
    rules = MODELS[name][2]
    assert checks.difference_of_projection(model, layer, images, rules) <= checks.TOLERANCE


@pytest.mark.parametrize("name", ["U-Net", *map(slow, [x for x in MODELS if x != "U-Net"])])
def test_scan(name):
    model, images = lively(name)
    checks.assert_scans_like_predict(model, MODELS[name][1], images)


CLASSIFIERS = [name for name in MODELS if name != "U-Net"]


@pytest.mark.parametrize("name", [*CLASSIFIERS[:2], *map(slow, CLASSIFIERS[2:])])
def test_occlusion(name):
    model, images = lively(name)
    layer = [x for x in MODELS[name][1] if x != "scores"][-1]
    checks.assert_occludes_like_the_whole_model(model, layer, images[0], (7, 9), (11, 40))


def test_occlusion_of_segmentation():
    """A region of the map of classes is the score."""
    model, _ = lively("U-Net")
    pixels = np.random.default_rng(0).uniform(0, 255, model.input_shape[1:]).astype("float32")
    settings = {"class_index": 1, "layer": "bottom", "region": (4, 6, 20, 18)}
    settings |= {"patch_size": 8, "strides": 8, "preprocessing": "raw"}
    found = kv.occlusion_sensitivity(model, pixels, **settings)
    full = kv.occlusion_sensitivity(model, pixels, **settings, method="full")
    np.testing.assert_allclose(found.probabilities, full.probabilities, atol=1e-5)


def open_sizes():
    inputs = keras.Input((None, None, 3))
    x = convolution(4, name="conv1")(layers.Rescaling(1 / 255)(inputs))
    x = convolution(6, strides=2, name="conv2")(layers.MaxPooling2D(3, 2)(x))
    return classified(inputs, x)


@pytest.mark.parametrize("size", [slow((20, 31)), (17, 64)])
@pytest.mark.parametrize("layer", [slow("conv2"), "scores"])
def test_open_sizes(size, layer):
    keras.utils.set_random_seed(0)
    model = open_sizes()
    images = make_lively(model, np.random.default_rng(0), size=size)
    assert checks.difference_of_projection(model, layer, images) <= checks.TOLERANCE
    checks.assert_scans_like_predict(model, ["conv2", "scores"], images)
    checks.assert_occludes_like_the_whole_model(model, "conv2", images[0], (6, 7), (5, 9))


def test_float64():
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        keras.utils.set_random_seed(0)
        model = dilated()
        images = make_lively(model, np.random.default_rng(0)).astype("float64")
        expected = modified_gradient.project(model, "rate3", images, 1, 5, 7)
        deconv = kv.DeconvModel(model, "rate3")
        actual = deconv.project(images, kv.targets.Unit(1, 5, 7))
        assert modified_gradient.relative_difference(actual, expected) <= 1e-6
        checks.assert_scans_like_predict(model, ["rate2", "scores"], images)
    finally:
        keras.config.set_floatx(before)


def test_mixed_bfloat16():
    """Gates and smooth activations too; nearly what they are in float32."""
    keras.utils.set_random_seed(0)
    wide = squeeze_and_excite()
    images = make_lively(wide, np.random.default_rng(0))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        narrow = squeeze_and_excite()
    finally:
        keras.config.set_dtype_policy(before)
    narrow.set_weights(wide.get_weights())
    target = kv.targets.WholeMap(1)
    actual = kv.DeconvModel(narrow, "conv3", rules="relaxed").project(images, target)
    expected = kv.DeconvModel(wide, "conv3", rules="relaxed").project(images, target)
    assert actual.dtype == "float32"
    cosine = (actual * expected).sum() / np.linalg.norm(actual) / np.linalg.norm(expected)
    assert cosine > 0.99


def test_several_outputs():
    """Each head is scored and projected by its name."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SHAPE)
    x = convolution(5, name="conv")(inputs)
    pooled = layers.GlobalAveragePooling2D()(x)
    heads = {name: layers.Dense(3, name=name)(pooled) for name in ("kind", "colour")}
    model = keras.Model(inputs, heads)
    images = make_lively(model, np.random.default_rng(0))
    for layer in ("kind", "colour", "conv"):
        assert checks.difference_of_projection(model, layer, images) <= checks.TOLERANCE
    checks.assert_scans_like_predict(model, ["kind", "colour", "conv"], images)


def test_two_inputs_are_refused_in_a_sentence_that_says_what_to_do():
    """What the sentence says is done: the other input is given a value once."""
    images, numbers = keras.Input(SHAPE, name="images"), keras.Input((2,), name="numbers")
    x = convolution(4, name="conv")(images)
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), numbers])
    model = keras.Model([images, numbers], layers.Dense(3, name="scores")(x))
    with pytest.raises(ValueError, match="one input of images was expected"):
        kv.DeconvModel(model, "scores")


@pytest.mark.slow
def test_filters_of_a_patch_embedding_are_diagnosed_and_drawn():
    model, _ = lively("patch embedding")
    images = np.random.default_rng(1).uniform(0, 255, (50, 32, 24, 3)).astype("float32")
    diagnosis = kv.diagnose_filters(
        model, images, first_layer="patches", preprocessing="raw", verbose=0
    )
    figure = kv.figures.filter_diagnosis_grid(diagnosis)
    assert figure.axes
