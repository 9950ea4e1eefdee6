import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasvis.training import WaitingForData

STEPS, SLOW = 10, 0.03


def slow_batches(seconds):
    def wait(number):
        time.sleep(seconds)
        return np.float32(number)

    def batch(number):
        value = tf.ensure_shape(tf.numpy_function(wait, [number], tf.float32), ())
        return value * tf.ones((2, 3)), tf.zeros((2, 1))

    return tf.data.Dataset.range(STEPS).map(batch)


def seconds_waited_and_computed(seconds_per_batch, seconds_per_step):
    class Slow(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            time.sleep(seconds_per_step)

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    waiting = WaitingForData()
    batches = waiting.watch(slow_batches(seconds_per_batch))
    history = model.fit(batches, epochs=2, callbacks=[waiting, Slow()], shuffle=False, verbose=0)
    seconds, share = history.history["seconds"][1], history.history["waiting_for_data"][1]
    return share * seconds, (1 - share) * seconds


@pytest.mark.slow
def test_slow_data_and_slow_steps_are_told_apart():
    # Bounds from below alone: they hold however busy the machine is.
    waited, _ = seconds_waited_and_computed(SLOW, 0)
    assert waited >= STEPS * SLOW
    _, computed = seconds_waited_and_computed(0, SLOW)
    assert computed >= STEPS * SLOW


def test_the_batches_are_the_same():
    batches = tf.data.Dataset.range(7).batch(3)
    watched = list(WaitingForData().watch(batches).as_numpy_iterator())
    assert [batch.tolist() for batch in watched] == [[0, 1, 2], [3, 4, 5], [6]]


def test_validation_is_no_training_step(monkeypatch):
    waiting = WaitingForData()
    now = iter([0.0, 2.0, 100.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    waiting.on_epoch_begin(0)
    waiting.on_test_begin()
    logs = {}
    waiting.on_epoch_end(0, logs)
    assert logs == {"seconds": 2.0, "waiting_for_data": pytest.approx(0)}
