"""Prediction on all replicas of a model at the same time."""

import keras
import numpy as np
from keras import ops


def num_replicas(model):
    """Number of devices that compute in parallel: more than one if made in a strategy's scope."""
    strategy = getattr(model, "distribute_strategy", None)
    return 1 if strategy is None else strategy.num_replicas_in_sync


def predict_any_number(model, inputs, batch_size, verbose=0):
    """`predict` for any number of examples; Keras fails if a replica is left without one.

    Args:
        model: a `keras.Model`.
        inputs: dictionary of arrays `(examples, ...)`.
        batch_size: examples per step.
        verbose: whether Keras shows its progress bar.

    Returns:
        What `predict` returns.
    """
    replicas = num_replicas(model)
    if replicas == 1:
        return model.predict(inputs, batch_size, verbose)
    number = len(next(iter(inputs.values())))
    # The last example is repeated until every batch can be divided among the replicas.
    rows = np.minimum(np.arange(-(-number // replicas) * replicas), number - 1)
    inputs = {name: np.asarray(array)[rows] for name, array in inputs.items()}
    outputs = model.predict(inputs, -(-batch_size // replicas) * replicas, verbose)
    return keras.tree.map_structure(lambda array: array[:number], outputs)


def predict_on_replicas(model, batches, lengths):
    """`predict_on_batch` for several batches, each of which goes to one replica.

    A batch is never divided: its values can depend on its size in the last bit.

    Args:
        model: a `keras.Model` whose outputs have the batch as their first axis.
        batches: list of inputs, at most one for each replica.
        lengths: the length of the outputs of each.

    Returns:
        List of the outputs, tuples of NumPy arrays.
    """
    if num_replicas(model) == 1:
        return [model.predict_on_batch(batch) for batch in batches]
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
