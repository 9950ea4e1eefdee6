"""Data sets without end, that come once, or in another order: a sentence, never a hang."""

import itertools
import os
import signal
import threading
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasvis as kv
from kerasvis.activations import map_statistics

SIZE = (9, 7)
PIXELS = np.random.default_rng(0).integers(0, 256, (12, *SIZE, 3)).astype("float32")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((*SIZE, 3)), keras.layers.Conv2D(3, 3, activation="relu", name="conv")]
    )


def dataset():
    return tf.data.Dataset.from_tensor_slices(PIXELS).batch(4)


RANDOM = np.random.default_rng(1)


def brightened(images):
    return images * RANDOM.uniform(0.5, 1, (len(images), 1, 1, 1)).astype("float32")


class Endless(keras.utils.PyDataset):
    """Batches without end, as Keras takes them with `steps_per_epoch`."""

    num_batches = None

    def __getitem__(self, index):
        return np.roll(PIXELS, -4 * index, axis=0)[:4], np.zeros(4)


def generator():
    """As written for Keras: it never stops."""
    while True:
        yield from (PIXELS[i : i + 4] for i in range(0, 12, 4))


ENDLESS = {
    "repeat()": lambda: dataset().repeat(),
    "repeat, shuffled": lambda: dataset().repeat().shuffle(5, seed=0),
    "generator that never stops": generator,
    "itertools.cycle": lambda: itertools.cycle([PIXELS[i : i + 4] for i in (0, 4, 8)]),
    "from_generator": lambda: tf.data.Dataset.from_generator(
        generator, output_signature=tf.TensorSpec((None, *SIZE, 3))
    ),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_scan_of_a_data_set_without_end_is_refused(model, kind):
    with pytest.raises(ValueError, match=r"end: give steps="):
        kv.find_top_activations(model, "conv", ENDLESS[kind](), verbose=0)
    with pytest.raises(ValueError, match=r"end: give steps="):
        map_statistics(model, "conv", ENDLESS[kind](), verbose=0)


@pytest.mark.parametrize("kind", [*ENDLESS, "PyDataset"])
def test_steps_bound_it(model, kind):
    images = (ENDLESS | {"PyDataset": Endless})[kind]()
    top = kv.find_top_activations(model, "conv", images, 3, steps=3, verbose=0)
    if kind != "repeat, shuffled":
        expected = kv.find_top_activations(model, "conv", PIXELS, 3, batch_size=4, verbose=0)
        np.testing.assert_allclose(top["conv"].values, expected["conv"].values, rtol=1e-5)


CALLS = {
    "visualize_features": lambda model, images, folder: kv.visualize_features(
        model, "conv", images, verbose=0
    ),
    "write_gallery": lambda model, images, folder: kv.write_gallery(
        model, None, images, folder, verbose=0
    ),
    "diagnose_filters": lambda model, images, folder: kv.diagnose_filters(model, images, verbose=0),
    "compare_methods": lambda model, images, folder: kv.compare_methods(
        model, "conv", images, kv.targets.Strongest(0)
    ),
    "FeatureEvolution": lambda model, images, folder: kv.callbacks.FeatureEvolution(
        ["conv"], images, directory=folder
    ),
    "evolution_of_models": lambda model, images, folder: kv.analyses.evolution_of_models(
        [model], ["conv"], images, [1]
    ),
    "fidelity_report": lambda model, images, folder: kv.fidelity_report(
        model, "conv", images, verbose=0
    ),
}
READ_ONCE = ("compare_methods", "fidelity_report")
CANNOT_BE_SHOWN = ENDLESS | {
    "PyDataset": Endless,
    "generator": lambda: (PIXELS[i : i + 4] for i in (0, 4, 8)),
    "iterator": lambda: iter([PIXELS]),
    "shuffled": lambda: tf.data.Dataset.from_tensor_slices(PIXELS).shuffle(12).batch(4),
    "augmented": lambda: dataset().map(lambda x: tf.numpy_function(brightened, [x], tf.float32)),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", CANNOT_BE_SHOWN)
def test_what_cannot_be_fetched_again_is_refused_before_the_scan(model, call, kind, tmp_path):
    if call in READ_ONCE and kind not in ENDLESS:
        pytest.skip("All images are read at once: they need not be fetched again.")
    with pytest.raises(ValueError, match=r"steps=|fetched again|read only once"):
        CALLS[call](model, CANNOT_BE_SHOWN[kind](), tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Interrupting(Endless):
    """Ctrl-C at its hundredth batch, in the middle of a snapshot."""

    def __getitem__(self, index):
        if index == 100:
            os.kill(os.getpid(), signal.SIGINT)
        return PIXELS[:4], np.zeros(4)


@pytest.fixture
def interruptible():
    """As in a terminal: shells let what runs in the background ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interruption_ends_a_snapshot_in_training(tmp_path):
    """Also where the data never end but for `steps`, which is large."""
    model = keras.Sequential(
        [keras.Input((*SIZE, 3)), keras.layers.Conv2D(3, 3, name="conv"), keras.layers.Flatten()]
    )
    model.compile("sgd", "mse", jit_compile=False)
    evolution = kv.callbacks.FeatureEvolution(
        ["conv"], Interrupting(), epochs=[1], steps=10**6, directory=tmp_path / "evolution"
    )
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        model.fit(PIXELS, np.zeros((12, 105)), callbacks=[evolution], verbose=0)
    assert time.monotonic() - begin < 60  # 10**6 batches take minutes
    names = {thread.name for thread in threading.enumerate()}
    assert not {name for name in names if "run" in name}, "the snapshot has ended, too"
    assert not list((tmp_path / "evolution").glob("epoch*"))
