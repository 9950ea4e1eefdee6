"""Runs the nodes of a graph on other tensors, and may replace some of the calls.

This is how switches are recorded and features extracted.
"""

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from keras import tree

from kerasvis.graph.nodes import Node, Tensor, is_operand


def call_layer(node, args, kwargs):
    """Runs a node as the model does at inference.

    Without `training=False`, Keras' augmentation layers would augment when they are called outside
    a model.
    """
    if "training" in inspect.signature(node.layer.call).parameters:
        kwargs = {"training": False, **kwargs}
    return node.layer(*args, **kwargs)


def arguments_on(node: Node, operands: Iterable[Any]) -> tuple[tuple, dict]:
    """The `(args, kwargs)` of a node with its operands replaced by others, in order."""
    remaining = iter(operands)
    return tree.map_structure(lambda x: next(remaining) if is_operand(x) else x, node.arguments)


def call_on(node: Node, operands: Iterable[Any], layer: Any = None) -> Any:
    """Runs a node on other tensors.

    Args:
        node: the node.
        operands: a tensor for each of `operands_of(node)`.
        layer: a layer to call in place of the node's own.

    Returns:
        What the layer returns.
    """
    args, kwargs = arguments_on(node, operands)
    node = node if layer is None else dataclasses.replace(node, layer=layer)
    return call_layer(node, args, kwargs)


def replay(
    nodes: Iterable[Node], tensors: Mapping[int, Any], call: Callable = call_layer
) -> dict[int, Any]:
    """Runs `nodes` on other tensors.

    Args:
        nodes: nodes in order, as from `Graph.ancestors`.
        tensors: `{number: tensor}` holding at least the graph's inputs.
        call: `call(node, args, kwargs)` returns the outputs of the node; by default, it calls the
            node's layer.

    Returns:
        `{number: tensor}` of the inputs and all nodes' outputs.
    """
    tensors = dict(tensors)
    for node in nodes:
        args, kwargs = tree.map_structure(
            lambda x: tensors[x.number] if isinstance(x, Tensor) else x, node.arguments
        )
        outputs = tree.flatten(call(node, args, kwargs))
        tensors.update(zip(node.outputs, outputs, strict=True))
    return tensors
