import re

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import kerasvis as kv
from kerasvis.analyses import FilterDiagnosis, diagnose_filters, filter_findings
from kerasvis.analyses.filters.aliasing import aliasing
from kerasvis.analyses.filters.filter_duplicates import earlier_twins
from kerasvis.analyses.filters.filter_spectra import filter_spectra
from kerasvis.data import ImageFolder, Preprocessing
from tests.marks import slow

SIZE = (47, 40)
NUM_IMAGES = 60
NEVER = -1e6  # a bias that no activation overcomes


def make_model(size=SIZE, channels=3, strides=(2, 1), name="net"):
    """Two maps of conv1 (1, 4) and one of conv3 (0) are never active; conv2 is rectified later."""
    keras.utils.set_random_seed(0)
    random = {"kernel_initializer": "he_normal", "bias_initializer": "random_normal"}
    inputs = keras.Input((*size, channels))
    x = layers.Conv2D(6, (5, 4), strides, activation="relu", name="conv1", **random)(inputs)
    x = layers.MaxPooling2D(2, name="pool1")(x)
    x = layers.Conv2D(8, 3, name="conv2", **random)(x)
    x = layers.ReLU(name="relu2")(layers.BatchNormalization(name="norm2")(x))
    x = layers.Conv2D(4, 3, activation="relu", name="conv3", **random)(x)
    x = layers.Conv2D(3, 1, name="linear", **random)(x)
    model = keras.Model(inputs, layers.Dense(2, name="fc")(layers.Flatten()(x)), name=name)
    for layer, maps in (("conv1", [1, 4]), ("conv3", [0])):
        kernel, bias = model.get_layer(layer).get_weights()
        bias[maps] = NEVER
        model.get_layer(layer).set_weights([kernel, bias])
    return model


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def images():
    pixels = np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, *SIZE, 3))
    return pixels.astype("float32") - 128


@pytest.fixture(scope="module")
def diagnosis(model, images):
    return diagnose_filters(model, images, verbose=0)


