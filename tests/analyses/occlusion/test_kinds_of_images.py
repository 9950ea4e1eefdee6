"""The same images, however they are brought, give the same results."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image

import kerasvis as kv
from kerasvis.analyses import OcclusionSensitivity, feature_invariance
from kerasvis.data import ImageFolder, Preprocessing
from tests.marks import few

SIZE = (14, 12)
SETTINGS = {"patch_size": 7, "strides": 7, "verbose": 0}
PIXELS = np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3)).astype("uint8")

pytestmark = pytest.mark.usefixtures("eager_functions")


@pytest.fixture(scope="module")
def models():
    """A model of pixels, and the same of images in [0, 1] and in [-1, 1]."""
    keras.utils.set_random_seed(0)
    x = keras.Input((*SIZE, 3))
    y = layers.Conv2D(4, 3, activation="relu", name="conv")(x)
    inner = keras.Model(x, layers.Dense(3)(layers.GlobalAveragePooling2D()(y)), name="inner")
    made = {}
    for mode, scale, offset in (("raw", 1 / 127.5, -1), ("unit", 2, -1), ("tf", 1, 0)):
        inputs = keras.Input((*SIZE, 3))
        made[mode] = keras.Model(inputs, inner(layers.Rescaling(scale, offset)(inputs)))
    return made


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return PIXELS[2 * index : 2 * index + 2].astype("float32"), np.zeros(2 - index)


def folder(tmp_path):
    for number, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return tmp_path


KINDS = {
    "uint8": ("raw", lambda _: PIXELS),
    "float32": ("raw", lambda _: PIXELS.astype("float32")),
    "list": ("raw", lambda _: [*PIXELS]),
    "tensor": ("raw", lambda _: tf.constant(PIXELS)),
    "[0, 1]": ("unit", lambda _: PIXELS / 255),
    "[-1, 1]": ("tf", lambda _: PIXELS / 127.5 - 1),
    "tf.data": ("raw", lambda _: tf.data.Dataset.from_tensor_slices(PIXELS).batch(2)),
    "labelled tf.data": (
        "unit",
        lambda _: tf.data.Dataset.from_tensor_slices((PIXELS / 255, [1, 0, 2])).batch(2),
    ),
    "PyDataset": ("raw", lambda _: Batches()),
    "path": ("raw", folder),
    "folder": ("tf", lambda path: ImageFolder(folder(path), SIZE, "tf")),
    "folder of any size": ("unit", lambda path: ImageFolder(folder(path), preprocessing="unit")),
}


@pytest.fixture(scope="module")
def expected(models):
    return [kv.occlusion_sensitivity(models["raw"], x, 1, **SETTINGS) for x in PIXELS]


@pytest.mark.parametrize("kind", few(KINDS, 5))
def test_occlusion(models, expected, kind, tmp_path):
    mode, bring = KINDS[kind]
    found = kv.occlusion_sensitivity(models[mode], bring(tmp_path), 1, **SETTINGS)
    assert len(found) == len(PIXELS)
    for result, same in zip(found, expected, strict=True):
        np.testing.assert_allclose(result.probabilities, same.probabilities, atol=1e-6)
        np.testing.assert_allclose(result.activity, same.activity, rtol=1e-5)
        assert result.class_index == 1


@pytest.mark.parametrize("kind", KINDS)
def test_invariance(models, kind, tmp_path):
    options = {"transformations": {"translation": [0, 2], "rotation": [90]}, "verbose": 0}
    expected = feature_invariance(models["raw"], ["inner/conv"], PIXELS, 1, **options)
    mode, bring = KINDS[kind]
    found = feature_invariance(models[mode], ["inner/conv"], bring(tmp_path), 1, **options)
    for curves, same in zip(found.curves, expected.curves, strict=True):
        np.testing.assert_array_equal(curves.examples, same.examples)
        np.testing.assert_allclose(curves.probabilities, same.probabilities, atol=1e-6)
        np.testing.assert_allclose(curves.distances, same.distances, rtol=1e-4, atol=1e-6)


def test_a_preprocessing_of_ones_own(models):
    model = keras.Model(
        inputs := keras.Input((*SIZE, 3)), models["unit"](layers.Rescaling(1 / 7)(inputs))
    )
    units = (lambda x: x * 7 / 255, lambda x: x * 255 / 7)
    image = Preprocessing.of(units).images(PIXELS[0])
    result = kv.occlusion_sensitivity(model, image, 1, preprocessing=units, **SETTINGS)
    same = kv.occlusion_sensitivity(models["raw"], PIXELS[0], 1, **SETTINGS)
    np.testing.assert_allclose(result.probabilities, same.probabilities, atol=1e-5)


def test_earlier_files_load(expected, tmp_path):
    """Of version 1, and of the time before there were versions."""
    result = expected[0]
    arrays = result.to_arrays()
    since = ("activation", "measure", "projection_reason")
    first = {name: array for name, array in arrays.items() if name not in since}
    np.savez(tmp_path / "first.npz", **first | {"kerasvis/version": np.array(1)})
    zeroth = {n.replace("occluders/", ""): a for n, a in first.items() if "kerasvis/" not in n}
    np.savez(tmp_path / "zeroth.npz", **zeroth)
    for name in ("first", "zeroth"):
        loaded = OcclusionSensitivity.load(tmp_path / f"{name}.npz")
        np.testing.assert_array_equal(loaded.probabilities, result.probabilities)
        assert (loaded.activation, loaded.measure) == ("", "probability")
        assert loaded.occluders == result.occluders
