"""The plan of the backward projection: which mirrors the signal passes, in order.

Planning is pure Python on the graph, and runs no layer. It follows the calls between the image and
the target, from the top, and looks up the mirrors of each in the rule table.
"""

import dataclasses

import keras
import numpy as np
from keras import ops, tree

from kerasvis.deconvnet.mirror import Call, Mirror
from kerasvis.deconvnet.rules import mirrors_of, rule_table
from kerasvis.graph.activation_functions import activation_of, is_activation_layer
from kerasvis.graph.dependence import tensors_that_depend_on
from kerasvis.graph.nodes import Node, Tensor
from kerasvis.graph.shapes import infer_shapes
from kerasvis.storage.html_table import html_text

# Functions of Keras or TensorFlow that turn scores into probabilities or their logarithms.
SCORE_ACTIVATIONS = """
    hard_sigmoid log_sigmoid log_softmax log_softmax_v2 sigmoid softmax softmax_v2 sparse_sigmoid
    sparsemax
""".split()


@dataclasses.dataclass(frozen=True)
class Step:
    """The mirrors of one call, in the order in which the signal passes them."""

    node: Node
    mirrors: tuple[Mirror, ...]
    operands: tuple
    is_signal: tuple[bool, ...]

    def receivers(self, shapes):
        """Numbers of the tensors that receive a signal from the step: one per operand, or None.

        Args:
            shapes: `{tensor number: shape}`.
        """
        operand_shapes = [
            shapes[x.number] if isinstance(x, Tensor) else x.shape for x in self.operands
        ]
        reached = self.mirrors[-1].receives(operand_shapes)
        return tuple(
            x.number if to_signal and is_reached else None
            for x, to_signal, is_reached in zip(self.operands, self.is_signal, reached, strict=True)
        )


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the deconvnet does; print it to read it.

    Attributes:
        layer: name of the target layer.
        rectification: name of the rule for rectification.
        nodes: the calls of the forward pass, in order.
        steps: the steps of the backward projection, in order.
        image: number of the image tensor.
        target: number of the tensor where the projection starts.
        scored: the node whose softmax or sigmoid is left out, so that `target` is its score; None
            where the target's own activation stays.
        shapes: `{tensor number: shape}`, the batch axis None.
        image_dtype: dtype of the images that the model takes.
    """

    layer: str
    rectification: str
    nodes: tuple[Node, ...]
    steps: tuple[Step, ...]
    image: int
    target: int
    scored: Node | None
    shapes: dict
    image_dtype: str

    @property
    def layers(self) -> tuple[keras.layers.Layer, ...]:
        """The layers of the forward pass, whose weights the backward projection uses, too.

        A Keras model that runs the plan has them as an attribute: JAX compiles the weights that
        Keras does not know of as constants, and later changes of them would not be seen.
        """
        return tuple(n.layer for n in self.nodes if isinstance(n.layer, keras.layers.Layer))

    def __str__(self):
        start = " before its activation" if self.scored else ""
        lines = [
            f"deconvnet of layer {self.layer!r}{start} ({self._shape(self.target)}), "
            f"rectification {self.rectification!r}"
        ]
        for step in self.steps:
            verbs = " · ".join(mirror.describe() for mirror in step.mirrors)
            receivers = [n for n in step.receivers(self.shapes) if n is not None]
            below = ", ".join(self._shape(number) for number in receivers)
            lines.append(f"  {step.node.name} ({step.node.type_name}): {verbs} → {below}")
        return "\n".join(lines)

    def _repr_html_(self):
        return html_text(self)

    def _shape(self, number):
        return "×".join("?" if n is None else str(n) for n in self.shapes[number][1:])


def make_plan(model, graph, layer, rectification="deconvnet", rules=()):
    """Plans the deconvnet of `layer`.

    Args:
        model: a functional or Sequential `keras.Model`.
        graph: its `Graph`.
        layer: name of the target layer.
        rectification: `"deconvnet"`, `"guided"` or `"gradient"`.
        rules: the user's pairs, see `kerasvis.deconvnet.rules`.

    Raises:
        ValueError: if the layer is unknown or does not depend on the image, or a layer below it
            has no rule.
    """
    table = rule_table(rectification, rules)
    target, scored = starting_point(graph.node(layer))
    nodes = graph.ancestors([target])
    image = graph.inputs[0]
    image_dependent = tensors_that_depend_on(image, nodes)
    if target not in image_dependent - {image}:
        raise ValueError(
            f"Layer {layer!r} does not depend on the image, so nothing can be projected from it: "
            "give a layer above the input."
        )
    shapes = infer_shapes(graph, nodes, model)
    check_target_shape(layer, shapes[target])
    steps, signals = [], {target}
    for node in reversed(nodes):
        if signals.intersection(node.outputs):
            step = plan_step(node, table, image_dependent, is_scored=node is scored)
            steps.append(step)
            signals.update(step.receivers(shapes))
            check_outputs(node, signals)
    return Plan(
        layer,
        rectification,
        nodes,
        tuple(steps),
        image,
        target,
        scored,
        shapes,
        image_dtype=keras.backend.standardize_dtype(model.inputs[0].dtype),
    )


def starting_point(node):
    """`(tensor, scored node)`: where the projection of a target layer starts.

    A softmax or sigmoid is left out. If it is a layer of its own, the tensor below it is the start;
    if it is fused into a layer, that layer is run without it.
    """
    if isinstance(node.layer, keras.layers.Softmax):
        return node.inputs[0], None
    if not _makes_probabilities(activation_of(node.layer)):
        return node.outputs[0], None
    if is_activation_layer(node.layer):
        return node.inputs[0], None
    if not isinstance(node.layer, (keras.layers.Dense, keras.layers.Conv2D)):
        raise ValueError(
            f"Layer {node.name!r} ({node.type_name}) ends in {activation_of(node.layer).__name__}, "
            "and the score before it is accessible in Dense and Conv2D layers only: make the "
            "activation a layer of its own."
        )
    return node.outputs[0], node


def _makes_probabilities(activation):
    library = str(getattr(activation, "__module__", "")).partition(".")[0]
    name = getattr(activation, "__name__", "")
    return library in ("keras", "tensorflow") and name in SCORE_ACTIVATIONS


def plan_step(node, table, image_dependent, is_scored):
    operands = tuple(
        x
        for x in tree.flatten(node.arguments)
        if isinstance(x, (Tensor, np.ndarray)) or ops.is_tensor(x)
    )
    is_signal = tuple(isinstance(x, Tensor) and x.number in image_dependent for x in operands)
    dtype = "float64" if keras.config.floatx() == "float64" else "float32"
    call = Call(node.name, node.layer, is_signal, dtype)
    return Step(node, mirrors_of(call, table, is_scored), operands, is_signal)


def is_operand(argument):
    """Whether an argument of a call is a tensor: one of the graph or a constant."""
    return isinstance(argument, (Tensor, np.ndarray)) or ops.is_tensor(argument)


def check_outputs(node, signals):
    if len(signals.intersection(node.outputs)) > (node.outputs[0] in signals):
        raise ValueError(
            f"Layer {node.name!r} ({node.type_name}) returns several tensors, and the target "
            "depends on others than the first, through which the deconvnet cannot project: give a "
            "target below it."
        )


def check_target_shape(layer, shape):
    if len(shape) not in (2, 4):
        raise ValueError(
            f"Layer {layer!r} returns tensors of shape {shape}, but feature maps (batch, rows, "
            "columns, features) or dense units (batch, units) were expected: give another layer."
        )
