import dataclasses
import os
import stat

import keras
import numpy as np
import pytest

from kerasvis.analyses.transfer import feature_cache
from kerasvis.analyses.transfer.all_images import AllImages
from kerasvis.analyses.transfer.feature_cache import FeatureCache
from kerasvis.analyses.transfer.flat_features import flat_features
from kerasvis.data import LabelledImages
from kerasvis.storage.files import TEMPORARY
from tests.analyses.transfer.transfers import SIZE, convnet, labelled_data

LAYERS = ["conv1", "conv2"]


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(feature_cache, "PART_SIZE", 10)  # 36 images: four parts


@pytest.fixture
def images():
    return AllImages(labelled_data())


@pytest.fixture
def num_computed(eager_functions, convolutions):
    """Returns the number of images that each layer was computed for since the last time."""

    def num_computed():
        numbers = {
            layer: sum(num_images for num_images, *_ in convolutions.shapes(layer))
            for layer in LAYERS
        }
        convolutions.calls.clear()
        return {layer: number for layer, number in numbers.items() if number}

    return num_computed


def computed(directory, images, layers=LAYERS, model=None, **options):
    cache = FeatureCache(directory, model or convnet(), layers, images, **options)
    cache.compute(batch_size=4, verbose=0)
    return cache


def test_features_of_all_images_in_order(tmp_path, images):
    cache, model = computed(tmp_path, images), convnet()
    pixels = np.concatenate(list(images.batches()))
    expected = flat_features(model, LAYERS, SIZE)(pixels.astype("float32"))
    for layer, features in zip(LAYERS, expected, strict=True):
        assert cache.load(layer).dtype == "float32"
        np.testing.assert_allclose(cache.load(layer), features, rtol=1e-5, atol=1e-6)


def test_every_image_is_computed_once(tmp_path, images, num_computed):
    computed(tmp_path, images)
    assert num_computed() == {"conv1": 36, "conv2": 36}
    computed(tmp_path, images)
    assert num_computed() == {}


def test_a_damaged_part_is_computed_again(tmp_path, images, num_computed):
    cache = computed(tmp_path, images)
    num_computed()
    before = cache.load("conv1")
    part = cache.folders["conv1"] / "part_00002.npz"
    part.write_bytes(part.read_bytes()[:-40])
    again = computed(tmp_path, images)
    assert num_computed() == {"conv1": 10}
    np.testing.assert_array_equal(again.load("conv1"), before)


def test_a_further_layer_is_computed_alone(tmp_path, images, num_computed):
    computed(tmp_path, images, ["conv2"])
    num_computed()
    computed(tmp_path, images, ["conv1", "conv2"])
    assert num_computed() == {"conv1": 36}


def test_an_interrupted_run_resumes(tmp_path, images, num_computed, convolutions):
    whole = computed(tmp_path / "whole", images)
    assert num_computed() == {"conv1": 36, "conv2": 36}
    convolutions.interrupt_after(2 * 7)  # two layers; three batches for each of two parts, one more
    with pytest.raises(KeyboardInterrupt):
        computed(tmp_path / "stopped", images)
    assert num_computed() == {"conv1": 24, "conv2": 24}
    stopped = computed(tmp_path / "stopped", images)
    assert num_computed() == {"conv1": 16, "conv2": 16}
    for layer in LAYERS:
        np.testing.assert_array_equal(stopped.load(layer), whole.load(layer))
    assert not list(tmp_path.rglob(f"*{TEMPORARY}*"))


def test_the_key_changes_with_all_that_features_depend_on(tmp_path, images):
    def folder(images=images, model=None, **options):
        cache = FeatureCache(tmp_path, model or convnet(), ["conv2"], images, **options)
        return cache.folders["conv2"]

    other_pixel = labelled_data()
    other_pixel.validation.pixels[5, 3, 2, 1] ^= 1
    fewer = dataclasses.replace(
        labelled_data(), validation=LabelledImages(*(a[:9] for a in labelled_data().validation))
    )
    other_weight = convnet()
    conv2 = other_weight.get_layer("conv2")
    kernel = keras.ops.convert_to_numpy(conv2.kernel).copy()
    kernel[0, 0, 0, 0] += 1e-4
    conv2.kernel.assign(kernel)
    folders = [
        folder(),
        folder(AllImages(other_pixel)),
        folder(AllImages(fewer)),
        folder(model=other_weight),
        folder(model=convnet(seed=1)),
        folder(preprocessing="caffe"),
        folder(largest_map=(2, 2)),
    ]
    assert len(set(folders)) == len(folders)
    assert folder(model=convnet(name="renamed")) == folder()


def test_layers_above_do_not_matter(tmp_path, images, num_computed):
    computed(tmp_path, images)
    num_computed()
    model = convnet()
    other = keras.Sequential([keras.Input((*SIZE, 3)), *model.layers[:-1], keras.layers.Dense(9)])
    computed(tmp_path, images, model=other)
    assert num_computed() == {}


def test_images_are_preprocessed(tmp_path, images):
    features = computed(tmp_path, images, ["conv1"], preprocessing="tf").load("conv1")
    pixels = np.concatenate(list(images.batches())).astype("float32") / 127.5 - 1
    (expected,) = flat_features(convnet(), ["conv1"], SIZE)(pixels)
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)


def test_features_that_are_not_finite(tmp_path, images):
    model = convnet()
    model.get_layer("conv2").bias.assign([0, np.inf, 0, 0, 0, 0])
    with pytest.raises(
        ValueError, match="Layer 'conv2' returns NaN or infinity for image 0: check"
    ):
        computed(tmp_path, images, model=model)


def test_a_folder_that_cannot_be_made(tmp_path, images):
    (tmp_path / "file").write_text("here")
    with pytest.raises(OSError, match=r"The folder .*file/.* cannot be written to .*: make room"):
        computed(tmp_path / "file", images)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to(tmp_path, images):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(OSError, match="cannot be written to"):
        computed(tmp_path, images)


def test_a_layer_that_is_not_there(tmp_path, images):
    with pytest.raises(ValueError, match="conv2"):
        FeatureCache(tmp_path / "cache", convnet(), ["conv3"], images)
    assert not (tmp_path / "cache").exists()


def test_images_of_another_size(tmp_path, images):
    sentence = "'small' takes images of 12×12 pixels: .* Received: images of 12×15 pixels"
    with pytest.raises(ValueError, match=sentence):
        FeatureCache(tmp_path, convnet((12, 12)), ["conv1"], images)
