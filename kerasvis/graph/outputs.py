"""Finds the tensor of a model that a name or a number refers to."""

import difflib

import keras

from kerasvis.graph.keras_calls import call_of
from kerasvis.graph.nodes import Graph


def named_outputs(model: keras.Model, graph: Graph) -> dict[str, int]:
    """The outputs of a model by name: the keys of the dict that it returns, or names of layers.

    Args:
        model: a functional or Sequential `keras.Model`.
        graph: its `Graph`.

    Returns:
        `{name: tensor number}`, in the order of the outputs; equal names are numbered.
    """
    output = getattr(model, "output", None)  # None: a Sequential model that was never called
    if isinstance(output, dict):
        names = [str(path[-1]) for path, _ in keras.tree.flatten_with_path(output)]
    else:
        names = [call_of(tensor).operation.name for tensor in model.outputs]
    names = [
        name if names.count(name) == 1 else f"{name}:{names[:number].count(name) + 1}"
        for number, name in enumerate(names)
    ]
    return dict(zip(names, graph.outputs, strict=True))


def output_tensor(model: keras.Model, graph: Graph, output: str | int | None = None) -> int:
    """The number of the tensor that `output` refers to.

    Args:
        model: a functional or Sequential `keras.Model`.
        graph: its `Graph`.
        output: a name of `named_outputs`, the number of an output, or the name of any layer, whose
            first output it means; None for a model with one output.

    Raises:
        ValueError: if there is no such output, or there are several and none is chosen; the message
            lists them.
    """
    named = named_outputs(model, graph)
    listed = ", ".join(map(repr, named))
    if output is None and len(graph.outputs) == 1:
        return graph.outputs[0]
    if output is None:
        raise ValueError(
            f"The model {model.name!r} has {len(graph.outputs)} outputs, {listed}: choose one, "
            "output='name'. Received: output=None"
        )
    if isinstance(output, int) and not isinstance(output, bool):
        if output in range(len(graph.outputs)):
            return graph.outputs[output]
    elif output in named:
        return named[output]
    elif output in (layers := {node.name: node.outputs[0] for node in graph.nodes}):
        return layers[output]
    near = difflib.get_close_matches(str(output), [*named, *(n.name for n in graph.nodes)], n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"it has {listed}."
    raise ValueError(
        f"The model {model.name!r} has no output or layer of this name or number: {hint} "
        f"Received: output={output!r}"
    )
