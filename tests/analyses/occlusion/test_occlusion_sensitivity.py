"""Occlusion sensitivity against its definition: occlude, run the whole model, look."""

import re

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import kerasvis as kv
from kerasvis.analyses.occlusion.occlusion_sensitivity import (
    OcclusionAnalysis,
    OcclusionSensitivity,
    last_convolution,
)
from kerasvis.convnets.published_weights import (
    alexnet_trunk_from_published,
    read_arrays,
    squeezenet_from_published,
)
from kerasvis.data import ImageFolder, Preprocessing
from kerasvis.layers import PixelMean
from kerasvis.occlusion import Occluders, baseline_image
from tests.oracles.occluded_images import looked_at, occluded_images

SIZE = (33, 26)
WINDOWS = {"patch_size": (7, 5), "strides": (6, 4)}
SMALL = {"patch_size": 13, "strides": 13, "verbose": 0}  # six positions
METHODS = ["incremental", "full"]


def convnet(size=SIZE, channels=3, activation="relu", first=(), **options):
    """Overlapping pools, two branches, unequal strides and kernels; seven classes."""
    random = {"kernel_initializer": "he_normal", "bias_initializer": "random_normal"}
    inputs = x = keras.Input((*size, channels))
    for layer in first:
        x = layer(x)
    x = layers.Rescaling(1 / 127.5, -1)(x)
    x = layers.Conv2D(5, (3, 4), (2, 1), "same", activation=activation, name="conv1", **random)(x)
    x = layers.MaxPooling2D(3, 2, "same", name="pool1")(x)
    left = layers.Conv2D(3, 1, activation=activation, name="left", **random)(x)
    right = layers.Conv2D(3, 3, padding="same", activation=activation, name="right", **random)(x)
    x = layers.Concatenate(name="both")([left, right])
    x = layers.Conv2D(6, 3, activation=activation, name="conv2", **random)(x)
    x = layers.GlobalMaxPooling2D(name="pooled")(x)
    return keras.Model(inputs, layers.Dense(7, name="scores", **random, **options)(x), name="net")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return convnet()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3)).astype("float32")


@pytest.fixture(scope="module")
def result(model, images):
    return kv.occlusion_sensitivity(model, images[0], 4, **WINDOWS, verbose=0)


def softmax(scores):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def assert_is_defined(result, model, image, fill, tolerance=1e-5, to_probabilities=softmax):
    """Every number of a result, by occluding the image and running the whole model."""
    occluded = occluded_images(image, fill, result.patch_size, result.strides)
    scores, sums = looked_at(model, result.layer, occluded)
    base_scores, base_sums = (x[0, 0] for x in looked_at(model, result.layer, image[None, None]))
    expected, base = to_probabilities(scores), to_probabilities(base_scores)
    classes, feature = result.class_indices, result.feature_index
    assert classes[0] == result.class_index
    np.testing.assert_allclose(result.probabilities, expected[..., classes], atol=tolerance)
    np.testing.assert_allclose(result.base_probabilities, base[classes], atol=tolerance)
    np.testing.assert_array_equal(result.probability, result.probabilities[..., 0])
    tops = np.sort(expected, axis=-1)
    is_clear = tops[..., -1] - tops[..., -2] > 2 * tolerance
    assert is_clear.mean() > 0.9
    np.testing.assert_array_equal(result.label[is_clear], expected.argmax(axis=-1)[is_clear])
    assert result.base_label == base.argmax()
    scale = np.abs(base_sums).max()
    np.testing.assert_allclose(result.activity, sums[..., feature], atol=tolerance * scale)
    np.testing.assert_allclose(result.base_activity, base_sums[feature], atol=tolerance * scale)
    np.testing.assert_array_equal(result.boxes[..., :2], _corners(result, image.shape))
    return expected, base


def _corners(result, shape):
    rows, columns = result.probability.shape
    assert result.image_size == shape[:2]
    return [
        [(i * result.strides[0], j * result.strides[1]) for j in range(columns)]
        for i in range(rows)
    ]


