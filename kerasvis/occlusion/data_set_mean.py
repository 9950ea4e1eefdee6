"""The mean of a model's training set, in the units of its images."""

import keras
import numpy as np

from kerasvis.graph import pixelwise_nodes, read_graph
from kerasvis.layers import PixelMean


def mean_of_data_set(model, preprocessing):
    """The mean of the model's training set, in the units of its images.

    It is that of the model's own `PixelMean` or `Normalization`, if one comes first, otherwise the
    one that the preprocessing subtracts.

    Returns:
        Array `(rows, columns, channels)`, with axes of length 1 along which it is constant; or a
        number; or None if it is not known.
    """
    graph = read_graph(model)
    for node in pixelwise_nodes(graph.inputs[0], graph.nodes):
        if node.inputs == graph.inputs and isinstance(node.layer, PixelMean):
            return keras.ops.convert_to_numpy(node.layer.mean)
        if node.inputs == graph.inputs and isinstance(node.layer, keras.layers.Normalization):
            mean = keras.ops.convert_to_numpy(node.layer.mean)
            return np.reshape(mean, mean.shape[-3:])
    subtracts_mean = preprocessing is not None and preprocessing.mode in ("caffe", "torch")
    return 0.0 if subtracts_mean else None
