"""Training over several devices and several machines: the strategy under which a model is made.

```python
strategy = strategy_for("mirrored")            # or "none", or "multiworker"
with strategy.scope():
    model = kerasvis.convnets.ZFNet(...)       # what is made here has a copy on every device
trained = replicated(model)                    # the same layers; its steps are shared out
with strategy.scope():
    trained.compile("sgd", "sparse_categorical_crossentropy")
trained.fit(spread(batches, strategy))         # `batches` are those of one device
```

A *replica* is a device with its copy of the weights. A step works on one batch, of which each
replica gets a part; what they compute is what one device would compute from the whole batch, up
to the order of sums. Batch normalisation is the exception: each replica normalises by the
statistics of its own part.

Two machines: the same program runs on each, with the same seed, data and folder (a shared one), and
differs in the environment variable `TF_CONFIG` only. On the first:

    TF_CONFIG='{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]},
                "task": {"type": "worker", "index": 0}}' \\
        kerasvis train --strategy multiworker ...

and with `"index": 1` on the second. Worker 0 is the chief: it alone writes. If a worker dies, the
others end too; started again, all go on after the last whole epoch.
"""

import contextlib
import functools
import os
import re

from kerasvis.data.tensorflow_only import tf
from kerasvis.training.workers import await_workers, read_tf_config

SECONDS_TO_ANSWER = 1800  # the chief may write and draw, while the others wait

_STRATEGIES = ("none", "mirrored", "multiworker")


def strategy_for(name="none", devices=None):
    """The `tf.distribute.Strategy` under which a model is made and trained.

    To be called before anything else touches TensorFlow: `"multiworker"`, and CPU devices beyond
    the first, have to be set up when it starts.

    Args:
        name: `"none"`, one device; `"mirrored"`, several devices of this machine; `"multiworker"`,
            several machines, as `TF_CONFIG` says.
        devices: for `"mirrored"`, their number, as `"2"`, or their names, as `"GPU:0,GPU:1"`;
            None stands for all GPUs, or the CPU where there are none. One CPU can stand for
            several devices, `"CPU:0,CPU:1"`, to try things out.

    Returns:
        A `tf.distribute.Strategy`; `strategy.scope()` is where the model has to be built.

    Raises:
        ValueError: if there is no such strategy or device, or `TF_CONFIG` is missing or malformed.
        WorkerLost: if the other workers do not come up within `SECONDS_TO_START`.
    """
    if name not in _STRATEGIES:
        raise ValueError(f"The strategy is {name!r}: give {', '.join(map(repr, _STRATEGIES))}.")
    if name == "mirrored":
        return _mirrored_strategy(_device_names(devices))
    if devices is not None:
        raise ValueError(
            f"Devices {devices!r} were given with the strategy {name!r}: they belong to "
            "'mirrored'; a worker takes all its GPUs, or its CPU."
        )
    return tf.distribute.get_strategy() if name == "none" else _multiworker_strategy()


def is_chief(strategy):
    """Whether this process is the one that writes: worker 0, or the only one."""
    cluster = strategy.cluster_resolver
    if cluster is None or not cluster.task_type:
        return True
    return cluster.task_type == "chief" or (
        cluster.task_id == 0 and "chief" not in cluster.cluster_spec().jobs
    )


@functools.cache  # a second one for the same devices would take the first one's keys for its sums
def _mirrored_strategy(devices):
    if all(device.startswith("CPU") for device in devices):
        # Sums in one place need no such keys, and cannot meet those of other strategies.
        reduction = tf.distribute.ReductionToOneDevice()
        return tf.distribute.MirroredStrategy(list(devices), cross_device_ops=reduction)
    return tf.distribute.MirroredStrategy(list(devices))


def _device_names(devices):
    """Names of existing devices, as `("GPU:0", "GPU:1")`."""
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    if devices is None:
        return tuple(_existing(kind))
    names = tuple(name.strip().upper() for name in str(devices).split(","))
    if re.fullmatch(r"[0-9]{1,3}", str(devices).strip()):
        names = tuple(f"{kind}:{number}" for number in range(int(devices)))
    well_formed = all(re.fullmatch(r"(CPU|GPU):[0-9]{1,3}", name) for name in names)
    if not names or not well_formed or len(set(names)) < len(names):
        raise ValueError(
            f"The devices are {str(devices)!r}: give their number, as '2', or the name of each "
            "once, as 'GPU:0,GPU:1'."
        )
    _divide_cpu(1 + max((int(name[4:]) for name in names if name.startswith("CPU")), default=0))
    existing = _existing("CPU") + _existing("GPU")
    if missing := [name for name in names if name not in existing]:
        raise ValueError(
            f"There is no device {missing[0]}: choose among {', '.join(existing)}. (A CPU can "
            "stand for as many as it has cores, if TensorFlow has not started yet.)"
        )
    return names


def _existing(kind):
    return [d.name.removeprefix("/device:") for d in tf.config.list_logical_devices(kind)]


def _divide_cpu(number):
    """Lets the CPU stand for several devices, if TensorFlow has not started yet."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    if 1 < number <= (os.cpu_count() or 1):
        with contextlib.suppress(RuntimeError):
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration()] * number
            )


def _multiworker_strategy():
    jobs, (job, index) = read_tf_config()
    await_workers(
        [address for addresses in jobs.values() for address in addresses], jobs[job][index]
    )
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=SECONDS_TO_ANSWER)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    except RuntimeError as error:
        raise ValueError(
            "The strategy 'multiworker' can be set up only before TensorFlow has computed "
            f"anything ({error}): call strategy_for first."
        ) from error