@pytest.mark.parametrize("method", METHODS)
def test_definition(model, images, method):
    result = kv.occlusion_sensitivity(
        model, images[0], 4, **WINDOWS, method=method, batch_size=8, verbose=0
    )
    assert result.method == method
    assert result.probability.shape == (6, 7)  # rows from 0 to 30, columns from 0 to 24
    expected, base = assert_is_defined(result, model, images[0], np.float32(127.5) + 0 * images[0])
    assert expected.std(axis=(0, 1)).max() > 1e-2, "occluding changes something"
    # By default the last convolution, its strongest map, and the five most probable classes.
    assert result.layer == "conv2"
    (maps,) = kv.feature_extractor(model, ["conv2"])(images[:1])
    assert result.feature_index == np.max(maps, axis=(0, 1, 2)).argmax()
    others = [index for index in np.argsort(-base)[:5] if index != 4]
    assert result.class_indices.tolist() == [4, *others]


def test_shapes_and_dtypes(result):
    num_classes = len(result.class_indices)
    arrays = {
        "probability": ("float32", (6, 7)),
        "label": ("int64", (6, 7)),
        "class_indices": ("int64", (num_classes,)),
        "probabilities": ("float32", (6, 7, num_classes)),
        "activity": ("float32", (6, 7)),
        "projection": ("float32", (*SIZE, 3)),
        "base_probabilities": ("float32", (num_classes,)),
        "boxes": ("int32", (6, 7, 4)),
        "drop": ("float32", (6, 7)),
        "activity_drop": ("float32", (6, 7)),
    }
    for name, expected in arrays.items():
        array = getattr(result, name)
        assert (array.dtype.name, array.shape) == expected, name
    for name in ("class_index", "feature_index", "base_label"):
        assert type(getattr(result, name)) is int, name
    assert type(result.base_activity) is float
    assert (result.image_size, result.patch_size, result.strides) == (SIZE, (7, 5), (6, 4))


@pytest.mark.usefixtures("eager_functions")
@pytest.mark.parametrize("size", [(33, 26), (150, 140)])
def test_auto_takes_one_of_both(size):
    """In a larger image windows save more; the answer is the same."""
    model = convnet(size=(None, None))
    image = np.random.default_rng(0).uniform(0, 255, (*size, 3)).astype("float32")
    settings = {"patch_size": 5, "strides": 25, "verbose": 0}
    auto = kv.occlusion_sensitivity(model, image, 0, **settings)
    same = kv.occlusion_sensitivity(model, image, 0, **settings, method=auto.method)
    np.testing.assert_array_equal(auto.probabilities, same.probabilities)
    np.testing.assert_array_equal(auto.activity, same.activity)
    for method in METHODS:
        other = kv.occlusion_sensitivity(model, image, 0, **settings, method=method)
        np.testing.assert_allclose(auto.probabilities, other.probabilities, atol=1e-5)


@pytest.mark.usefixtures("eager_functions")
def test_auto_runs_the_whole_model_for_a_large_occluder(model, images):
    result = kv.occlusion_sensitivity(model, images[0], patch_size=SIZE, strides=1, verbose=0)
    assert result.method == "full"
    assert result.reason == "whole feature maps from 'conv1' on: windows would save nothing"
    assert result.probability.shape == (1, 1)


def test_drops(result):
    base = result.base_probabilities[0]
    assert result.base_probability == base
    for place in np.ndindex(result.drop.shape):
        assert result.drop[place] == base - result.probability[place]
        assert result.activity_drop[place] == (
            np.float32(result.base_activity) - result.activity[place]
        )
    assert result.activity_drop.max() > 0


def test_heat_map_is_that_of_the_occluders(result):
    heat = result.heat_map(result.drop)
    assert heat.shape == SIZE
    np.testing.assert_array_equal(heat, Occluders(SIZE, (7, 5), (6, 4)).heat_map(result.drop))
    assert heat[0, 0] == pytest.approx(result.drop[0, 0])
    assert heat[6, 0] == pytest.approx((result.drop[0, 0] + result.drop[1, 0]) / 2)


