"""The deconvnet as a Keras model: crops, batches, dtypes, saving, and what it refuses."""

import functools

import keras
import numpy as np
import pytest
from keras import layers

import kerasvis as kv
from kerasvis.deconvnet.targets import Strongest, Unit, WholeMap
from tests.marks import few, slow

SIZE = (45, 38)


def images(number=3, size=SIZE):
    return np.random.default_rng(0).normal(size=(number, *size, 3)).astype("float32")


def convnet(size=SIZE, **options):
    """Two stages whose conv2 sees a small part of the image, and a classifier."""
    inputs = keras.Input((*size, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv1", **options)(inputs)
    x = layers.MaxPooling2D(3, 2, padding="same", name="pool1", **options)(x)
    x = layers.BatchNormalization(name="norm1", **options)(x)
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="conv2", **options)(x)
    x = layers.GlobalAveragePooling2D(name="pool", **options)(x)
    x = layers.Dense(5, activation="softmax", name="classes", **options)(x)
    return keras.Model(inputs, x, name="convnet")


@functools.cache
def shared_deconv(rectification="deconvnet"):
    """One for all tests that leave it as it is, since it is compiled for every new one."""
    return kv.DeconvModel(convnet(), "conv2", rectification)


def whole(deconv, pixels, features, positions):
    """The projections by one pass over whole images, without crops."""
    number = len(pixels)
    inputs = {
        "images": pixels,
        "feature": np.broadcast_to(np.asarray(features, "int32"), (number,)),
        "position": np.broadcast_to(np.asarray(positions, "int32"), (number, 2)),
    }
    return deconv.predict(inputs, verbose=0)


@pytest.mark.parametrize("rectification", few(["deconvnet", "guided", "gradient"], 1))
@pytest.mark.parametrize("position", [(0, 0), (11, 9), slow((22, 18)), slow((3, 18))])
def test_units_in_crops_are_those_of_whole_images(rectification, position):
    deconv = shared_deconv(rectification)
    parts, origins = deconv.project_units(images(), Unit([0, 2, 5], *position))
    assert np.prod(parts.shape[1:3]) < 0.2 * np.prod(SIZE)
    actual = deconv.project(images(), Unit([0, 2, 5], *position))
    expected = whole(deconv, images(), [0, 2, 5], position)["projection"]
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
    for part, (top, left), projection in zip(parts, origins, actual, strict=True):
        height, width = part.shape[:2]
        np.testing.assert_array_equal(part, projection[top : top + height, left : left + width])
        assert np.count_nonzero(part) == np.count_nonzero(projection)


def test_crops_with_a_mean_image():
    model = kv.convnets.ZFNet((96, 80, 3), 5, width=0.1, dense_units=8, normalization="batch")
    pixels = np.random.default_rng(0).uniform(0, 255, (3, 96, 80, 3)).astype("float32")
    model.get_layer("pixel_mean").adapt(pixels)
    deconv = kv.DeconvModel(model, "conv2")
    assert deconv.project_units(pixels, Unit(0, 0, 0))[0].shape[1] < 64
    for position in [(0, 0), (5, 7)]:
        actual = deconv.project(pixels, Unit(7, *position))
        expected = whole(deconv, pixels, 7, position)["projection"]
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_strongest_is_the_unit_that_locate_finds():
    deconv = shared_deconv()
    maps = np.asarray(kv.feature_extractor(deconv.convnet, ["conv2"])(images())[0])
    activations, positions = deconv.locate(images(), [0, 3, 5])
    for i, feature in enumerate([0, 3, 5]):
        expected = np.unravel_index(maps[i, ..., feature].argmax(), maps.shape[1:3])
        assert tuple(positions[i]) == expected
        np.testing.assert_allclose(activations[i], maps[i, ..., feature].max(), rtol=1e-5)
    np.testing.assert_allclose(
        deconv.project(images(), Strongest([0, 3, 5])),
        deconv.project(images(), Unit([0, 3, 5], *positions.T)),
    )
    outputs = whole(deconv, images(), [0, 3, 5], (-1, -1))
    np.testing.assert_array_equal(outputs["position"], positions)
    np.testing.assert_allclose(outputs["activation"], activations, rtol=1e-6)


@pytest.mark.parametrize("target", few([Unit(2, 3, 4), Strongest(2), WholeMap([0, 1, 2, 3, 4])], 1))
def test_batch_size_does_not_matter(target):
    deconv = shared_deconv()
    expected = deconv.project(images(5), target, batch_size=5)
    actual = deconv.project(images(5), target, batch_size=2)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("target", [Unit(2, 3, 4), Strongest(2), WholeMap([0, 1, 2, 3, 4])])
def test_uncompiled_projections_are_the_same(target):
    uncompiled = kv.DeconvModel(shared_deconv().convnet, "conv2")
    uncompiled.run_eagerly = True
    expected = shared_deconv().project(images(5), target)
    np.testing.assert_allclose(uncompiled.project(images(5), target), expected, 1e-5, 1e-6)


def test_uncompiled_units_of_one_image_by_several_rules():
    uncompiled = kv.DeconvModel(shared_deconv().convnet, "conv2")
    uncompiled.run_eagerly = True
    given = (("guided", "deconvnet"), images(1), Unit([0, 2, 5], [1, 7, 7], 4), [0, 0, 0])
    expected, _ = shared_deconv().project_units_by(*given)
    actual, _ = uncompiled.project_units_by(*given)
    for name, projections in expected.items():
        np.testing.assert_allclose(actual[name], projections, 1e-5, 1e-6)


def test_projection_scales_with_the_activation_that_starts_it():
    deconv = shared_deconv("gradient")
    _, ((row, column),) = deconv.locate(images(1), 2)
    projection = deconv.project(images(1), Unit(2, row, column))
    moved = images(1) + 1e-3 * np.sign(projection)
    maps = kv.feature_extractor(deconv.convnet, ["conv2"])
    before, after = (np.asarray(maps(x)[0])[0, row, column, 2] for x in (images(1), moved))
    predicted = 1e-3 * np.abs(projection).sum() / before  # projection = activation × gradient
    assert after - before == pytest.approx(predicted, rel=0.05)


def test_score_before_the_softmax_is_projected():
    model = convnet()
    deconv = kv.DeconvModel(model, "classes")
    outputs = whole(deconv, images(), 3, (0, 0))
    probabilities = np.asarray(model(images()))
    scores = np.stack([whole(deconv, images(), c, (0, 0))["activation"] for c in range(5)], axis=1)
    softmax = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax, probabilities, rtol=1e-5)
    np.testing.assert_allclose(deconv.project(images(), Unit(3)), outputs["projection"], rtol=1e-6)


