"""Fingerprints of what a model computes."""

import json

import keras

from kerasvis.graph.nodes import Tensor
from kerasvis.storage.fingerprints import digest


def model_fingerprint(nodes):
    """A digest of a computation, including weights but not the names of layers.

    Args:
        nodes: the nodes up to the layers that are analysed, in order.
    """
    parts = []
    for node in nodes:
        leaves = keras.tree.flatten(node.arguments)
        leaves = [leaf for leaf in leaves if isinstance(leaf, Tensor | bool | int | float)]
        parts += [node.type_name, _config(node.layer), leaves, node.outputs]
        parts += [keras.ops.convert_to_numpy(w) for w in getattr(node.layer, "weights", ())]
    return digest(parts)


def _config(layer):
    try:
        config = layer.get_config()
    except NotImplementedError:
        return ""
    config = {key: value for key, value in config.items() if key not in ("name", "trainable")}
    return json.dumps(config, sort_keys=True, default=lambda value: type(value).__name__)