def assert_same(result, other):
    assert result == other
    for name in ("class_index", "layer", "base_label", "base_activity", "method", "reason"):
        assert getattr(result, name) == getattr(other, name)
        assert type(getattr(result, name)) is type(getattr(other, name)), name


def test_saved_and_loaded(result, tmp_path):
    result.save(tmp_path / "heat.npz")
    assert_same(OcclusionSensitivity.load(tmp_path / "heat.npz"), result)
    assert [file.name for file in tmp_path.iterdir()] == ["heat.npz"]


@pytest.fixture(scope="module")
def swish_model():
    keras.utils.set_random_seed(0)
    return convnet(activation="swish")


@pytest.mark.usefixtures("eager_functions")
def test_without_a_projection(swish_model, images, tmp_path):
    """The deconvnet has no rule for swish; all else is as for any model."""
    result = kv.occlusion_sensitivity(swish_model, images[0], 1, **WINDOWS, verbose=0)
    assert result.projection is None
    assert_is_defined(result, swish_model, images[0], np.full(images[0].shape, 127.5, "float32"))
    result.save(tmp_path / "heat.npz")
    loaded = OcclusionSensitivity.load(tmp_path / "heat.npz")
    assert loaded.projection is None
    assert_same(loaded, result)


@pytest.mark.usefixtures("eager_functions")
def test_one_position_one_class_saved_and_loaded(model, images, tmp_path):
    result = kv.occlusion_sensitivity(
        model,
        images[0],
        2,
        patch_size=26,
        strides=26,
        box=(0, 0, 26, 26),
        class_indices=[],
        verbose=0,
    )
    assert result.probabilities.shape == (1, 1, 1)
    result.save(tmp_path / "heat.npz")
    assert_same(OcclusionSensitivity.load(tmp_path / "heat.npz"), result)


def test_wrong_files(tmp_path):
    missing, other = tmp_path / "none.npz", tmp_path / "other.npz"
    np.savez(other, probability=np.zeros((2, 2)))
    sentences = [(missing, "There is no such file"), (other, "it has no 'occluders/image_size'")]
    for file, sentence in sentences:
        with pytest.raises(ValueError, match=f"{sentence}.* Received: filepath='{file}'$"):
            OcclusionSensitivity.load(file)


@pytest.mark.usefixtures("eager_functions")
@pytest.mark.parametrize(
    ("preprocessing", "order"), [("raw", [0, 1, 2]), ("caffe", [2, 1, 0]), (None, [0, 1, 2])]
)
def test_projection_is_that_of_the_whole_map(model, images, preprocessing, order):
    image = images[0] if preprocessing is None else Preprocessing(preprocessing).images(images[0])
    result = kv.occlusion_sensitivity(
        model,
        image,
        layer="right",
        feature=1,
        preprocessing=preprocessing,
        baseline="blur",
        **SMALL,
    )
    expected = kv.DeconvModel(model, "right").project(image[None], kv.targets.WholeMap(1))[0]
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(
        result.projection, expected[..., order], atol=1e-6 * np.abs(expected).max()
    )
    assert (result.layer, result.feature_index) == ("right", 1)


@pytest.mark.usefixtures("eager_functions")
def test_several_images_each_with_its_class(model, images):
    together = kv.occlusion_sensitivity(model, images, [5, 0, 3], **SMALL)
    assert [result.class_index for result in together] == [5, 0, 3]
    for image, class_index, result in zip(images, [5, 0, 3], together, strict=True):
        assert_same(result, kv.occlusion_sensitivity(model, image, class_index, **SMALL))


@pytest.mark.usefixtures("eager_functions")
@pytest.mark.parametrize("class_index", [2, np.int64(2), [2, 2, 2], np.array([2, 2, 2])])
def test_one_class_for_all(model, images, class_index):
    together = kv.occlusion_sensitivity(model, images, class_index, **SMALL)
    assert [result.class_index for result in together] == [2, 2, 2]
    assert [type(result.class_index) for result in together] == [int, int, int]