def test_the_first_layer_is_measured(model, diagnosis):
    kernel = model.get_layer("conv1").get_weights()[0]
    np.testing.assert_array_equal(diagnosis.kernels, kernel)
    for name, values in vars(filter_spectra(kernel)).items():
        np.testing.assert_array_equal(getattr(diagnosis, name), values)
    twins, correlations = earlier_twins(kernel, np.zeros(6, bool))
    np.testing.assert_array_equal(diagnosis.twins, twins)
    np.testing.assert_array_equal(diagnosis.correlations, correlations)
    rms = np.sqrt((kernel.astype("float64") ** 2).mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(diagnosis.rms, rms, rtol=1e-5)
    assert diagnosis.dominance == pytest.approx(rms.max() / np.median(rms), rel=1e-5)
    assert diagnosis.strides.tolist() == [2, 1]
    assert (diagnosis.model, diagnosis.first_layer, diagnosis.second_layer) == (
        "net",
        "conv1",
        "conv2",
    )


def test_maps_that_never_fire_are_found_in_every_layer(diagnosis):
    silent = {layer.layer: np.flatnonzero(layer.is_silent).tolist() for layer in diagnosis.layers}
    assert silent == {"conv1": [1, 4], "conv2": [], "conv3": [0], "linear": []}
    watched = {layer.layer: layer.is_watched for layer in diagnosis.layers}
    assert watched == {"conv1": True, "conv2": True, "conv3": True, "linear": False}
    assert diagnosis.num_images == NUM_IMAGES
    assert not any(layer.is_weak.any() for layer in diagnosis.layers)


def test_a_map_that_is_active_in_one_image_of_a_hundred(images):
    model = make_model()
    images = np.concatenate([images, images[:40]])
    images[7] *= 1000
    kernel, bias = model.get_layer("conv1").get_weights()
    bias[2] = -1e5  # only image 7 goes beyond
    model.get_layer("conv1").set_weights([kernel, bias])
    first = diagnose_filters(model, images, verbose=0).first
    assert np.flatnonzero(first.is_silent).tolist() in ([1, 4], [1])  # image 7 may wake map 4
    assert first.is_rare[2]
    assert not first.is_silent[2]


def test_the_second_layer_is_projected_from_its_strongest_units(model, images, diagnosis):
    maps = keras.Model(model.inputs, model.get_layer("relu2").output).predict(images, verbose=0)
    deconv = kv.DeconvModel(model, "relu2")
    field = deconv.receptive_field()
    for feature in range(8):
        strongest = maps[..., feature].max()
        image, row, column = np.argwhere(maps[..., feature] == strongest)[0]
        np.testing.assert_allclose(diagnosis.activations[feature], strongest, rtol=1e-5)
        assert diagnosis.image_indices[feature] == image
        unit = kv.targets.Unit(feature, int(row), int(column))
        whole = deconv.project(images[image][None], unit)[0]
        top, left, bottom, right = field.box(int(row), int(column))
        window = whole[max(top, 0) : bottom, max(left, 0) : right]
        projection = diagnosis.projections[feature]
        scale = np.abs(window).max()
        assert scale > 0
        assert projection.shape == (bottom - top, right - left, 3)
        np.testing.assert_allclose(projection, window, rtol=1e-4, atol=1e-5 * scale)
    expected = aliasing(diagnosis.projections, (2, 1))
    np.testing.assert_array_equal(diagnosis.aliasing, expected)
    assert diagnosis.median_aliasing == pytest.approx(np.median(expected))


def test_without_images_weights_alone(model, diagnosis):
    alone = diagnose_filters(model)
    assert alone.num_images == len(alone.projections) == len(alone.aliasing) == 0
    assert alone.second_layer == ""
    assert not any(layer.is_watched for layer in alone.layers)
    np.testing.assert_array_equal(alone.band_shares, diagnosis.band_shares)
    assert np.isnan(alone.median_aliasing)


def test_layers_can_be_named(model, images):
    diagnosis = diagnose_filters(
        model, images, first_layer="conv1", second_layer="conv3", verbose=0
    )
    assert diagnosis.second_layer == "conv3"
    assert len(diagnosis.projections) == 4
    assert not diagnosis.projections[0].any()  # it is never active
    assert np.isnan(diagnosis.aliasing).tolist() == [True, False, False, False]


def test_filters_are_in_rgb_order(model):
    turned = diagnose_filters(model, preprocessing="caffe")
    kernel = model.get_layer("conv1").get_weights()[0]
    np.testing.assert_array_equal(turned.kernels, kernel[:, :, ::-1])
    same = diagnose_filters(model, preprocessing=Preprocessing("tf"))
    np.testing.assert_array_equal(same.kernels, kernel)


@pytest.mark.parametrize("channels", [slow(1), slow(3), 5])
def test_images_of_any_number_of_channels(channels):
    model = make_model(channels=channels)
    images = np.random.default_rng(0).normal(size=(50, *SIZE, channels)).astype("float32")
    diagnosis = diagnose_filters(model, images, verbose=0)
    assert diagnosis.projections.shape[3] == channels
    assert diagnosis.kernels.shape == (5, 4, channels, 6)
    np.testing.assert_allclose(diagnosis.band_shares.sum(axis=1), 1, rtol=1e-5)


def test_images_of_any_size_and_padding():
    random = {"activation": "relu", "kernel_initializer": "he_normal"}
    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            layers.Conv2D(4, 5, 3, padding="same", name="a", **random),
            layers.Conv2D(4, 3, name="b", **random),
        ]
    )
    assert diagnose_filters(model).strides.tolist() == [3, 3]
    images = np.random.default_rng(0).normal(size=(50, 29, 23, 3)).astype("float32")
    assert len(diagnose_filters(model, images, verbose=0).projections) == 4


@pytest.mark.parametrize("activation", [None, "relu"])
def test_a_single_convolution(activation):
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Conv2D(4, 3, activation=activation, name="a")]
    )
    images = np.random.default_rng(0).normal(size=(50, 16, 16, 3)).astype("float32")
    diagnosis = diagnose_filters(model, images, verbose=0)
    assert diagnosis.second_layer == ""
    assert diagnosis.first.is_watched == (activation is not None)
    assert filter_findings(diagnosis)[-1].is_found is None


def test_nested_models_and_shared_layers(images):
    shared = layers.Conv2D(3, 3, padding="same", activation="relu", name="shared")
    block = keras.Sequential([keras.Input((*SIZE, 3)), shared], name="block")
    inputs = keras.Input((*SIZE, 3))
    model = keras.Model(inputs, layers.Conv2D(2, 3, name="top")(block(inputs)))
    diagnosis = diagnose_filters(model, images, verbose=0)
    assert [layer.layer for layer in diagnosis.layers] == ["block/shared", "top"]
    assert diagnosis.second_layer == "top"


