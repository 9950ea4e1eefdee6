"""A model whose steps are distributed over the replicas of a strategy."""

import keras

from kerasvis.data.tensorflow_only import tf
from kerasvis.training.workers import is_multiworker, needs_all_workers

_BATCH_NORMALIZATION = keras.layers.BatchNormalization


def replicated(model):
    """A model of the same layers whose training and evaluation are distributed over the replicas.

    Args:
        model: a functional or built Sequential `keras.Model`, created under `strategy.scope()`.

    Returns:
        A `ReplicatedModel`, to be compiled under `strategy.scope()` and trained on the batches of
        `spread`; `model` itself, if it was created for one device.
    """
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1 and not is_multiworker(strategy):
        return model
    with strategy.scope():
        return ReplicatedModel(model)


def spread(batches, strategy):
    """The same batches, each distributed evenly over the replicas of all workers.

    Each worker reads every batch and takes its part, so all must read the same batches. If a batch
    has fewer images than replicas, some replicas get an image with weight 0, because convolutions
    and batch normalisation do not support empty parts.

    Args:
        batches: a `tf.data.Dataset` of `(images, labels)`, or `(images, labels, weights)`.
        strategy: a `tf.distribute.Strategy`.

    Returns:
        A `tf.distribute.DistributedDataset` of `(number of images that count, part)` for
        `ReplicatedModel`; `batches` itself for one device.
    """
    if strategy.num_replicas_in_sync == 1 and not is_multiworker(strategy):
        return batches
    parts = strategy.distribute_datasets_from_function(lambda worker: parts_of(batches, worker))
    parts._cardinality = int(batches.cardinality())  # Keras reads it; it would be unknown
    return parts


class ReplicatedModel(keras.Model):
    """A model whose steps compute one batch with all replicas; created by `replicated`.

    Keras' own steps weight the mean of a small part of a last batch like that of a large one, and
    pass empty parts to layers that do not support them. Under several workers (Keras 3.15) they
    fail: first when they average a batch over the replicas to infer its shape, then when they
    average scalar metrics along an axis that these do not have.

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
        num_images = tf.identity(num_images)  # on this replica's device, as all_reduce requires
        in_all = replica.all_reduce(tf.distribute.ReduceOp.SUM, num_images)
        with tf.GradientTape() as tape:
            loss = self._step(num_images, batch, training=True)
            # Keras divides by the number of replicas and sums over them, which is correct for
            # parts of one size. So each part is weighted by its number of images.
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
        """Trains; raises `WorkerLost` if a worker has died."""
        with needs_all_workers(self.distribute_strategy):
            return super().fit(*arguments, **options)

    def evaluate(self, *arguments, **options):
        """Evaluates; raises `WorkerLost` if a worker has died."""
        with needs_all_workers(self.distribute_strategy):
            return super().evaluate(*arguments, **options)

    def _step(self, num_images, batch, training):
        """The loss of one part, divided by the number of replicas; updates the metrics."""
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(batch)
        predictions = self(images, training=training)
        # Not sliced: Keras finds the softmax that computed the predictions, to use its scores.
        loss = self.compute_loss(images, labels, predictions, weights, training=training)
        num_replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self._loss_tracker.update_state(loss * num_replicas, sample_weight=num_images)
        number = tf.cast(num_images, tf.int32)
        weights = None if weights is None else weights[:number]
        self.compute_metrics(images, labels[:number], predictions[:number], weights)
        return loss

    def _share_statistics(self, replica):
        """Averages the moving statistics of batch normalisation, which Keras keeps per replica.

        So all replicas evaluate the same model, which is also the one that is saved.
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
            return self.get_metrics_result()  # outside the replicas: the sum over all

        # Getting the batch inside would start a step, and decay weights, at the end of the data.
        return lambda batches: on_parts(next(batches))

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Creates the variables of optimiser and metrics, which cannot be created in a step."""
        if self._steps_are_built:
            return
        if iterator is not None:
            _, _, batches = next(iter(iterator))
            data = tf.nest.map_structure(self._first_part, next(batches))
            if data[0].shape.rank != 0:
                raise ValueError(
                    "A replicated model cannot train on batches for one device: give "
                    "spread(batches, strategy). Received: batches whose first element has shape "
                    f"{tuple(data[0].shape)}"
                )
            _, data_batch = data
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=data_batch)
        self._steps_are_built = True

    def _first_part(self, values):
        return self.distribute_strategy.experimental_local_results(values)[0]


def parts_of(batches, worker):
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