@pytest.mark.usefixtures("eager_functions")
def test_most_probable_class_by_default(model, images):
    for result in kv.occlusion_sensitivity(model, list(images), **SMALL):
        assert result.class_index == result.base_label == result.class_indices[0]
        assert result.base_probability == result.base_probabilities.max()


@pytest.mark.usefixtures("eager_functions")
def test_one_image_in_a_batch_makes_a_list(model, images):
    (result,) = kv.occlusion_sensitivity(model, images[:1], [1], **SMALL)
    assert_same(result, kv.occlusion_sensitivity(model, images[0], 1, **SMALL))


@pytest.mark.usefixtures("eager_functions")
def test_folder_of_photographs(model, images, tmp_path):
    for number, image in enumerate(images[:2]):
        Image.fromarray(image.astype("uint8")).save(tmp_path / f"{number}.png")
    found = kv.occlusion_sensitivity(model, ImageFolder(tmp_path, SIZE), [1, 6], **SMALL)
    for result, expected in zip(
        found, kv.occlusion_sensitivity(model, images[:2], [1, 6], **SMALL), strict=True
    ):
        assert_same(result, expected)


@pytest.mark.usefixtures("eager_functions")
def test_classes_asked_for(model, images):
    result = kv.occlusion_sensitivity(model, images[0], 3, class_indices=[6, 3, 6, 0], **SMALL)
    assert result.class_indices.tolist() == [3, 6, 0]
    assert_is_defined(result, model, images[0], np.full(images[0].shape, 127.5, "float32"))


@pytest.mark.usefixtures("eager_functions")
def test_box(model, images):
    box = (5, 3, 28, 24)
    settings = {"patch_size": (7, 5), "strides": (6, 4), "verbose": 0}
    result = kv.occlusion_sensitivity(model, images[0], 2, box=box, **settings)
    occluders = Occluders(SIZE, (7, 5), (6, 4), box)
    np.testing.assert_array_equal(result.boxes, occluders.boxes)
    occluded = np.tile(images[0], (*occluders.shape, 1, 1, 1))
    for place in np.ndindex(occluders.shape):
        top, left, bottom, right = occluders.boxes[place]
        occluded[place][top:bottom, left:right] = 127.5
    scores, _ = looked_at(model, "conv2", occluded)
    np.testing.assert_allclose(result.probability, softmax(scores)[..., 2], atol=1e-5)
    heat = result.heat_map(result.drop)
    assert np.isnan(heat[:5]).all()
    assert np.isnan(heat[28:]).all()
    assert np.isfinite(heat[5:28, 3:24]).all()


FILLS = {
    "grey": "grey",
    "blur": "blur",
    "noise": "noise",
    "number": 20,
    "colour": (200, 30, 90),
    "image": np.random.default_rng(5).uniform(0, 255, (*SIZE, 3)).astype("float32"),
}


@pytest.mark.usefixtures("eager_functions")
@pytest.mark.parametrize("fill", FILLS)
def test_fill(model, images, fill):
    result = kv.occlusion_sensitivity(
        model, images[0], 0, **WINDOWS, baseline=FILLS[fill], seed=7, verbose=0
    )
    expected = baseline_image(images[0], FILLS[fill], Preprocessing(), patch_size=(7, 5), seed=7)
    assert_is_defined(result, model, images[0], expected)


@pytest.mark.usefixtures("eager_functions")
def test_fill_by_the_mean_of_the_model(images):
    mean = PixelMean()
    model = convnet(first=[mean])
    mean.adapt(images)
    result = kv.occlusion_sensitivity(model, images[0], 0, **WINDOWS, baseline="mean", verbose=0)
    assert_is_defined(result, model, images[0], images.mean(axis=0))


@pytest.mark.usefixtures("eager_functions")
def test_fill_by_the_mean_of_the_preprocessing(model, images):
    image = Preprocessing("torch").images(images[0])
    settings = {"preprocessing": "torch", "baseline": "mean", "verbose": 0}
    result = kv.occlusion_sensitivity(model, image, 0, **WINDOWS, **settings)
    assert_is_defined(result, model, image, np.zeros_like(image))