def test_the_model_is_left_as_it_is(tmp_path):
    model = convnet()
    config, weights = model.get_config(), model.get_weights()
    nodes = [len(layer._inbound_nodes) for layer in model.layers]
    trainable = [weight.path for weight in model.trainable_weights]
    deconv = kv.DeconvModel(model, "conv2")
    deconv.summary(print_fn=lambda *_, **__: None)
    deconv.project(images(), Strongest(0))
    with pytest.raises(ValueError, match="Received: feature=9"):
        deconv.project(images(), Strongest(9))
    assert model.get_config() == config
    assert nodes == [len(layer._inbound_nodes) for layer in model.layers]
    assert trainable == [weight.path for weight in model.trainable_weights]
    for actual, expected in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_weights_are_shared():
    model = convnet()
    deconv = kv.DeconvModel(model, "conv1")
    before = deconv.project(images(1), Unit(0, 5, 5))
    model.get_layer("conv1").kernel.assign(2 * model.get_layer("conv1").kernel)
    # once in the activation, once in the filters in the backward projection
    np.testing.assert_allclose(deconv.project(images(1), Unit(0, 5, 5)), 4 * before, rtol=1e-5)


def test_summary_lists_the_mirrored_stack():
    lines = []
    kv.DeconvModel(convnet(), "conv2").summary(print_fn=lambda line, **_: lines.append(line))
    text = "\n".join(lines)
    names = [
        *("conv2_rectify (Rectification)", "conv2_filter", "norm1_scale", "pool1_unpool"),
        *("conv1_rectify", "conv1_filter"),
    ]
    places = [text.find(name) for name in names]
    assert -1 not in places
    assert places == sorted(places)
    assert "(None, 45, 38, 3)" in text
    assert "Total params: 0" in text


@pytest.mark.parametrize("size", [(45, 38), slow((31, 50))])
def test_images_of_any_size(size):
    anywhere, fixed = convnet((None, None)), convnet(size)
    fixed.set_weights(anywhere.get_weights())
    anywhere, fixed = kv.DeconvModel(anywhere, "conv2"), kv.DeconvModel(fixed, "conv2")
    for target in (Strongest(1), Unit(1, 9, 3), WholeMap(1)):
        np.testing.assert_allclose(
            anywhere.project(images(2, size), target),
            fixed.project(images(2, size), target),
            rtol=1e-5,
            atol=1e-6,
        )


@pytest.mark.parametrize("policy", few(["mixed_float16", "float16", "mixed_bfloat16"], 1))
def test_mixed_precision_projects_in_float32(policy):
    narrow, wide = convnet(dtype=policy), convnet()
    wide.set_weights(narrow.get_weights())
    unit = Unit(2, 8, 8)
    actual = kv.DeconvModel(narrow, "conv2").project(images(), unit)
    expected = kv.DeconvModel(wide, "conv2").project(images(), unit)
    assert actual.dtype == "float32"
    # Maxima that are close may swap in few bits; most pixels are as in float32.
    close = np.isclose(actual, expected, rtol=0.05, atol=0.02 * np.abs(expected).max())
    assert close.mean() > 0.98


