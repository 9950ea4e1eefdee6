"""Training on two devices against training on one, and what cannot be distributed."""

import json
import re
import socket

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasvis.layers import LocalResponseNormalization
from kerasvis.training import workers
from kerasvis.training.replicated_model import parts_of, replicated, spread
from kerasvis.training.strategies import is_chief, strategy_for
from kerasvis.training.workers import WorkerLost
from tests.marks import few

SIZE, NUM_CLASSES = (21, 23), 5


@pytest.fixture(scope="module")
def one():
    return strategy_for("none")


@pytest.fixture(scope="module")
def two():
    return strategy_for("mirrored", "CPU:0,CPU:1")


def photographs(number):
    random = np.random.default_rng(1)
    images = random.normal(size=(number, *SIZE, 3)).astype("float32")
    return images, random.integers(0, NUM_CLASSES, number)


def batches_of(*arrays, batch_size=4):
    return tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size)


def compiled(strategy, normalization=None, **options):
    """A small convnet without dropout, for the strategy."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    normalizations = {"batch": layers.BatchNormalization, "local": LocalResponseNormalization}
    with strategy.scope():
        model = keras.Sequential(
            [
                keras.Input((*SIZE, 3)),
                layers.Conv2D(6, 5, 2, activation="relu", kernel_initializer="he_normal"),
                *([normalizations[normalization]()] if normalization else []),
                layers.MaxPooling2D(3, 2),
                layers.Flatten(),
                layers.Dense(8, activation="relu"),
                layers.Dense(NUM_CLASSES, activation="softmax"),
            ]
        )
        model = replicated(model)
        schedule = keras.optimizers.schedules.CosineDecay(0.01, 40)
        model.compile(
            keras.optimizers.SGD(schedule, 0.9, nesterov=True, weight_decay=1e-3),
            "sparse_categorical_crossentropy",
            metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, name="top_2")],
            jit_compile=False,
            **options,
        )
    return model


class Losses(keras.callbacks.Callback):
    """The loss over the epoch so far, after every step."""

    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(float(logs["loss"]))


def train(strategy, batches, epochs=5, **options):
    model, losses = compiled(strategy, **options), Losses()
    batches = spread(batches, strategy)
    history = model.fit(
        batches,
        validation_data=batches,
        epochs=epochs,
        callbacks=[losses],
        shuffle=False,
        verbose=0,
    )
    return model, losses.values, history.history


def assert_same_weights(model, other):
    for array, expected in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("normalization", [None, "local"])
def test_loss_curve_is_that_of_one_device(one, two, normalization):
    batches = batches_of(*photographs(13))  # three steps of four images and one of a single image
    model, losses, history = train(one, batches, normalization=normalization)
    same, same_losses, same_history = train(two, batches, normalization=normalization)
    assert len(losses) == 20
    np.testing.assert_allclose(same_losses, losses, rtol=1e-4)
    assert min(losses) < losses[0] - 0.1, "it learns"
    assert history.keys() == same_history.keys()
    for name, values in history.items():
        np.testing.assert_allclose(same_history[name], values, rtol=1e-4)
    assert_same_weights(same, model)


@pytest.mark.slow
def test_both_copies_of_the_weights_agree(two):
    model, _, _ = train(two, batches_of(*photographs(7)), epochs=2, normalization="batch")
    for weight in model.weights:
        first, second = two.experimental_local_results(weight.value)
        np.testing.assert_array_equal(first, second)
        assert np.isfinite(first).all()


def test_evaluation_counts_every_image_once(one, two):
    model, alone = compiled(two, normalization="batch"), compiled(one, normalization="batch")
    alone.set_weights(model.get_weights())
    for number in (9, 1, 4, 11):
        images, labels = photographs(number)
        batches = spread(batches_of(images, labels), two)
        measured = model.evaluate(batches, verbose=0, return_dict=True)
        probabilities = alone.predict_on_batch(images)
        own = probabilities[np.arange(number), labels]
        ranks = (probabilities > own[:, None]).sum(axis=1)
        assert measured["loss"] == pytest.approx(-np.log(own).mean(), rel=1e-5)
        assert measured["accuracy"] == pytest.approx((ranks < 1).mean())
        assert measured["top_2"] == pytest.approx((ranks < 2).mean())


@pytest.mark.slow
def test_weights_of_images_count(one, two):
    images, labels = photographs(7)
    batches = batches_of(images, labels, np.linspace(0, 2, 7, dtype="float32"))
    model, losses, _ = train(one, batches, epochs=2)
    same, same_losses, _ = train(two, batches, epochs=2)
    np.testing.assert_allclose(same_losses, losses, rtol=1e-4)
    assert_same_weights(same, model)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
def test_nothing_is_learned_after_the_last_batch(one, two):
    """Keras begins a step where none is left, if it does not know the number of batches."""
    batches = batches_of(*photographs(5))
    model, losses, _ = train(one, batches, epochs=2)
    unknown = batches.filter(lambda images, labels: True)
    assert int(unknown.cardinality()) < 0
    same, same_losses, _ = train(two, unknown, epochs=2)
    np.testing.assert_allclose(same_losses, losses, rtol=1e-4)
    assert_same_weights(same, model)


def test_model_of_the_user_is_what_is_trained(two):
    with two.scope():
        inputs = keras.Input((*SIZE, 3))
        outputs = keras.layers.Dense(NUM_CLASSES)(keras.layers.Flatten()(inputs))
        model = keras.Model(inputs, outputs, name="mine")
    trained = replicated(model)
    assert trained.name == "mine"
    with two.scope():
        trained.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = model.get_weights()[0]
    trained.fit(spread(batches_of(*photographs(3)), two), shuffle=False, verbose=0)
    assert np.abs(model.get_weights()[0] - before).max() > 0


def test_batches_for_one_device_are_refused(two):
    batches = batches_of(*photographs(4))
    with pytest.raises(
        ValueError, match=r"cannot train on batches for one device: give spread\(batc"
    ):
        compiled(two).fit(batches, verbose=0, shuffle=False)


def test_one_device_is_plain_keras(one):
    model, batches = keras.Sequential([keras.Input((2,))]), batches_of(np.zeros((3, 2)))
    assert replicated(model) is model
    assert spread(batches, one) is batches
    assert one.num_replicas_in_sync == 1
    assert is_chief(one)


@pytest.mark.parametrize("number", few(range(1, 14), 4))
@pytest.mark.parametrize(("num_workers", "num_local"), [(1, 2), (2, 1), (2, 3)])
def test_parts_are_the_batches(number, num_workers, num_local):
    batches = batches_of(np.arange(number), -np.arange(number), batch_size=5)
    num_replicas = num_workers * num_local
    workers = [
        list(parts_of(batches, tf.distribute.InputContext(num_workers, w, num_replicas)))
        for w in range(num_workers)
    ]
    for step, (images, labels) in enumerate(batches.as_numpy_iterator()):
        parts = [p for w in workers for p in w[step * num_local : (step + 1) * num_local]]
        counts = [int(count) for count, _ in parts]
        assert max(counts) - min(counts) <= 1
        assert all(len(part[0]) for _, part in parts), "no part is empty"
        for place, expected in enumerate((images, labels)):
            joined = [p[place][:count] for count, (_, p) in zip(counts, parts, strict=True)]
            np.testing.assert_array_equal(np.concatenate(joined), expected)
    assert all(len(w) == num_local * len(batches) for w in workers)


def test_devices(two):
    assert strategy_for("mirrored", "2") is two
    assert strategy_for("mirrored", 2) is two
    assert strategy_for("mirrored", " cpu:0, cpu:1") is two
    assert two.num_replicas_in_sync == 2
    assert strategy_for("mirrored", "CPU:1").num_replicas_in_sync == 1
    assert is_chief(two)


ADDRESS = "127.0.0.1:1"
TASK = {"type": "worker", "index": 0}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("tpu",), "Give 'none', 'mirrored', 'multiworker'. Received: strategy='tpu'"),
        (("none", "2"), "The strategy 'none' takes no devices"),
        (("multiworker", "2"), "The strategy 'multiworker' takes no devices"),
        (("mirrored", "CPU:0,CPU:7"), "There is no device CPU:7: choose among CPU:0, CPU:1."),
        (("mirrored", "GPU:9"), "There is no device GPU:9: choose among CPU:0, CPU:1"),
        (("mirrored", "CPU:0,CPU:0"), "Received: devices='CPU:0,CPU:0'"),
        (("mirrored", "CPU"), "Give the number of devices, such as '2', or the name of each once"),
        (("mirrored", "0"), "Received: devices='0'"),
        (("mirrored", "-1"), "Received: devices='-1'"),
        (("mirrored", ""), "Received: devices=''"),
    ],
)
def test_what_cannot_be_distributed_is_refused(arguments, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        strategy_for(*arguments)


def test_missing_tf_config_is_refused(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(
        ValueError, match=r"needs the environment variable TF_CONFIG.* set it as in"
    ):
        strategy_for("multiworker")


@pytest.mark.parametrize(
    "config",
    [
        "worker",
        "[]",
        {"cluster": {"worker": [ADDRESS]}},
        {"cluster": {"worker": [ADDRESS]}, "task": {"type": "worker", "index": 1}},
        {"cluster": {"worker": [ADDRESS]}, "task": {"type": "worker", "index": "0"}},
        {"cluster": {"worker": [ADDRESS]}, "task": {"type": "chief", "index": 0}},
        {"cluster": {"worker": [ADDRESS, ADDRESS]}, "task": TASK},
        {"cluster": {"worker": ["127.0.0.1"]}, "task": TASK},
        {"cluster": {"worker": [2222]}, "task": TASK},
        {"cluster": {"worker": []}, "task": TASK},
        {"cluster": {"chief": [ADDRESS]}, "task": {"type": "chief", "index": 0}},
        {"cluster": {"worker": [ADDRESS], "ps": ["127.0.0.1:2"]}, "task": TASK},
        {"cluster": [ADDRESS], "task": TASK},
        {"cluster": {"worker": [ADDRESS]}, "task": {"type": "worker", "index": 0.0}},
        {"cluster": {"worker": [ADDRESS]}, "task": {"type": "worker", "index": 0.5}},
        {"cluster": {"worker": [ADDRESS]}, "task": {"type": "worker", "index": False}},
        {"cluster": {"worker": [ADDRESS]}, "task": {"type": ["worker"], "index": 0}},
        {"cluster": {"worker": ["127.0.0.1:99999"]}, "task": TASK},
        {"cluster": {"worker": [f"{'a' * 300}:2222"]}, "task": TASK},
        "[" * 100_000,
        '{"cluster": {"worker": ["127.0.0.1:2222"]}, "task": {"type": "worker", "index": 1e999}}',
    ],
)
def test_malformed_tf_config_is_refused(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", config if isinstance(config, str) else json.dumps(config))
    with pytest.raises(ValueError, match="TF_CONFIG must contain a cluster of workers"):
        strategy_for("multiworker")


def listener():
    return socket.create_server(("127.0.0.1", 0))


def set_workers(monkeypatch, *addresses):
    cluster = {"worker": [f"127.0.0.1:{port}" for port in addresses]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": TASK}))


def free_port():
    with listener() as server:
        return server.getsockname()[1]


def test_worker_that_does_not_come_is_not_awaited_for_ever(monkeypatch):
    monkeypatch.setattr(workers, "SECONDS_TO_START", 0.3)
    other = free_port()
    set_workers(monkeypatch, free_port(), other)
    sentence = rf"within 0\.3 s: start all workers.* no answer from 127\.0\.0\.1:{other}"
    with pytest.raises(WorkerLost, match=sentence):
        strategy_for("multiworker")


def test_port_in_use_is_refused(monkeypatch):
    with listener() as server:
        port = server.getsockname()[1]
        set_workers(monkeypatch, port, free_port())
        with pytest.raises(
            ValueError, match=rf"cannot listen .*in use.* Received: 127\.0\.0\.1:{port}"
        ):
            strategy_for("multiworker")


def test_workers_are_set_up_first(monkeypatch):
    with listener() as other:
        set_workers(monkeypatch, free_port(), other.getsockname()[1])
        tf.zeros(1)
        with pytest.raises(ValueError, match=r"before TensorFlow computes anything .*first"):
            strategy_for("multiworker")