@pytest.mark.usefixtures("eager_functions")
@pytest.mark.parametrize("method", METHODS)
def test_probabilities_by_sigmoid(model, images, method):
    result = kv.occlusion_sensitivity(
        model, images[0], 0, **WINDOWS, method=method, activation="sigmoid", verbose=0
    )
    fill = np.full(images[0].shape, 127.5, "float32")
    assert_is_defined(
        result, model, images[0], fill, to_probabilities=lambda x: 1 / (1 + np.exp(-x))
    )


@pytest.mark.usefixtures("eager_functions")
def test_model_of_probabilities(images):
    model = convnet(activation="relu")
    inputs, scores = model.input, model.output
    model = keras.Model(inputs, layers.Activation("softmax")(scores))
    result = kv.occlusion_sensitivity(model, images[0], 0, **WINDOWS, verbose=0)
    fill = np.full(images[0].shape, 127.5, "float32")
    assert_is_defined(result, model, images[0], fill, to_probabilities=lambda x: x)


@pytest.mark.usefixtures("eager_functions")
@pytest.mark.parametrize("method", METHODS)
def test_images_of_one_channel(method):
    model = convnet(channels=1)
    image = np.random.default_rng(0).uniform(0, 255, (*SIZE, 1)).astype("float32")
    result = kv.occlusion_sensitivity(model, image, 0, **WINDOWS, method=method, verbose=0)
    assert_is_defined(result, model, image, np.full(image.shape, 127.5, "float32"))
    assert result.projection.shape == (*SIZE, 1)


@pytest.mark.usefixtures("eager_functions")
@pytest.mark.parametrize("method", METHODS)
def test_model_of_images_of_any_size(method):
    model = convnet(size=(None, None))
    rng = np.random.default_rng(0)
    for size in (SIZE, (24, 31)):
        image = rng.uniform(0, 255, (*size, 3)).astype("float32")
        result = kv.occlusion_sensitivity(model, image, 0, **WINDOWS, method=method, verbose=0)
        assert_is_defined(result, model, image, np.full(image.shape, 127.5, "float32"))
        assert result.projection.shape == image.shape


@pytest.mark.usefixtures("eager_functions")
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("mixed_float16", 5e-3), ("mixed_bfloat16", 4e-2)]
)
def test_mixed_precision(images, dtype, tolerance):
    """Rounding differs with the order of sums: by a few units of the last of 11 or 8 bits."""
    keras.config.set_dtype_policy(dtype)
    try:
        model = convnet()
    finally:
        keras.config.set_dtype_policy("float32")
    results = [
        kv.occlusion_sensitivity(model, images[0], 0, **WINDOWS, method=method, verbose=0)
        for method in METHODS
    ]
    for result in results:
        assert result.probability.dtype == np.float32
        occluded = occluded_images(images[0], np.full_like(images[0], 127.5), (7, 5), (6, 4))
        scores, sums = looked_at(model, "conv2", occluded)
        expected = softmax(scores.astype("float32"))[..., result.class_indices]
        np.testing.assert_allclose(result.probabilities, expected, atol=tolerance)
        activity = sums[..., result.feature_index]
        np.testing.assert_allclose(
            result.activity, activity, atol=tolerance * np.abs(activity).max()
        )


@pytest.mark.usefixtures("eager_functions")
def test_analysis_made_once_is_that_of_each_image(model, images):
    analysis = OcclusionAnalysis(model, SIZE, **SMALL)
    for image in images[:2]:
        assert_same(analysis(image, 3), kv.occlusion_sensitivity(model, image, 3, **SMALL))


@pytest.mark.usefixtures("eager_functions")
def test_another_fill_of_the_same_analysis(model, images):
    analysis = OcclusionAnalysis(model, SIZE, **SMALL)
    other = analysis.with_baseline("noise", seed=3)
    expected = kv.occlusion_sensitivity(model, images[0], 1, baseline="noise", seed=3, **SMALL)
    assert_same(other(images[0], 1), expected)
    assert_same(analysis(images[0], 1), kv.occlusion_sensitivity(model, images[0], 1, **SMALL))
    with pytest.raises(ValueError, match=r"^Give 'grey', .* Received: baseline='black'"):
        analysis.with_baseline("black")


