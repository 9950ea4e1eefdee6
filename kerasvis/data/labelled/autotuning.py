"""Turns off autotuning by tf.data.

The end of an iteration over a tuned data set waits for the tuning thread. That thread can miss the
signal to stop, and then sleeps until the end of its period, which doubles from 10 ms on: an
iteration of 21 seconds ends after 41 (TensorFlow 2.21 on two cores). Without tuning there is no
such wait, and `tf.data.AUTOTUNE` uses all cores of the machine.
"""

from kerasvis.data.tensorflow_only import tf


def without_autotuning(dataset):
    """The same `tf.data.Dataset` without tuning, like all data sets derived from it."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
