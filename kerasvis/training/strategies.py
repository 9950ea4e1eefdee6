"""Training over several devices and several machines: the strategy under which a model is built.

```python
strategy = strategy_for("mirrored")            # or "none", or "multiworker"
with strategy.scope():
    model = kerasvis.convnets.ZFNet(...)       # variables created here are copied to every device
trained = replicated(model)                    # the same layers, with distributed steps
with strategy.scope():
    trained.compile("sgd", "sparse_categorical_crossentropy")
trained.fit(spread(batches, strategy))         # `batches` are those of one device
```

A *replica* is a device with its copy of the weights. A step computes one batch, of which each
replica gets a part. The result is what one device would compute from the whole batch, up to the
order of sums. Batch normalisation is the exception: each replica normalises by the statistics of
its own part.

On two machines, run the same program on each, with the same seed, data and (shared) folder. Only
the environment variable `TF_CONFIG` differs. On the first:

    TF_CONFIG='{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]},
                "task": {"type": "worker", "index": 0}}' \\
        kerasvis train --strategy multiworker ...

and with `"index": 1` on the second. Worker 0 is the chief: it alone writes files. If a worker dies,
the others end too; when started again, all resume after the last completed epoch.
"""

import contextlib
import functools
import os
import re

from kerasvis.data.tensorflow_only import tf
from kerasvis.training.workers import await_workers, read_tf_config

SECONDS_TO_ANSWER = 1800  # the others wait while the chief writes files and draws figures

_STRATEGIES = ("none", "mirrored", "multiworker")


def strategy_for(name="none", devices=None):
    """The `tf.distribute.Strategy` under which a model is built and trained.

    Call it before anything else uses TensorFlow: `"multiworker"`, and CPU devices beyond the first,
    must be set up at its start.

    Args:
        name: `"none"`, one device; `"mirrored"`, several devices of this machine; `"multiworker"`,
            several machines, defined by `TF_CONFIG`.
        devices: for `"mirrored"`, their number, such as `"2"`, or their names, such as
            `"GPU:0,GPU:1"`; None for all GPUs, or the CPU if there are none. For trying things
            out, one CPU can serve as several devices, `"CPU:0,CPU:1"`.

    Returns:
        A `tf.distribute.Strategy`; build the model under `strategy.scope()`.

    Raises:
        ValueError: if there is no such strategy or device, or `TF_CONFIG` is missing or malformed.
        WorkerLost: if the other workers do not start within `SECONDS_TO_START`.
    """
    if name not in _STRATEGIES:
        raise ValueError(f"Give {', '.join(map(repr, _STRATEGIES))}. Received: strategy={name!r}")
    if name == "mirrored":
        return _mirrored_strategy(_device_names(devices))
    if devices is not None:
        raise ValueError(
            f"The strategy {name!r} takes no devices, only 'mirrored' does: leave them out; a "
            f"worker uses all its GPUs, or its CPU. Received: devices={devices!r}"
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


@functools.cache  # a second strategy for the same devices would reuse the first one's keys for sums
def _mirrored_strategy(devices):
    if all(device.startswith("CPU") for device in devices):
        # Sums on one device need no such keys, and cannot mix with those of other strategies.
        reduction = tf.distribute.ReductionToOneDevice()
        return tf.distribute.MirroredStrategy(list(devices), cross_device_ops=reduction)
    return tf.distribute.MirroredStrategy(list(devices))


def _device_names(devices):
    """Names of existing devices, such as `("GPU:0", "GPU:1")`."""
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    if devices is None:
        return tuple(_existing(kind))
    names = tuple(name.strip().upper() for name in str(devices).split(","))
    if re.fullmatch(r"[0-9]{1,3}", str(devices).strip()):
        names = tuple(f"{kind}:{number}" for number in range(int(devices)))
    well_formed = all(re.fullmatch(r"(CPU|GPU):[0-9]{1,3}", name) for name in names)
    if not names or not well_formed or len(set(names)) < len(names):
        raise ValueError(
            "Give the number of devices, such as '2', or the name of each once, such as "
            f"'GPU:0,GPU:1'. Received: devices={str(devices)!r}"
        )
    _divide_cpu(1 + max((int(name[4:]) for name in names if name.startswith("CPU")), default=0))
    existing = _existing("CPU") + _existing("GPU")
    if missing := [name for name in names if name not in existing]:
        raise ValueError(
            f"There is no device {missing[0]}: choose among {', '.join(existing)}. (A CPU can "
            "serve as one device per core, if TensorFlow has not started yet.) "
            f"Received: devices={str(devices)!r}"
        )
    return names


def _existing(kind):
    return [d.name.removeprefix("/device:") for d in tf.config.list_logical_devices(kind)]


def _divide_cpu(number):
    """Divides the CPU into several devices, if TensorFlow has not started yet."""
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
            "The strategy 'multiworker' must be set up before TensorFlow computes anything "
            f"({error}): call strategy_for first. Received: strategy='multiworker'"
        ) from error