@pytest.mark.slow
def test_two_replicas_are_one(model, images, two_devices):
    settings = SMALL | {"strides": 6, "batch_size": 4, "class_indices": [1, 2]}
    with two_devices.scope():
        copied = convnet()
        copied.set_weights(model.get_weights())
        on_two = kv.occlusion_sensitivity(copied, images[0], 0, **settings)
    assert_same(on_two, kv.occlusion_sensitivity(model, images[0], 0, **settings))


@pytest.mark.usefixtures("eager_functions")
def test_model_and_image_are_left_as_they_are(model, images):
    weights, config, before = model.get_weights(), model.get_config(), images.copy()
    kv.occlusion_sensitivity(model, images, 0, **SMALL)
    assert model.get_config() == config
    np.testing.assert_array_equal(images, before)
    for weight, was in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, was)


def test_last_convolution():
    assert last_convolution(convnet()) == "conv2"
    inputs = keras.Input((9, 9, 3))
    x = layers.Conv2D(2, 3, name="first")(inputs)
    x = layers.SeparableConv2D(4, 3, name="second")(x)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    assert last_convolution(keras.Model(inputs, x)) == "second"


def without_convolution():
    inputs = keras.Input((*SIZE, 3))
    return keras.Model(inputs, layers.Dense(4)(layers.Flatten()(inputs)), name="dense")


PAIR = "Give an integer number of pixels, 1 or more, or a pair (rows, columns)."


def ramp(low, high, shape=(*SIZE, 3)):
    return np.linspace(low, high, np.prod(shape)).reshape(shape)


