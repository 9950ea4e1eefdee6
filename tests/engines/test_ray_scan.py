"""A scan on two machines, against the bytes of a scan in this process."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerasvis.activations import (
    AllMaxima,
    CountActive,
    NotFiniteError,
    StrongestActivations,
    find_top_activations,
    map_statistics,
    scan_layers,
)
from kerasvis.data import ImageFolder, load_labelled
from kerasvis.data.labelled import labelled_data
from kerasvis.engines import Ray, WorkerDiedError
from kerasvis.storage.fields import equal
from tests.engines.scanned import (
    LAYERS,
    SIZE,
    Fatal,
    MeanActivation,
    Means,
    convnet,
    random_images,
)
from tests.marks import slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model():
    return convnet()


def scan(model, images, **options):
    options = {"k": 4, "batch_size": 3, "verbose": 0} | options
    return find_top_activations(model, LAYERS, images, **options)


def in_parts(engine, images_per_part):
    """The same engine with parts of another size."""
    engine._images_per_part = images_per_part
    return engine


def saved(top, folder):
    top.save(folder / "saved.npz")
    return (folder / "saved.npz").read_bytes()


@pytest.mark.parametrize("num_parts", [5, slow(1), slow(2)])
def test_any_number_of_parts_gives_the_same_bytes(machines, engine, model, tmp_path, num_parts):
    images = random_images(29)
    found = scan(model, images, engine=in_parts(engine, -(-30 // num_parts)))
    assert saved(found, tmp_path) == saved(scan(model, images), tmp_path)


@pytest.mark.slow
def test_any_reducer_gives_the_same_bytes(machines, engine, model):
    reducers = [AllMaxima(), CountActive(), StrongestActivations(2), Means(), MeanActivation()]
    images = random_images(50)
    options = {"batch_size": 3, "verbose": 0}
    here = scan_layers(model, LAYERS, images, reducers, **options)
    there = scan_layers(model, LAYERS, images, reducers, engine=in_parts(engine, 7), **options)
    for one, other in zip(here, there, strict=True):
        for layer in LAYERS:
            assert equal(one[layer], other[layer])


def photographs(directory, number=23):
    directory.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (number, 12, 14, 3), "uint8")
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(directory / f"{index:02d}.png")
    for index in (1, 9, 10, 11, 17, 22):
        (directory / f"{index:02d}.png").write_bytes(b"")
    return directory


@pytest.mark.slow
def test_a_folder_is_read_by_the_workers(machines, engine, model, tmp_path):
    folder = ImageFolder(photographs(tmp_path / "photographs"), SIZE, "tf")
    here = map_statistics(model, LAYERS, folder, batch_size=3, verbose=0)
    skipped, folder.skipped_reasons = dict(folder.skipped_reasons), {}
    there = map_statistics(
        model, LAYERS, folder, batch_size=3, engine=in_parts(engine, 6), verbose=0
    )
    assert all(here[layer] == there[layer] for layer in LAYERS)
    assert sorted(folder.skipped_reasons.items()) == sorted(skipped.items())
    assert len(skipped) == 6


@pytest.mark.slow
def test_batches_of_a_data_set_are_sent(machines, engine, model, tmp_path):
    images = random_images(29)
    for batches in (
        tf.data.Dataset.from_tensor_slices(images).batch(3),
        [images[begin : begin + 3] for begin in range(0, 29, 3)],
    ):
        found = scan(model, batches, engine=in_parts(engine, 2))
        assert saved(found, tmp_path) == saved(scan(model, images), tmp_path)


@pytest.mark.slow
def test_records_of_a_data_set_are_read_by_the_workers(
    machines, engine, model, tmp_path, monkeypatch
):
    tfds = pytest.importorskip("tensorflow_datasets")
    from tests.data.labelled.test_tfds_source import TinyInShards  # noqa: F401 (registers it)

    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(labelled_data, "MAX_BYTES_IN_MEMORY", 0)
    config = tfds.download.DownloadConfig(num_shards=4)
    tfds.builder("tiny_in_shards").download_and_prepare(download_config=config)
    images = load_labelled("tiny_in_shards", SIZE).train
    assert images.num_images == 60
    found = scan(model, images, engine=in_parts(engine, 7))
    assert saved(found, tmp_path) == saved(scan(model, images), tmp_path)


def test_a_machine_that_is_killed_in_the_middle(machines, engine, model, tmp_path):
    images = random_images(60)

    def batches():
        for begin in range(0, 60, 3):
            if begin == 30:
                machines.kill()
            yield images[begin : begin + 3]

    found = scan(model, batches(), engine=in_parts(engine, 2), steps=20)
    assert saved(found, tmp_path) == saved(scan(model, images), tmp_path)


@pytest.mark.slow
def test_an_interrupted_scan_resumes_from_its_parts(machines, engine, model, tmp_path):
    images = random_images(60)
    whole, resumed = tmp_path / "whole.npz", tmp_path / "resumed.npz"
    scan(model, images, filepath=whole)
    batches = [images[begin : begin + 3] for begin in range(0, 60, 3)]

    def broken():
        yield from batches[:14]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(model, broken(), filepath=resumed, steps=20, engine=in_parts(engine, 2))
    parts = list(tmp_path.glob("resumed.npz.partial/*.npz"))
    assert parts
    scan(model, batches, filepath=resumed, engine=in_parts(engine, 1))
    assert resumed.read_bytes() == whole.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        scan(model, broken(), filepath=tmp_path / "b.npz", steps=20, engine=in_parts(engine, 2))
    scan(model, batches, filepath=tmp_path / "b.npz")  # here, from where the cluster stopped
    assert (tmp_path / "b.npz").read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_errors_are_those_of_one_process(machines, engine, model, tmp_path):
    images = random_images(29)
    images[17, 0, 0, 0] = np.nan
    with pytest.raises(NotFiniteError, match="Image 17 contains NaN"):
        scan(model, images, engine=in_parts(engine, 6), filepath=tmp_path / "top.npz")
    images[17, 0, 0, 0] = 0
    scan(model, images, engine=engine, filepath=tmp_path / "top.npz")
    with pytest.raises(ValueError, match=r"engine='ray'"):
        scan(model, images, engine="ray")
    inputs = keras.Input((*SIZE, 3))
    python = keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1, name="conv")(inputs))
    with pytest.raises(ValueError, match="Lambda"):
        find_top_activations(python, "conv", images, engine=engine, verbose=0)


class Scaling(keras.layers.Layer):
    """A layer of the user's own, which is not registered."""

    def build(self, input_shape):
        self.scale = self.add_weight(shape=input_shape[-1:], initializer="glorot_uniform")

    def call(self, images):
        return self.scale * images


