"""Where the projection of a layer starts: the tensor whose activations are projected."""

import dataclasses
from typing import Any

import keras

from kerasvis.graph.activation_functions import (
    call_without_activation,
    function_of,
    fused_activation,
    makes_probabilities,
)
from kerasvis.graph.dependence import tensors_that_depend_on
from kerasvis.graph.nodes import Graph, Node
from kerasvis.graph.replaying import call_layer
from kerasvis.graph.shapes import infer_shapes

STARTS = ("activation", "one")


@dataclasses.dataclass(frozen=True)
class Start:
    """Where the backward projection, or the differentiation, of a layer starts.

    Attributes:
        nodes: the calls of the forward pass, in order.
        image: number of the image tensor.
        target: number of the tensor whose activations are projected.
        scored: the node that is run without its softmax or sigmoid, or None.
        shapes: `{tensor number: shape}`.
    """

    nodes: tuple[Node, ...]
    image: int
    target: int
    scored: Node | None
    shapes: dict

    @classmethod
    def of(cls, model: keras.Model, graph: Graph, layer: str) -> "Start":
        """The start for a layer, given by its name.

        Raises:
            ValueError: if there is no such layer, it does not depend on the image, or it returns
                neither feature maps nor units.
        """
        target, scored = starting_point(graph.node(layer))
        nodes = graph.ancestors([target])
        image = graph.inputs[0]
        if target not in tensors_that_depend_on(image, nodes) - {image}:
            raise ValueError(
                f"Layer {layer!r} does not depend on the image, so nothing can be projected from "
                f"it: give a layer above the input. Received: layer={layer!r}"
            )
        shapes = infer_shapes(graph, nodes, model)
        check_target_shape(layer, shapes[target])
        return cls(nodes, image, target, scored, shapes)

    @property
    def target_shape(self) -> tuple[int | None, ...]:
        """`(rows, columns, features)` of feature maps, `(units,)` of dense units."""
        return self.shapes[self.target][1:]

    def call(self, node: Node, args: tuple, kwargs: dict) -> Any:
        """Runs a node as the forward pass does, for `kerasvis.graph.replay`."""
        run = call_without_activation if node is self.scored else call_layer
        return run(node, args, kwargs)


def starting_point(node):
    """`(tensor, scored node)`: where the projection of a target layer starts.

    A softmax or sigmoid is left out. If it is a layer by itself, the projection starts at the
    tensor below it; if it is fused into a layer, that layer is run without it.
    """
    if makes_probabilities(fused_activation(node.layer)):
        return node.outputs[0], node
    is_softmax = isinstance(node.layer, keras.layers.Softmax)
    if is_softmax or makes_probabilities(function_of(node)):
        return node.inputs[0], None
    return node.outputs[0], None


def standardize_start(starts_at: str) -> str:
    """The signal at the chosen units: `"activation"` or `"one"`.

    Raises:
        ValueError: if it is neither.
    """
    if starts_at not in STARTS:
        raise ValueError(
            f"Give {' or '.join(map(repr, STARTS))}, the signal at the chosen units. "
            f"Received: starts_at={starts_at!r}"
        )
    return starts_at


def check_target_shape(layer, shape):
    if len(shape) not in (2, 4):
        raise ValueError(
            f"Layer {layer!r} returns tensors of shape {shape}, but feature maps (batch, rows, "
            "columns, features) or dense units (batch, units) were expected: give another layer. "
            f"Received: layer={layer!r}"
        )
