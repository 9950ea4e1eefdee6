"""Reads the graph of a Keras model.

Keras stores a functional model as tensors that know the call they came from. Reading follows these
references back from the outputs. Nothing is added to the model, which stays bit for bit the same.
"""

import itertools

import keras
from keras import layers, tree

from kerasvis.graph.keras_calls import call_numbers, calls_in_order
from kerasvis.graph.nodes import Graph, Node, Tensor
from kerasvis.graph.readable import check_readable, is_nested_model


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


def nodes_up_to(model, layers):
    """The nodes of a model that must run for some layers, in order."""
    graph = read_graph(model)
    return graph.ancestors([graph.node(name).outputs[0] for name in layers])


class _Reader:
    """Collects the nodes of a model; numbers its tensors, and calls of the same name."""

    def __init__(self):
        self.nodes = []
        self.num_tensors = 0
        self.names = set()

    def new_number(self):
        self.num_tensors += 1
        return self.num_tensors - 1

    def read(self, model, numbers, prefix, model_call=0):
        """Reads a model, and returns the numbers of its output tensors.

        A layer's calls are numbered in the order in which they were made, which may differ from the
        order in which they run. In a shared model, the numbers continue from call to call.

        Args:
            model: the model, or a nested one.
            numbers: `{id of a tensor: number}` of its input tensors.
            prefix: of the names of its layers, `"outer/"` for a nested model.
            model_call: number of the call of a nested model, from 0.
        """
        calls = calls_in_order(model)
        number_and_count = call_numbers(calls)
        for call in calls:
            layer = call.operation
            name = prefix + layer.name
            number, count = number_and_count[id(call)]
            number += model_call * count
            if is_nested_model(layer):
                given = _tensors_for_inputs(layer, call)
                inner = {id(x): numbers[id(y)] for x, y in zip(layer.inputs, given, strict=True)}
                outputs = self.read(layer, inner, f"{name}/", number)
            else:
                outputs = self._add_node(self._numbered(name, number), call, numbers)
            numbers.update({id(x): n for x, n in zip(call.outputs, outputs, strict=True)})
        return [numbers[id(x)] for x in model.outputs]

    def _numbered(self, name, number):
        """The name of a call, which no other has, even if several operations have the same name."""
        names = (f"{name}:{n + 1}" if n else name for n in itertools.count(number))
        unused = next(each for each in names if each not in self.names)
        self.names.add(unused)
        return unused

    def _add_node(self, name, call, numbers):
        args, kwargs = tree.map_structure(
            lambda x: Tensor(numbers[id(x)]) if isinstance(x, keras.KerasTensor) else x,
            (call.arguments.args, call.arguments.kwargs),
        )
        if "training" in kwargs:
            kwargs["training"] = False  # as in `predict`, even if it was called with True
        inputs = tuple(numbers[id(x)] for x in call.input_tensors)
        outputs = tuple(self.new_number() for _ in call.outputs)
        layer = call.operation
        while type(layer) is layers.SpectralNormalization:
            layer = layer.layer  # at inference, it only calls the layer that it wraps
        self.nodes.append(Node(name, layer, (args, kwargs), inputs, outputs))
        return outputs


def _tensors_for_inputs(model, call):
    """The tensors of a nested model's call, in the order of `model.inputs`."""
    given = call.arguments.args[0] if call.arguments.args else None
    if isinstance(given, dict) and not isinstance(model.input, dict):
        return [given[x.name] for x in model.inputs]
    return call.input_tensors
