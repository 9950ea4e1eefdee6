"""Tests whether a layer or an operation, whoever wrote it, computes each position independently.

A single position, cut out of random feature maps, must give the same output by itself as among the
others. The test uses random weights, since those of an untrained layer may hide what it reads, like
a scale that is initialised to 0.
"""

import weakref
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasvis.graph.keras_calls import input_shape_of
from kerasvis.graph.nodes import Node, Tensor, operands_of
from kerasvis.graph.replaying import call_on

_SIZE = (5, 7)
_POSITIONS = ((0, 0), (2, 5), (4, 3))
_KNOWN: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()


def is_pointwise_layer(node: Node) -> bool:
    """Whether each position of the output depends only on the same position of the input.

    Args:
        node: the call of a layer.

    Returns:
        The answer; also False if the layer cannot be tested, for example because it takes several
        tensors.
    """
    layer = node.layer
    if layer not in _KNOWN:
        try:
            _KNOWN[layer] = _is_pointwise(node)
        except Exception:  # a user's layer may raise anything on feature maps of another size
            _KNOWN[layer] = False
    return _KNOWN[layer]


def _is_pointwise(node):
    operands, shape = operands_of(node), input_shape_of(node.layer)
    if len(operands) != 1 or not isinstance(operands[0], Tensor) or len(shape) != 4:
        return False
    outputs = [x.shape for call in node.layer._inbound_nodes[:1] for x in call.outputs]
    if any(len(x) != 4 or tuple(x)[1:3] != shape[1:3] for x in outputs):
        return False
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(1, *_SIZE, shape[-1])).astype("float32")
    floats = [x for x in getattr(node.layer, "variables", ()) if "float" in x.dtype]
    drawn = [ops.convert_to_tensor(rng.uniform(0.5, 1.5, x.shape), x.dtype) for x in floats]
    with keras.StatelessScope(state_mapping=list(zip(floats, drawn, strict=True))):
        whole = _values(node, maps)
        if whole.ndim != 4 or whole.shape[:3] != maps.shape[:3] or not np.isfinite(whole).all():
            return False
        for row, column in _POSITIONS:
            here = slice(None), slice(row, row + 1), slice(column, column + 1)
            alone = _values(node, maps[here])
            scale = np.abs(whole[here]).max()
            if alone.shape != whole[here].shape or np.abs(alone - whole[here]).max() > 1e-4 * scale:
                return False
    return True


def _values(node, maps):
    outputs = keras.tree.flatten(call_on(node, [ops.convert_to_tensor(maps)]))
    arrays = [ops.convert_to_numpy(ops.cast(x, "float32")) for x in outputs]
    return np.concatenate(arrays, axis=-1)