def test_the_model_is_left_as_it_is(model, images):
    before = [weight.copy() for weight in model.get_weights()]
    diagnose_filters(model, images, verbose=0)
    for weight, earlier in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, earlier)


@pytest.mark.parametrize("with_images", [True, False])
def test_saves_and_loads(model, diagnosis, tmp_path, with_images):
    saved = diagnosis if with_images else diagnose_filters(model)
    saved.save(tmp_path / "a.npz")
    loaded = FilterDiagnosis.load(tmp_path / "a.npz")
    assert loaded == saved
    assert list(map(str, filter_findings(loaded))) == list(map(str, filter_findings(saved)))


WRONG_LAYERS = [
    ({"first_layer": "conv9"}, "The model has no layer 'conv9': did you mean conv"),
    ({"first_layer": "conv9"}, "Received: first_layer='conv9'"),
    (
        {"first_layer": "pool1"},
        "Layer 'pool1' (MaxPooling2D) is not a convolution with filters of its own: give one of "
        "conv1, conv2, conv3, linear. Received: first_layer='pool1'",
    ),
    (
        {"first_layer": "conv2"},
        "The input of layer 'conv2' is not the image, as 'conv1' lies below it: give 'conv1' as "
        "the first layer. Received: first_layer='conv2'",
    ),
    (
        {"second_layer": "conv1"},
        "Layer 'conv1' does not lie above the first layer 'conv1': give a second layer that does. "
        "Received: second_layer='conv1'",
    ),
]


@pytest.mark.parametrize(("options", "sentence"), WRONG_LAYERS)
def test_a_layer_that_does_not_fit(model, options, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        diagnose_filters(model, **options)


def test_images_that_do_not_fit(model, images):
    with pytest.raises(ValueError, match=r"too few images .* Received: 49 images"):
        diagnose_filters(model, images[:49])
    with pytest.raises(ValueError, match=r"takes images \(batch, 47, 40, 3\)"):
        diagnose_filters(model, images[:, :-1], verbose=0)
    with pytest.raises(ValueError, match="whether it has an end"):
        diagnose_filters(model, (image for image in images))


@pytest.mark.slow
def test_photographs_that_cannot_be_read_are_not_counted(model, images, tmp_path):
    for number, pixels in enumerate(images[:52]):
        Image.fromarray(pixels.astype("uint8")).save(tmp_path / f"{number:02d}.png")
    for number in (3, 40):
        (tmp_path / f"{number:02d}.png").write_bytes(b"no image")
    folder = ImageFolder(tmp_path, images.shape[1:3])
    assert diagnose_filters(model, folder, verbose=0).num_images == 50
    (tmp_path / "07.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="Received: 49 images"):
        diagnose_filters(model, ImageFolder(tmp_path, images.shape[1:3]), verbose=0)


def test_a_model_without_convolutions():
    dense = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(3)], name="d")
    with pytest.raises(ValueError, match="The model 'd' has no convolution layer whose filters"):
        diagnose_filters(dense)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(value):
    model = make_model()
    kernel, bias = model.get_layer("conv2").get_weights()
    kernel[0, 0, 0, 3] = value
    model.get_layer("conv2").set_weights([kernel, bias])
    with pytest.raises(
        ValueError, match=r"layer 'conv2' contain NaN or infinity: .* Received: 1 of 8 filters"
    ):
        diagnose_filters(model)


class Unread(np.ndarray):
    """Images of which no batch is read."""

    def __getitem__(self, key):
        assert not isinstance(key, slice)
        return np.asarray(super().__getitem__(key))


def test_an_activation_without_a_rule_is_refused_before_the_scan(images):
    model = keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            layers.Conv2D(4, 3, activation="silu", name="a"),
            layers.Conv2D(4, 3, activation="silu", name="b"),
        ]
    )
    with pytest.raises(ValueError, match=r"the activation 'silu'.*rules='relaxed'"):
        diagnose_filters(model, images.view(Unread))
    rules = [(keras.activations.silu, kv.rules.Rectification)]
    assert len(diagnose_filters(model, images, rules=rules, verbose=0).projections) == 4
