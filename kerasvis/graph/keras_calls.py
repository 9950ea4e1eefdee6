"""The calls of layers that Keras stores in a model, which it has no public names for."""

from typing import Any


def call_of(tensor):
    """The call that returned a Keras tensor."""
    layer, call_index, _ = tensor._keras_history
    return layer._inbound_nodes[call_index]


def input_shape_of(layer: Any) -> tuple[int | None, ...]:
    """The shape of the first tensor that a layer was called on; empty if there was none."""
    tensors = [x for call in layer._inbound_nodes[:1] for x in call.input_tensors]
    return tuple(tensors[0].shape) if tensors else ()


def keeps_shape(layer: Any) -> bool:
    """Whether a layer's first call returned one tensor, of the same shape as its input."""
    return all(
        len(call.outputs) == 1 and tuple(call.outputs[0].shape) == input_shape_of(layer)
        for call in layer._inbound_nodes[:1]
    )


def calls_in_order(model):
    """The calls between the model's inputs and outputs, each after those that it depends on."""
    calls = {}  # {id: call}, in order
    computed = {id(x) for x in model.inputs}
    # Depth first, with a stack, since deep models exceed Python's limit on recursion. A tensor is
    # visited twice: before and after the tensors that its call depends on.
    stack = [(x, False) for x in reversed(model.outputs)]
    while stack:
        tensor, inputs_are_computed = stack.pop()
        if id(tensor) in computed:
            continue
        call = call_of(tensor)
        if inputs_are_computed:
            calls.setdefault(id(call), call)
            computed.update(id(x) for x in call.outputs)
        else:
            stack.append((tensor, True))
            stack.extend((x, False) for x in reversed(call.input_tensors))
    return list(calls.values())


def call_numbers(calls):
    """Numbers the calls of each layer in the order in which they were made.

    Args:
        calls: the calls of a model, in any order.

    Returns:
        `{id of a call: (number, count)}`: the number of the call among the calls of its layer, from
        0, and how many calls the layer has.
    """
    layers = {id(call.operation): call.operation for call in calls}
    ids_in_model = {id(call) for call in calls}
    numbers = {}
    for layer in layers.values():
        made = [id(call) for call in layer._inbound_nodes if id(call) in ids_in_model]
        numbers |= {call_id: (number, len(made)) for number, call_id in enumerate(made)}
    return numbers
