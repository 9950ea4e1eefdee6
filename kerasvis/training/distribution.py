"""Training over several devices and several machines: the one file that knows `tf.distribute`.

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
import socket
import time

import keras
import tensorflow as tf

from kerasvis.storage.text_files import parse_json

SECONDS_TO_START = 300  # for all workers to be there
SECONDS_TO_ANSWER = 1800  # the chief may write and draw, while the others wait

_BATCH_NORMALIZATION = keras.layers.BatchNormalization
_STRATEGIES = ("none", "mirrored", "multiworker")
_EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


class WorkerLost(ConnectionError):  # noqa: N818 - what happened, not a fault of the program
    """Another worker died or does not answer; the training cannot go on without it."""


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


def replicated(model):
    """A model of the same layers whose training and evaluation are shared out over the replicas.

    Args:
        model: a functional or built Sequential `keras.Model`, made under `strategy.scope()`.

    Returns:
        A `ReplicatedModel`, to be compiled under `strategy.scope()` and fed with what `spread`
        returns; `model` itself, if it was made for one device.
    """
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1 and not _is_multiworker(strategy):
        return model
    with strategy.scope():
        return ReplicatedModel(model)


def spread(batches, strategy):
    """The same batches, each to be shared out evenly over the replicas of all workers.

    Each worker reads every batch and takes its part, so all have to get the same ones. A batch
    of fewer images than replicas leaves some with an image that counts 0: convolutions and batch
    normalisation do not bear empty parts.

    Args:
        batches: a `tf.data.Dataset` of `(images, labels)`, or with weights of the images besides.
        strategy: a `tf.distribute.Strategy`.

    Returns:
        A `tf.distribute.DistributedDataset` of `(images that count, part)` for `ReplicatedModel`;
        `batches` itself, if there is one device.
    """
    if strategy.num_replicas_in_sync == 1 and not _is_multiworker(strategy):
        return batches
    parts = strategy.distribute_datasets_from_function(lambda worker: _parts(batches, worker))
    parts._cardinality = int(batches.cardinality())  # Keras asks for it; there it is unknown
    return parts


class ReplicatedModel(keras.Model):
    """A model whose steps work on one batch with all replicas; made by `replicated`.

    Why not Keras' own steps: they count the mean of a small part of a last batch as much as that of
    a large one, pass empty parts to layers that cannot take them, and under several workers
    (Keras 3.15) fail, first where the mean of a batch over the replicas is taken to learn its
    shape, then where scalar measures are averaged along an axis they do not have.

    Args:
        model: see `replicated`.
    """

    def __init__(self, model):
        super().__init__(model.inputs, model.outputs, name=model.name)
        self._steps_are_built = False

    def compile(self, *arguments, **options):
        self._steps_are_built = False
        super().compile(*arguments, **options)

    def train_step(self, data):
        num_images, batch = data
        replica = tf.distribute.get_replica_context()
        num_images = tf.identity(num_images)  # on this replica's device, as all_reduce has it
        in_all = replica.all_reduce(tf.distribute.ReduceOp.SUM, num_images)
        with tf.GradientTape() as tape:
            loss = self._step(num_images, batch, training=True)
            # Keras sums over the replicas what it has divided by their number: right for parts of
            # one size, so each part counts by its images.
            share = replica.num_replicas_in_sync * num_images / in_all
            loss = self.optimizer.scale_loss(loss * tf.cast(share, loss.dtype))
        weights = self.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        self._share_statistics(replica)

    def test_step(self, data):
        self._step(*data, training=False)

    def make_train_function(self, force=False):
        if force or self.train_function is None:
            self.train_function = self._on_all_replicas(self.train_step)

    def make_test_function(self, force=False):
        if force or self.test_function is None:
            self.test_function = self._on_all_replicas(self.test_step)

    def fit(self, *arguments, **options):
        """Trains; raises `WorkerLost` when a worker has died."""
        with _workers(self.distribute_strategy):
            return super().fit(*arguments, **options)

    def evaluate(self, *arguments, **options):
        """Evaluates; raises `WorkerLost` when a worker has died."""
        with _workers(self.distribute_strategy):
            return super().evaluate(*arguments, **options)

    def _step(self, num_images, batch, training):
        """The loss of one part, divided by the number of replicas; the measures take note of it."""
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(batch)
        predictions = self(images, training=training)
        # Of whole predictions: Keras looks for the softmax they come from, to use its scores.
        loss = self.compute_loss(images, labels, predictions, weights, training=training)
        num_replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self._loss_tracker.update_state(loss * num_replicas, sample_weight=num_images)
        counted = tf.cast(num_images, tf.int32)
        weights = None if weights is None else weights[:counted]
        self.compute_metrics(images, labels[:counted], predictions[:counted], weights)
        return loss

    def _share_statistics(self, replica):
        """Takes the mean of what batch normalisation remembers; Keras leaves each replica its own.

        So all replicas evaluate the same model, and the one that is saved.
        """
        layers = [
            layer for layer in self._flatten_layers() if isinstance(layer, _BATCH_NORMALIZATION)
        ]
        statistics = [weight for layer in layers for weight in layer.non_trainable_weights]
        if statistics:
            values = [tf.identity(weight.value) for weight in statistics]
            means = replica.all_reduce(tf.distribute.ReduceOp.MEAN, values)
            for weight, mean in zip(statistics, means, strict=True):
                weight.assign(mean)

    def _on_all_replicas(self, step):
        @tf.function(reduce_retracing=True, autograph=False)
        def on_parts(parts):
            self.distribute_strategy.run(step, args=(parts,))
            return self.get_metrics_result()  # read outside of the replicas: the sum over all

        # Taking the batch inside would let the step begin, and decay weights, where none is left.
        return lambda batches: on_parts(next(batches))

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Makes the variables of optimiser and metrics, which cannot be made inside a step."""
        if self._steps_are_built:
            return
        if iterator is not None:
            _, _, batches = next(iter(iterator))
            data = tf.nest.map_structure(self._first_part, next(batches))
            if data[0].shape.rank != 0:
                raise ValueError(
                    "A replicated model was given batches as for one device: give spread(batches, "
                    "strategy)."
                )
            _, data_batch = data
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=data_batch)
        self._steps_are_built = True

    def _first_part(self, values):
        return self.distribute_strategy.experimental_local_results(values)[0]


