"""One scan shared by several workers or devices, against one device that scans everything."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerasvis.activations import (
    Shard,
    TopActivations,
    find_top_activations,
    merge_top_activations,
)
from kerasvis.activations.top_activations import LayerActivations
from kerasvis.data import ImageFolder
from kerasvis.training.strategies import strategy_for
from tests.activations.small_models import small_convnet, whole_numbered_images
from tests.oracles.top_activations import top_activations

LAYERS = ["conv", "inner/linear", "dense"]


@pytest.fixture(scope="module")
def model():
    return small_convnet()


def scan(model, images, layers=LAYERS, k=4, **options):
    options = {"verbose": 0, "batch_size": 3} | options
    return find_top_activations(model, layers, images, k, **options)


def shards(images, num_shards):
    return [Shard(images, index, num_shards) for index in range(num_shards)]


def assert_same_bytes(top, other, folder):
    top.save(folder / "one.npz")
    other.save(folder / "other.npz")
    assert (folder / "one.npz").read_bytes() == (folder / "other.npz").read_bytes()


@pytest.mark.parametrize(("number", "num_shards"), [(23, 2), (13, 3), (6, 2), (10, 1)])
def test_merged_shards_are_the_scan_of_everything(model, tmp_path, number, num_shards):
    images = whole_numbered_images(number)
    parts = [scan(model, shard) for shard in shards(images, num_shards)]
    merged = merge_top_activations(parts)
    assert_same_bytes(merged, scan(model, images), tmp_path)
    assert_same_bytes(merge_top_activations(parts[::-1]), merged, tmp_path)
    maps = keras.Model(model.inputs[0], model.get_layer("conv").output)(images).numpy()
    for actual, expected in zip(merged["conv"], top_activations(maps, 4), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_equal_images_of_different_shards_are_taken_in_order(model):
    images = np.repeat(whole_numbered_images(1), 11, axis=0)
    merged = merge_top_activations(scan(model, shard) for shard in shards(images, 2))
    np.testing.assert_array_equal(merged["conv"].image_indices, [[0, 1, 2, 3]] * 4)


def test_merging_is_sorting(tmp_path):
    random = np.random.default_rng(0)
    maps = random.integers(-3, 4, (17, 2, 3, 5)).astype("float32")
    owners = random.integers(0, 3, 17)
    parts = []
    for owner in range(3):
        own = np.flatnonzero(owners == owner)
        values, image_indices, positions = top_activations(maps[own], 6)
        image_indices = np.where(image_indices < 0, -1, own[image_indices])
        parts.append(TopActivations({"conv": LayerActivations(values, image_indices, positions)}))
    expected = TopActivations({"conv": LayerActivations(*top_activations(maps, 6))})
    assert_same_bytes(merge_top_activations(parts), expected, tmp_path)


def test_batches_and_folders_are_shared_too(model, tmp_path):
    images = whole_numbered_images(11)
    batches = tf.data.Dataset.from_tensor_slices(images).batch(3)
    parts = [scan(model, shard) for shard in shards(batches, 2)]
    assert_same_bytes(merge_top_activations(parts), scan(model, images), tmp_path)
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (8, 7, 9, 3))):
        Image.fromarray(pixels.astype("uint8")).save(photographs / f"{number}.png")
    (photographs / "2.png").write_bytes(b"corrupt")
    folder = ImageFolder(photographs, (7, 9))
    parts = [scan(model, shard) for shard in shards(folder, 2)]
    assert_same_bytes(merge_top_activations(parts), scan(model, folder), tmp_path)
    assert [path.name for path, _ in folder.skipped] == ["2.png"]


@pytest.mark.parametrize("stop", [1, 2, 4])
def test_stopped_shard_goes_on(model, tmp_path, stop):
    images = whole_numbered_images(23)
    whole = scan(model, Shard(images, 1, 2))

    def broken():
        for number, begin in enumerate(range(0, 23, 3)):
            if number == stop:
                raise KeyboardInterrupt
            yield images[begin : begin + 3]

    batches = [images[begin : begin + 3] for begin in range(0, 23, 3)]
    filepath = tmp_path / "top.npz"
    with pytest.raises(KeyboardInterrupt):
        scan(model, Shard(broken(), 1, 2), filepath=filepath)
    assert_same_bytes(scan(model, Shard(batches, 1, 2), filepath=filepath), whole, tmp_path)


def test_another_shard_does_not_go_on_from_this_one(model, tmp_path):
    def broken():
        yield whole_numbered_images(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(model, Shard(broken(), 0, 2), filepath=tmp_path / "top.npz")
    batches = [whole_numbered_images(3)] * 2
    with pytest.raises(ValueError, match="from other images"):
        scan(model, Shard(batches, 1, 2), filepath=tmp_path / "top.npz")


@pytest.mark.parametrize("number", [1, 3, 7, 13])
def test_two_devices_find_the_same_bytes(number, tmp_path):
    keras.utils.set_random_seed(0)
    strategy = strategy_for("mirrored", "CPU:0,CPU:1")
    with strategy.scope():
        model = keras.Sequential(
            [keras.Input((7, 9, 3)), keras.layers.Conv2D(5, 3, name="conv"), keras.layers.ReLU()]
        )
    same = keras.models.clone_model(model)
    same.set_weights(model.get_weights())
    images = np.random.default_rng(0).normal(size=(number, 7, 9, 3)).astype("float32")
    expected = scan(same, images, "conv")
    assert_same_bytes(scan(model, images, "conv"), expected, tmp_path)
    with strategy.scope():
        assert_same_bytes(scan(model, images, "conv"), expected, tmp_path)


def test_what_cannot_be_shared_is_refused(model):
    images = whole_numbered_images(6)
    for index, num_shards in ((2, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match=f"Received: index={index}, num_shards={num_shards}"):
            scan(model, Shard(images, index, num_shards))
    with pytest.raises(ValueError, match="shard 2 of 3 is empty, as there are fewer batches"):
        scan(model, Shard(images, 2, 3))


def test_what_cannot_be_merged_is_refused(model):
    images = whole_numbered_images(6)
    top = scan(model, images)
    with pytest.raises(ValueError, match="There are no top activations to merge: give those of"):
        merge_top_activations([])
    with pytest.raises(ValueError, match=r"differ, TopActivations.*: scan the same layers of the"):
        merge_top_activations([top, scan(model, images, k=3)])
    with pytest.raises(ValueError, match=r"differ, TopActivations.*: scan the same layers of the"):
        merge_top_activations([top, scan(model, images, LAYERS[:1])])
    with pytest.raises(ValueError, match=r"Image \d was scanned twice: merge"):
        merge_top_activations([top, top])
