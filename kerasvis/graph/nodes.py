"""A Keras model as a list of nodes: every layer call in order, nested models opened.

Keras stores a functional model as tensors that remember the call they came from. Reading follows
these references back; nothing is added to the model, so that it stays bit for bit the same.
`replay` then runs the nodes on other tensors, with some of the calls replaced; this is how the
convnet records switches, and how features are extracted.
"""

import dataclasses
import inspect
import itertools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops, tree

from kerasvis.storage.layer_names import unknown_layer


@dataclasses.dataclass(frozen=True)
class Tensor:
    """Represents one tensor of a graph in the arguments of a node."""

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
        """The layer's type, as a person would write it."""
        return type(self.layer).__name__


@dataclasses.dataclass(frozen=True)
class Graph:
    """The calls of a model in an order in which they can be run.

    Attributes:
        nodes: the calls.
        inputs: numbers of the model's input tensors.
        outputs: numbers of its output tensors.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def node(self, name: str, argument: str = "layer") -> Node:
        """The node called `name`; a ValueError with similar names if there is none.

        Args:
            name: of a layer, or of one of its calls.
            argument: what the user's argument is called that names it.
        """
        by_name = {node.name: node for node in self.nodes}
        if name in by_name:
            return by_name[name]
        raise ValueError(unknown_layer(str(name), list(by_name), f"{argument}={name!r}"))

    def ancestors(self, numbers: Iterable[int]) -> tuple[Node, ...]:
        """The nodes that tensors `numbers` depend on, in order."""
        needed, found = set(numbers), []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                found.append(node)
                needed.update(node.inputs)
        return tuple(reversed(found))


def read_graph(model: keras.Model) -> Graph:
    """Reads a built functional or Sequential model, nested models and shared layers included.

    A subclassed model inside it, which has no graph, becomes one node.

    Args:
        model: a `keras.Model`; it does not change.

    Returns:
        A `Graph`.

    Raises:
        ValueError: if it is not a model, or has no graph because it is subclassed or not built.
    """
    reader = _Reader()
    check_readable(model)
    inputs = {id(x): reader.new_number() for x in model.inputs}
    outputs = reader.read(model, dict(inputs), prefix="")
    return Graph(tuple(reader.nodes), tuple(inputs.values()), tuple(outputs))


def is_nested_model(layer):
    """Whether `layer` is a model whose graph can be opened."""
    return isinstance(layer, keras.Model) and has_graph(layer)


def has_graph(model):
    """Whether it is a graph of layers that can be read."""
    is_sequential = isinstance(model, keras.Sequential)
    is_functional = is_sequential or hasattr(model, "operations")
    runs_its_graph = type(model).call.__module__.startswith("keras.")  # no user-defined `call`
    return is_functional and runs_its_graph and bool(getattr(model, "inputs", None))


def check_model(model):
    """Raises a ValueError unless it is a Keras model."""
    if isinstance(model, keras.Model):
        return
    remedy = "load it, keras.models.load_model(path)"
    if not isinstance(model, str | os.PathLike):
        remedy = "give the model, or build one"
    raise ValueError(f"A keras.Model was expected: {remedy}. Received: model={described(model)}")


def check_readable(model):
    """Raises a ValueError if the model has no graph of layers."""
    check_model(model)
    if has_graph(model):
        return
    reason, remedy = "is subclassed", "give a functional or Sequential model"
    if isinstance(model, keras.Sequential) and model.built:
        reason, remedy = "holds a layer that Keras cannot trace", "write the layer with keras.ops"
    elif isinstance(model, keras.Sequential):
        reason = "has no input shape yet"
        remedy = "build it, model.build((None, height, width, channels)), or begin it with Input"
    elif hasattr(model, "operations"):
        reason, remedy = "has a call() of its own", "give the functional model without it"
    raise ValueError(
        f"The model {model.name!r} has no graph of layers, as it {reason}: {remedy}. Received: "
        f"model={described(model)}"
    )


def described(model):
    """A model, or what was given instead, for a message."""
    if isinstance(model, str | int | float | os.PathLike | None):
        return str(model) if model is None else repr(model)
    name = f" {model.name}" if isinstance(model, keras.Layer) else ""
    return f"<{type(model).__name__}{name}>"


class _Reader:
    """Collects nodes; numbers tensors, and the calls of each name."""

    def __init__(self):
        self.nodes = []
        self.num_tensors = 0
        self.names = set()

    def new_number(self):
        self.num_tensors += 1
        return self.num_tensors - 1

    def read(self, model, numbers, prefix, model_call=0):
        """Reads `model`, whose input tensors are in `numbers` (id → number).

        A layer's calls are numbered as they were made, whatever the order in which they run; those
        in a shared model after those of its earlier calls.
        """
        calls = calls_in_order(model)
        places = places_of_calls(calls)
        for call in calls:
            layer = call.operation
            name = prefix + layer.name
            place, num_calls = places[id(call)]
            number = model_call * num_calls + place
            if is_nested_model(layer):
                given = _tensors_for_inputs(layer, call)
                inner = {id(x): numbers[id(y)] for x, y in zip(layer.inputs, given, strict=True)}
                outputs = self.read(layer, inner, f"{name}/", number)
            else:
                outputs = self._add_node(self._numbered(name, number), call, numbers)
            numbers.update({id(x): n for x, n in zip(call.outputs, outputs, strict=True)})
        return [numbers[id(x)] for x in model.outputs]

    def _numbered(self, name, number):
        """The name of a call; operations may share one."""
        names = (f"{name}:{n + 1}" if n else name for n in itertools.count(number))
        found = next(each for each in names if each not in self.names)
        self.names.add(found)
        return found

    def _add_node(self, name, call, numbers):
        args, kwargs = tree.map_structure(
            lambda x: Tensor(numbers[id(x)]) if isinstance(x, keras.KerasTensor) else x,
            (call.arguments.args, call.arguments.kwargs),
        )
        if "training" in kwargs:
            kwargs["training"] = False  # as in `predict`, whatever the layer was called with
        inputs = tuple(numbers[id(x)] for x in call.input_tensors)
        outputs = tuple(self.new_number() for _ in call.outputs)
        layer = call.operation
        while type(layer) is layers.SpectralNormalization:
            layer = layer.layer  # at inference it calls the layer whose kernel it has normalized
        self.nodes.append(Node(name, layer, (args, kwargs), inputs, outputs))
        return outputs


def _tensors_for_inputs(model, call):
    """The tensors of a nested model's call, in the order of `model.inputs`."""
    given = call.arguments.args[0] if call.arguments.args else None
    if isinstance(given, dict) and not isinstance(model.input, dict):
        return [given[x.name] for x in model.inputs]
    return call.input_tensors


