"""Measures how long the steps of an epoch wait for data."""

import time

import keras

from kerasvis.data.tensorflow_only import tf


class WaitingForData(keras.callbacks.Callback):
    """Adds to an epoch's logs the share of its time in which steps wait for data.

    The callback measures the time between the request and the arrival of each batch at the end of
    the pipeline, with two clock readings per batch. The result is the share of time in which the
    devices cannot compute because of the pipeline, and about 0 if the pipeline is fast enough. If
    batches are requested ahead of the step (under `tf.distribute`, or on a GPU, which computes
    meanwhile), it is an upper bound.

    The logs get `waiting_for_data`, in [0, 1], and `seconds`, the time of the training steps alone.

    Example:
        >>> import keras
        >>> import tensorflow as tf
        >>> import kerasvis as kv
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> batches = tf.data.Dataset.from_tensors((tf.ones((8, 4)), tf.ones((8, 1))))
        >>> waiting = kv.training.WaitingForData()
        >>> fitted = waiting.watch(batches)
        >>> history = model.fit(fitted, epochs=2, shuffle=False, callbacks=[waiting], verbose=0)
        >>> len(history.history["waiting_for_data"])
        2
    """

    def __init__(self):
        super().__init__()
        with tf.device("CPU"):
            self._waited = tf.Variable(0.0, trainable=False, dtype=tf.float64)

    def watch(self, batches: "tf.data.Dataset") -> "tf.data.Dataset":
        """The same batches, with their waiting times measured.

        Args:
            batches: a `tf.data.Dataset`, exactly as `fit` takes it.
        """
        # Pairs are created one at a time, the left part first: the time of the request.
        requested = tf.data.Dataset.counter().map(lambda _: tf.timestamp())

        def arrived(requested, batch):
            self._waited.assign_add(tf.timestamp() - requested)
            return batch

        return tf.data.Dataset.zip(requested, batches).map(arrived)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._waited.assign(0.0)
        self._begin, self._seconds = time.perf_counter(), None

    def on_test_begin(self, logs: dict | None = None) -> None:
        self._end_of_steps()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._end_of_steps()
        logs = {} if logs is None else logs
        logs["seconds"] = self._seconds
        logs["waiting_for_data"] = min(1.0, self._waited_for / self._seconds)

    def _end_of_steps(self):
        """Training steps end when validation begins, or, without it, when the epoch ends."""
        if self._seconds is None:
            self._seconds = time.perf_counter() - self._begin
            self._waited_for = float(self._waited.numpy())
