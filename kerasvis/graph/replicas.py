"""One batch for each replica of a model at the same time."""

import keras
import numpy as np
from keras import ops


def num_replicas(model):
    """Devices that compute at the same time: more than one if made within a strategy's scope."""
    strategy = getattr(model, "distribute_strategy", None)
    return 1 if strategy is None else strategy.num_replicas_in_sync


def predict_on_replicas(model, batches, lengths):
    """`predict_on_batch` of several batches, each of which goes to one replica as a whole.

    A batch is never divided: its values can depend, in the last bit, on how large it is.

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