def call_of(tensor):
    """The call that returned a Keras tensor."""
    layer, call_index, _ = tensor._keras_history
    return layer._inbound_nodes[call_index]


def input_shape_of(layer: Any) -> tuple[int | None, ...]:
    """The shape of the first tensor of a layer's first call; empty if it was called on none."""
    tensors = [x for call in layer._inbound_nodes[:1] for x in call.input_tensors]
    return tuple(tensors[0].shape) if tensors else ()


def keeps_shape(layer: Any) -> bool:
    """Whether a layer's first call returned one tensor of the shape of the one it was called on."""
    return all(
        len(call.outputs) == 1 and tuple(call.outputs[0].shape) == input_shape_of(layer)
        for call in layer._inbound_nodes[:1]
    )


def calls_in_order(model):
    """The calls between the model's inputs and outputs, each after those it depends on."""
    order, done = [], {id(x) for x in model.inputs}
    seen = set()
    stack = [(x, False) for x in reversed(model.outputs)]
    while stack:
        tensor, parents_done = stack.pop()
        if id(tensor) in done:
            continue
        call = call_of(tensor)
        if parents_done:
            if id(call) not in seen:
                seen.add(id(call))
                order.append(call)
            done.update(id(x) for x in call.outputs)
        else:
            stack.append((tensor, True))
            stack.extend((x, False) for x in reversed(call.input_tensors))
    return order


def places_of_calls(calls):
    """`{id of a call: (its place, number)}` among the calls of its layer, in the order made."""
    by_layer, present = {}, {id(call) for call in calls}
    for call in calls:
        made = (x for x in call.operation._inbound_nodes if id(x) in present)
        by_layer.setdefault(id(call.operation), [id(x) for x in made])
    return {
        id(call): (made.index(id(call)), len(made))
        for call in calls
        for made in [by_layer[id(call.operation)]]
    }


def call_layer(node, args, kwargs):
    """Runs a node as the model would at inference, wherever it is called.

    Called on their own, the augmentation layers of Keras would augment.
    """
    if "training" in inspect.signature(node.layer.call).parameters:
        kwargs = {"training": False, **kwargs}
    return node.layer(*args, **kwargs)


def operands_of(node: Node) -> tuple:
    """The tensors in the arguments of a node, in order: a `Tensor` each, or a constant array."""
    return tuple(x for x in tree.flatten(node.arguments) if is_operand(x))


def is_operand(argument: Any) -> bool:
    """Whether an argument of a call is a tensor: one of the graph or a constant."""
    return isinstance(argument, (Tensor, np.ndarray)) or ops.is_tensor(argument)


def arguments_on(node: Node, operands: Iterable[Any]) -> tuple[tuple, dict]:
    """The `(args, kwargs)` of a node with others in place of its operands, in order."""
    rest = iter(operands)
    return tree.map_structure(lambda x: next(rest) if is_operand(x) else x, node.arguments)


def call_on(node: Node, operands: Iterable[Any], layer: Any = None) -> Any:
    """Runs a node on other tensors.

    Args:
        node: the node.
        operands: a tensor in place of each of `operands_of(node)`.
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
        call: `call(node, args, kwargs)` returns what the node's layer would: replace it to run
            something else in place of the layer.

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


def nodes_up_to(model, layers):
    """The nodes of `model` that must run for `layers`, in order."""
    graph = read_graph(model)
    return graph.ancestors([graph.node(name).outputs[0] for name in layers])
