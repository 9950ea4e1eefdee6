"""Prediction on all replicas of a model at the same time.

Replicas are those of a `tf.distribute` strategy, in whose scope a model was made, or on JAX the
devices among which a `keras.distribution` divides batches.
"""

import contextlib

import keras
import numpy as np
from keras import ops


def num_replicas(model):
    """Number of devices that compute in parallel."""
    strategy = getattr(model, "distribute_strategy", None)
    if strategy is not None:
        return strategy.num_replicas_in_sync
    distribution = _distribution()
    if distribution is None:
        return 1
    mesh = distribution.device_mesh
    return mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)]


def predict_undivided(model, inputs):
    """`predict_on_batch` for inputs that are not rows of examples, or too few for all devices.

    Under a `keras.distribution` every device computes the same.
    """
    with _undivided():
        return model.predict_on_batch(inputs)


def predict_any_number(model, inputs, batch_size, verbose=0):
    """`predict` for any number of examples; `predict` itself fails if a replica receives none.

    Args:
        model: a `keras.Model`.
        inputs: dictionary of arrays `(examples, ...)`.
        batch_size: examples per step.
        verbose: whether Keras shows its progress bar.

    Returns:
        What `predict` returns.
    """
    replicas = num_replicas(model)
    number = len(next(iter(inputs.values())))
    if replicas == 1 and number <= batch_size and not verbose:
        return model.predict_on_batch(inputs)  # without the time that a data set takes to start
    if replicas == 1:
        return model.predict(inputs, batch_size, verbose)
    if model.run_eagerly:  # replicas run at the same time only when compiled
        return _called_in_batches(model, inputs, batch_size)
    # The last example is repeated until every batch can be divided among the replicas.
    rows = np.minimum(np.arange(-(-number // replicas) * replicas), number - 1)
    inputs = {name: np.asarray(array)[rows] for name, array in inputs.items()}
    outputs = model.predict(inputs, -(-batch_size // replicas) * replicas, verbose)
    return keras.tree.map_structure(lambda array: array[:number], outputs)


def _called_in_batches(model, inputs, batch_size):
    number = len(next(iter(inputs.values())))
    parts = [
        model({name: array[i : i + batch_size] for name, array in inputs.items()}, training=False)
        for i in range(0, number, batch_size)
    ]
    parts = keras.tree.map_structure(ops.convert_to_numpy, parts)
    return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *parts)


def even_batch_size(number, at_most):
    """The size of the fewest batches of one size that `number` examples fill nearly exactly."""
    return -(-number // -(-number // at_most))


def predict_on_replicas(model, batches, lengths):
    """`predict_on_batch` for several batches, one on each replica.

    A batch is never divided, since the last bit of its values can depend on its size.

    Args:
        model: a `keras.Model` whose outputs have the batch as their first axis.
        batches: list of inputs, at most one for each replica.
        lengths: for each batch, the length of its outputs.

    Returns:
        List of the outputs, tuples of NumPy arrays.
    """
    if num_replicas(model) == 1:
        return [model.predict_on_batch(batch) for batch in batches]
    if _distribution() is not None:
        return _predict_distributed(model, batches)
    # Replicas for which no batch is left repeat the last one.
    shares = [*batches, *batches[-1:] * (num_replicas(model) - len(batches))]
    values_of = model.distribute_strategy.experimental_distribute_values_from_function
    shares = keras.tree.map_structure(
        lambda *values: values_of(
            lambda replica: ops.convert_to_tensor(values[replica.replica_id_in_sync_group])
        ),
        *shares,
    )
    ends = np.cumsum(lengths)
    parts = [np.split(array, ends)[: len(batches)] for array in model.predict_on_batch(shares)]
    return list(zip(*parts, strict=True))


def _predict_distributed(model, batches):
    """The same under a `keras.distribution`, which divides the first axis evenly.

    Inputs that contain more than examples, such as feature maps that all occluder positions share,
    are left undivided.
    """
    if isinstance(batches[0], dict):
        return [predict_undivided(model, batch) for batch in batches]
    length = max(len(batch) for batch in batches)
    shares = [batch[np.minimum(np.arange(length), len(batch) - 1)] for batch in batches]
    shares += shares[-1:] * (num_replicas(model) - len(shares))
    outputs = model.predict_on_batch(np.concatenate(shares))
    parts = [np.split(array, len(shares)) for array in outputs]
    return [
        tuple(array[: len(batch)] for array in arrays)
        for batch, arrays in zip(batches, zip(*parts, strict=True), strict=False)
    ]


def _distribution():
    """The `keras.distribution` in effect on JAX, or None."""
    return keras.distribution.distribution() if keras.backend.backend() == "jax" else None


@contextlib.contextmanager
def _undivided():
    distribution = _distribution()
    if distribution is None:
        yield
        return
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)