def squared(x):
    """An activation of the user's own."""
    return x * x


@pytest.mark.slow
def test_layers_of_ones_own_are_sent(machines, engine, tmp_path):
    inputs = keras.Input((*SIZE, 3))
    scaled = Scaling(name="scaling")(inputs)
    outputs = keras.layers.Conv2D(4, 3, activation=squared, name="squared")(scaled)
    model, layers = keras.Model(inputs, outputs), ["scaling", "squared"]
    images = random_images(7)
    here = find_top_activations(model, layers, images, verbose=0)
    there = find_top_activations(model, layers, images, engine=engine, verbose=0)
    assert saved(here, tmp_path) == saved(there, tmp_path)


@pytest.mark.slow
def test_a_photograph_that_ends_every_worker_is_named(machines, tmp_path):
    directory = photographs(tmp_path / "photographs")
    Image.new("RGB", (14, 12), "white").save(directory / "13.png")
    model, folder = convnet(), ImageFolder(directory, SIZE, "raw")
    reducers = [Fatal(os.getpid())]
    with pytest.raises(WorkerDiedError, match=r"^Image 13 \(.*13\.png\): every worker"):
        scan_layers(model, ["conv"], folder, reducers, batch_size=3, engine=Ray(), verbose=0)


@pytest.mark.slow
def test_a_driver_that_is_killed_resumes(machines, tmp_path):
    number = 2000
    command = [sys.executable, "-m", "tests.engines.scanned", machines.address]
    arguments = [tmp_path / "top.npz", str(number)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    driver = subprocess.Popen([*command, *arguments], cwd=ROOT, env=environment)
    partial = tmp_path / "top.npz.partial"
    while len(list(partial.glob("scan-*.npz"))) < 5 and driver.poll() is None:
        time.sleep(0.01)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    parts = {path: path.stat().st_mtime_ns for path in partial.glob("scan-*.npz")}
    assert parts
    images = random_images(number)
    find_top_activations(
        convnet(), LAYERS, images, filepath=tmp_path / "top.npz", engine=Ray(), verbose=0
    )
    find_top_activations(convnet(), LAYERS, images, filepath=tmp_path / "whole.npz", verbose=0)
    assert (tmp_path / "top.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_machine_killed_at_a_random_moment(machines, model, tmp_path, seed):
    images = random_images(6000)
    whole = saved(scan(model, images), tmp_path)
    with Ray(images_per_part=60) as engine:
        scan(model, images[:60], engine=engine)  # the workers have started
        begin = time.monotonic()
        scan(model, images, engine=engine)
        seconds = time.monotonic() - begin
        moment = seconds * np.random.default_rng(seed).uniform(0.05, 0.95)
        killer = threading.Timer(moment, machines.kill)
        killer.start()
        found = scan(model, images, engine=engine)
        killer.join()
    assert saved(found, tmp_path) == whole