def test_integer_pixels():
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Rescaling(1 / 255), layers.Conv2D(2, 3, name="conv")]
    )
    deconv = kv.DeconvModel(model, "conv")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), "uint8")
    np.testing.assert_array_equal(
        deconv.project(pixels, Strongest(1)), deconv.project(pixels.astype("float32"), Strongest(1))
    )


def test_saved_and_loaded(tmp_path):
    model = convnet()
    model.get_layer("norm1").moving_variance.assign([0.5, 2.0, 3.0, 4.0])
    deconv = kv.DeconvModel(model, "conv2", rectification="guided")
    expected = deconv.project(images(), Strongest(1))
    deconv.save(tmp_path / "deconvnet.keras")
    loaded = keras.saving.load_model(tmp_path / "deconvnet.keras", safe_mode=True)
    assert str(loaded.plan) == str(deconv.plan)
    np.testing.assert_array_equal(loaded.project(images(), Strongest(1)), expected)


@keras.saving.register_keras_serializable(package="tests")
def half(layer, signal, record):
    return 0.5 * signal


def test_rules_are_saved(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((9, 9, 3)),
            layers.Conv2D(3, 3, activation="silu"),
            layers.LayerNormalization(),
            layers.Conv2D(2, 3, name="conv"),
        ]
    )
    rules = [
        (keras.activations.silu, kv.rules.Rectification),
        (layers.LayerNormalization, half),
        ("LayerScale", kv.rules.PassUnchanged),
    ]
    deconv = kv.DeconvModel(model, "conv", rules=rules)
    expected = deconv.project(images(2, (9, 9)), Strongest(1))
    deconv.save(tmp_path / "deconvnet.keras")
    loaded = keras.saving.load_model(tmp_path / "deconvnet.keras", safe_mode=True)
    assert loaded.get_config()["rules"] == deconv.get_config()["rules"]
    np.testing.assert_array_equal(loaded.project(images(2, (9, 9)), Strongest(1)), expected)


@pytest.mark.slow
def test_switch_layers_in_the_model_itself():
    """A net that was trained with switch layers is mirrored as one with plain pooling."""

    def net(pool):
        inputs = keras.Input((9, 11, 3))
        maps = layers.Conv2D(4, 3, activation="relu", name="conv1")(inputs)
        pooled = pool(maps)
        return keras.Model(inputs, layers.Conv2D(2, 2, name="conv2")(pooled))

    def first(maps):
        return kv.layers.MaxPooling2DWithSwitches(3, 2, name="pool1")(maps)[0]

    recorded, plain = net(first), net(layers.MaxPooling2D(3, 2, name="pool1"))
    plain.set_weights(recorded.get_weights())
    np.testing.assert_array_equal(
        kv.DeconvModel(recorded, "conv2").project(images(2, (9, 11)), Strongest(1)),
        kv.DeconvModel(plain, "conv2").project(images(2, (9, 11)), Strongest(1)),
    )


def test_no_images():
    assert shared_deconv().project(images(0), Strongest(0)).shape == (0, 45, 38, 3)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (images()[0], "takes images (batch, 45, 38, 3): resize the images"),
        (images()[0], "Received: images of shape (45, 38, 3)"),
        (images(2, (45, 45)), "Received: images of shape (2, 45, 45, 3)"),
        (images()[..., :1], "put a single one into a batch of one, image[None]"),
        (np.array(["a"]), "Give images of numbers, as the model takes them. Received: images of d"),
    ],
)
def test_images_that_do_not_fit(wrong, sentence):
    deconv = shared_deconv()
    with pytest.raises(ValueError) as error:  # noqa: PT011
        deconv.project(wrong, Strongest(0))
    assert sentence in str(error.value)


def test_two_inputs():
    inputs = [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))]
    model = keras.Model(inputs, layers.Add(name="sum")(inputs))
    with pytest.raises(ValueError, match=r"has 2 inputs, .*, but one input of images was expected"):
        kv.DeconvModel(model, "sum")


@pytest.mark.parametrize("target", few([Strongest(2), WholeMap(1), Unit(0, 4, 5)], 1))
@pytest.mark.parametrize("number", [1, slow(3)])
def test_two_devices(two_devices, number, target):
    """Also with fewer images than devices."""
    with two_devices.scope():
        deconv = kv.DeconvModel(convnet(), "conv2")
    alone = kv.DeconvModel(convnet(), "conv2")
    alone.convnet.set_weights(deconv.convnet.get_weights())
    found = deconv.project(images(number), target)
    expected = alone.project(images(number), target)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
