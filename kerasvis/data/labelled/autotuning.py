"""Data sets that tf.data does not tune while they run.

When an iteration over a tuned data set ends, it waits for the thread that tunes. That thread can
miss that it is to stop, and then sleeps until its period is over, which doubles from 10 ms on: what
took 21 seconds ends after 41 (TensorFlow 2.21 on two cores). Without tuning nobody is waited for;
where parallelism is left to tf.data, it is that of the machine's cores.
"""

from kerasvis.data.tensorflow_only import tf


def without_autotuning(dataset):
    """The same `tf.data.Dataset` without tuning; what is made of it has none either."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
