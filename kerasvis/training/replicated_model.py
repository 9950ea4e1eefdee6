"""A model whose steps are shared out over the replicas of a strategy."""

import keras

from kerasvis.data.tensorflow_only import tf
from kerasvis.training.workers import is_multiworker, needs_all_workers

_BATCH_NORMALIZATION = keras.layers.BatchNormalization


def replicated(model):
    """A model of the same layers whose training and evaluation are shared out over the replicas.

    Args:
        model: a functional or built Sequential `keras.Model`, made under `strategy.scope()`.

    Returns:
        A `ReplicatedModel`, to be compiled under `strategy.scope()` and fed with what `spread`
        returns; `model` itself, if it was made for one device.
    """
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1 and not is_multiworker(strategy):
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
    if strategy.num_replicas_in_sync == 1 and not is_multiworker(strategy):
        return batches
    parts = strategy.distribute_datasets_from_function(lambda worker: parts_of(batches, worker))
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
        with needs_all_workers(self.distribute_strategy):
            return super().fit(*arguments, **options)

    def evaluate(self, *arguments, **options):
        """Evaluates; raises `WorkerLost` when a worker has died."""
        with needs_all_workers(self.distribute_strategy):
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
