"""A Keras model as a list of nodes: its layer calls in order, with nested models opened."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
from keras import ops, tree

from kerasvis.storage.layer_names import unknown_layer


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor of a graph, as it appears in the arguments of a node."""

    number: int


@dataclasses.dataclass(frozen=True)
class Node:
    """One call of one layer.

    Attributes:
        name: the layer's name; `outer/inner` inside a nested model; `name:2` for the second call
            of a shared layer.
        layer: the layer, or the `keras.ops` operation.
        arguments: `(args, kwargs)` of the call, with a `Tensor` in place of each tensor.
        inputs: the numbers of the tensors in `arguments`, in order.
        outputs: the numbers of the tensors that the call returns.
    """

    name: str
    layer: Any
    arguments: tuple
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def type_name(self) -> str:
        """The name of the layer's type."""
        return type(self.layer).__name__


@dataclasses.dataclass(frozen=True)
class Graph:
    """The calls of a model, each after those that it depends on.

    Attributes:
        nodes: the calls.
        inputs: numbers of the model's input tensors.
        outputs: numbers of its output tensors.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def node(self, name: str, argument: str = "layer") -> Node:
        """The node of this name; raises a ValueError with similar names if there is none.

        Args:
            name: name of a layer, or of one of its calls.
            argument: name of the user's argument, for the error message.
        """
        by_name = {node.name: node for node in self.nodes}
        if name in by_name:
            return by_name[name]
        raise ValueError(unknown_layer(str(name), list(by_name), f"{argument}={name!r}"))

    def ancestors(self, numbers: Iterable[int]) -> tuple[Node, ...]:
        """The nodes that the tensors of these numbers depend on, in order."""
        needed, found = set(numbers), []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                found.append(node)
                needed.update(node.inputs)
        return tuple(reversed(found))


def operands_of(node: Node) -> tuple:
    """The tensors in the arguments of a node, in order: `Tensor`s and constant arrays."""
    return tuple(x for x in tree.flatten(node.arguments) if is_operand(x))


def is_operand(argument: Any) -> bool:
    """Whether an argument of a call is a tensor, either one of the graph or a constant."""
    return isinstance(argument, (Tensor, np.ndarray)) or ops.is_tensor(argument)