def _parts(batches, worker):
    """The parts of this worker's replicas, one after another."""
    num_replicas = worker.num_replicas_in_sync
    num_local = num_replicas // worker.num_input_pipelines
    first = worker.input_pipeline_id * num_local

    def part_of(batch, number):
        num_images = tf.shape(batch[0], out_type=tf.int64)[0]
        begin, end = number * num_images // num_replicas, (number + 1) * num_images // num_replicas
        part = tuple(values[begin : tf.maximum(end, begin + 1)] for values in batch)
        return tf.cast(end - begin, tf.float32), part

    def parts(*batch):
        numbers = tf.data.Dataset.range(first, first + num_local)
        return numbers.map(lambda number: part_of(batch, number))

    return batches.flat_map(parts).prefetch(tf.data.AUTOTUNE)


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


def _is_multiworker(strategy):
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def _multiworker_strategy():
    jobs, (job, index) = _read_tf_config()
    _await_workers(
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


def _read_tf_config():
    """`({job: addresses}, (job, index))` of the environment variable, checked."""
    text = os.environ.get("TF_CONFIG")
    if not text:
        raise ValueError(
            "The strategy 'multiworker' needs the environment variable TF_CONFIG, the same for "
            f"every worker but for the index: set it as in TF_CONFIG='{_EXAMPLE}'."
        )
    try:
        config = parse_json(text)
        jobs, job, index = config["cluster"], config["task"]["type"], config["task"]["index"]
        addresses = [address for job in jobs.values() for address in job]
        well_formed = (
            {"worker"} <= set(jobs) <= {"chief", "worker"}
            and all(map(_is_address, addresses))
            and len(set(addresses)) == len(addresses)
            and type(index) is int
            and index in range(len(jobs[job]))
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        well_formed = False
    if not well_formed:
        raise ValueError(
            "TF_CONFIG is not a cluster of workers, each with an address of its own, and a task "
            f"among them: set it as in TF_CONFIG='{_EXAMPLE}'. Received: TF_CONFIG={text[:200]!r}"
        )
    return jobs, (job, index)


def _is_address(address):
    host, _, port = address.rpartition(":")
    is_port = re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= 65535
    return bool(re.fullmatch(r"[\w.\-:\[\]%]{1,253}", host)) and is_port


def _await_workers(addresses, own):
    """Returns when all workers are there; TensorFlow would wait for ever."""
    deadline = time.monotonic() + SECONDS_TO_START
    try:
        listener = socket.create_server(("", int(own.rpartition(":")[2])))
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"This worker cannot listen at {own} ({error}): end what does, or give it another port "
            "in TF_CONFIG."
        ) from error
    with listener:
        for address in addresses:
            while address != own and not _answers(address):
                if time.monotonic() > deadline:
                    raise WorkerLost(
                        f"No worker answers at {address} within {SECONDS_TO_START} s: start all "
                        "workers, with the same addresses in TF_CONFIG."
                    )
                time.sleep(0.2)


def _answers(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, UnicodeError):  # the latter of a host whose name cannot be one
        return False
    return True


@contextlib.contextmanager
def _workers(strategy):
    """Turns what TensorFlow reports when another worker is gone into a sentence."""
    gone = (
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.UnavailableError,
    )
    try:
        yield
    except gone as error:
        if not _is_multiworker(strategy):
            raise
        raise WorkerLost(
            "Another worker died or does not answer any more: start all workers again, and they "
            "go on after the last whole epoch."
        ) from error