IMAGE = ramp(0, 255)
WITH_NAN = IMAGE.copy()
WITH_NAN[3, 4, 1] = np.nan
ERRORS = {
    "occluder": (
        {"patch_size": 30},
        "The occluder of 30×30 pixels is larger than the image of 33×26: give a smaller one. "
        "Received: patch_size=(30, 30)",
    ),
    "stride": ({"strides": 0}, f"{PAIR} Received: strides=0"),
    "box": (
        {"box": (0, 0, 34, 26)},
        "Give (top, left, bottom, right) in pixels, inside the image of 33×26. Received: "
        "box=(0, 0, 34, 26)",
    ),
    "class": (
        {"class_index": 7},
        "The model has 7 classes: give a number from 0 to 6. Received: class_index=7",
    ),
    "negative class": (
        {"class_index": -1},
        "The model has 7 classes: give a number from 0 to 6. Received: class_index=-1",
    ),
    "class of no number": (
        {"class_index": 1.5},
        "The model has 7 classes: give a number from 0 to 6. Received: class_index=1.5",
    ),
    "class asked for": (
        {"class_indices": [0, 9]},
        "The model has 7 classes: give a number from 0 to 6. Received: class_index=9",
    ),
    "classes": (
        {"image": IMAGE[None], "class_index": [1, 2]},
        "Give one class for all images, or one for each. Received: 2 classes for 1 image",
    ),
    "no image": ({"image": np.zeros((0, *SIZE, 3))}, "Give at least one image, as an array"),
    "dense layer": (
        {"layer": "scores"},
        "Layer 'scores' returns (None, 7), which has no rows and columns: give a layer of feature "
        "maps, such as a convolution. Received: layer='scores'",
    ),
    "unknown layer": (
        {"layer": "conv3"},
        "The model has no layer 'conv3': did you mean conv2 or conv1? Received: layer='conv3'",
    ),
    "feature": (
        {"feature": 6},
        "Layer 'conv2' has 6 feature maps: give 0 to 5. Received: feature=6",
    ),
    "feature of no number": (
        {"feature": 1.5},
        "Layer 'conv2' has 6 feature maps: give 0 to 5. Received: feature=1.5",
    ),
    "size": (
        {"image": ramp(0, 255, (26, 33, 3))},
        "The model 'net' takes images (batch, 33, 26, 3): resize the images",
    ),
    "channels": (
        {"image": IMAGE[..., :1]},
        "The model 'net' takes images (batch, 33, 26, 3): resize the images",
    ),
    "axes": (
        {"image": IMAGE[..., 0]},
        "Received: images of shape (33, 26)",
    ),
    "too many axes": (
        {"image": IMAGE[None, None]},
        "Received: images of shape (1, 1, 33, 26, 3)",
    ),
    "scaled image": (
        {"image": IMAGE / 255, "preprocessing": "raw"},
        "range from 0 to 1, ",
    ),
    "centred image": (
        {"image": IMAGE - 128, "preprocessing": "raw"},
        "range from -128 to 127, ",
    ),
    "other preprocessing": (
        {"preprocessing": "tf"},
        "range from 0 to 255, but this preprocessing of pixels makes values from -1 to 1",
    ),
    "NaN": ({"image": WITH_NAN}, "The image contains NaN or infinity: correct it."),
    "fill": (
        {"baseline": "mean"},
        "Neither the model nor its preprocessing contains the mean of a data set: give it as a "
        "colour or an image. Received: baseline='mean'",
    ),
    "fill of unknown units": (
        {"image": IMAGE - 128},
        "How the image was made from pixels is not known: give preprocessing, or baseline as a "
        "number or a colour in units of the image. Received: baseline='grey'",
    ),
    "fill of another size": (
        {"baseline": np.zeros((5, 5, 3))},
        "baseline is neither a finite number, nor a colour of 3 channels, nor an image of "
        "33×26×3 values: give one of these. Received: baseline=array([[[0., 0., 0.]",
    ),
    "preprocessing": (
        {"preprocessing": "vgg"},
        "preprocessing='vgg'",
    ),
    "method": ({"method": "fast"}, "Give 'auto', 'incremental' or 'full'. Received: method='fast'"),
    "activation": (
        {"activation": "relu"},
        "There is no such activation: give 'auto', 'linear', 'softmax', 'sigmoid', 'exponential'. "
        "Received: activation='relu'",
    ),
    "batch size": ({"batch_size": 0}, "Give 1 or more, or None. Received: batch_size=0"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error(model, case):
    settings, sentence = ERRORS[case]
    with pytest.raises(ValueError, match=re.escape(sentence)):
        kv.occlusion_sensitivity(model, **{"image": IMAGE, **SMALL, **settings})


@pytest.mark.usefixtures("eager_functions")
def test_second_image_of_another_size(model):
    with pytest.raises(ValueError, match=r"\(33, 26, 3\), image 1 of shape \(20, 26, 3\)"):
        kv.occlusion_sensitivity(model, [IMAGE, ramp(0, 255, (20, 26, 3))], **SMALL)


def test_model_without_a_convolution(tmp_path):
    """All but the feature map."""
    model = without_convolution()
    result = kv.occlusion_sensitivity(model, IMAGE, 1, **SMALL)
    assert (result.layer, result.feature_index, result.activity) == ("", -1, None)
    assert result.activity_drop is None
    assert "no convolution layer" in result.projection_reason
    occluded = occluded_images(IMAGE, np.full_like(IMAGE, 127.5), (13, 13), (13, 13))
    scores = model.predict(occluded.reshape(-1, *IMAGE.shape), verbose=0)
    expected = softmax(scores)[:, 1].reshape(result.probability.shape)
    np.testing.assert_allclose(result.probability, expected, atol=1e-5)
    result.save(tmp_path / "heat.npz")
    assert OcclusionSensitivity.load(tmp_path / "heat.npz") == result


class Subclassed(keras.Model):
    """Has no graph of layers."""

    def __init__(self):
        super().__init__(name="subclassed")
        self.conv = layers.Conv2D(4, 5, 2, activation="relu")
        self.head = layers.Dense(3)

    def call(self, images):
        return self.head(keras.ops.max(self.conv(images / 255), axis=(1, 2)))


@pytest.mark.usefixtures("eager_functions")
@pytest.mark.parametrize("is_built", [True, False])
def test_subclassed_model(is_built):
    model = Subclassed()
    if is_built:
        model(np.zeros((1, *SIZE, 3), "float32"))
    result = kv.occlusion_sensitivity(model, IMAGE, 1, **SMALL)
    assert (result.method, result.activity) == ("full", None)
    expected = softmax(model.predict(IMAGE[None], verbose=0))[0, 1]
    np.testing.assert_allclose(result.base_probability, expected, atol=1e-6)
    assert result.drop.std() > 0


def with_weights_of(value):
    model = convnet()
    layer = model.get_layer("scores")
    layer.set_weights([np.full_like(weight, value) for weight in layer.get_weights()])
    return model


@pytest.mark.usefixtures("eager_functions")
def test_model_that_gives_nan_for_the_image():
    sentence = (
        "The model returns NaN or infinity for the unoccluded image: check the range of the image "
        "and the model's weights."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        kv.occlusion_sensitivity(with_weights_of(np.nan), IMAGE, **SMALL)


def test_model_that_gives_nan_for_an_occluded_image():
    """Where the occluder's infinity less infinity comes out."""
    inputs = keras.Input((*SIZE, 3))
    x = layers.Conv2D(2, 3, name="conv")(inputs)
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
    sentence = (
        "With the occluder at (top, left, bottom, right) = (0, 0, 13, 13) the model returns NaN or "
        "infinity: check the range of the image, the baseline and the weights."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        kv.occlusion_sensitivity(model, IMAGE, baseline=3e38, **SMALL)


MIDDLE = (64, 64, 192, 192)  # nine positions


def photograph(folder, name, size):
    """The middle of a photograph, RGB in [0, 255]."""
    with Image.open(folder / "imagenet-samples/images" / name) as opened:
        left, top = (opened.width - size) // 2, (opened.height - size) // 2
        middle = opened.convert("RGB").crop((left, top, left + size, top + size))
        return np.asarray(middle, "float32")


def assert_both_methods_agree(model, image, class_index, **settings):
    incremental, full = (
        kv.occlusion_sensitivity(
            model, image, class_index, **settings, method=method, batch_size=16, verbose=0
        )
        for method in METHODS
    )
    assert incremental.method == "incremental"
    np.testing.assert_allclose(incremental.probabilities, full.probabilities, atol=1e-5)
    np.testing.assert_array_equal(incremental.class_indices, full.class_indices)
    scale = abs(full.base_activity)
    np.testing.assert_allclose(incremental.activity, full.activity, atol=1e-5 * scale)
    differs = incremental.label != full.label
    if differs.any():  # between two classes that tie
        asked = full.probabilities[differs]
        tops = np.sort(asked, axis=-1)[:, -2:]
        assert (tops[:, 1] - tops[:, 0] <= 2e-5).all()
    assert full.drop.max() > 0.02, "the photograph matters"
    return full


@pytest.mark.slow
def test_squeezenet_on_a_photograph(shared_data):
    arrays = read_arrays(shared_data / "squeezenet-v1.1/squeezenet_v1_1.npz")
    image = photograph(shared_data, "n02123045_tabby.jpg", 227)
    tabby = 281
    result = assert_both_methods_agree(
        squeezenet_from_published(arrays), image, tabby, patch_size=32, strides=48, box=MIDDLE
    )
    assert result.layer == "conv10"
    assert len(result.class_indices) == 5, "the tabby is among the five most probable"
    assert result.projection.shape == (227, 227, 3)
    assert np.abs(result.projection).max() > 0


@pytest.mark.slow
def test_alexnet_trunk_with_a_random_head_on_a_photograph(shared_data):
    filepath = shared_data / "alexnet-imagenet-conv/alexnet_torchvision_conv.npz"
    trunk = alexnet_trunk_from_published(read_arrays(filepath))
    x = layers.Flatten()(trunk.output)
    scores = layers.Dense(10, kernel_initializer=keras.initializers.RandomNormal(0, 0.005, 0))(x)
    image = photograph(shared_data, "n01855672_goose.jpg", 224)
    model = keras.Model(trunk.input, scores)
    result = assert_both_methods_agree(model, image, None, patch_size=32, strides=48, box=MIDDLE)
    assert result.layer == "conv5"
