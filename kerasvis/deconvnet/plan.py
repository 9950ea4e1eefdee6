"""The plan of the backward projection: which mirrors the signal passes, in order.

Planning follows the calls between the image and the target, from the top, and looks up the mirrors
of each in the rule table. It runs no layer, but for those without a rule and activation functions,
which are tried on a few numbers.
"""

import dataclasses
from typing import Any

import keras

from kerasvis.deconvnet.mirror import Call, Mirror
from kerasvis.deconvnet.rule_matching import REMEDY, ProjectionError, mirrors_of
from kerasvis.deconvnet.rule_table import rule_table
from kerasvis.graph.activation_functions import (
    function_of,
    fused_activation,
    makes_probabilities,
    without_activation,
)
from kerasvis.graph.dependence import tensors_that_depend_on
from kerasvis.graph.nodes import Graph, Node, Tensor, call_layer, operands_of
from kerasvis.graph.shapes import infer_shapes
from kerasvis.storage.html_table import html_text

STARTS = ("activation", "one")


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
        starts_at: `"activation"` or `"one"`: the value that the chosen units start with.
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
    starts_at: str = "activation"

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
            f"rectification {self.rectification!r}" + self._started
        ]
        for step in self.steps:
            verbs = " · ".join(mirror.describe() for mirror in step.mirrors)
            receivers = [n for n in step.receivers(self.shapes) if n is not None]
            below = ", ".join(self._shape(number) for number in receivers)
            lines.append(f"  {step.node.name} ({step.node.type_name}): {verbs} → {below}")
        if departures := self.departures:
            lines.append("departures from the paper:")
            lines += [f"  {what}: {_some(names)}" for what, names in departures.items()]
        return "\n".join(lines)

    @property
    def departures(self) -> dict[str, list[str]]:
        """`{what is done: names of calls}`, where that is not what the paper does.

        None with another rectification than the paper's.
        """
        found: dict[str, list[str]] = {}
        for step in self.steps if self.rectification == "deconvnet" else ():
            for mirror in step.mirrors:
                if mirror.departure is not None:
                    found.setdefault(mirror.departure, []).append(step.node.name)
        return found

    @property
    def _started(self):
        return ", starts at 1" if self.starts_at == "one" else ""

    def _repr_html_(self):
        return html_text(self)

    def _shape(self, number):
        return "×".join("?" if n is None else str(n) for n in self.shapes[number][1:])


def make_plan(model, graph, layer, rectification="deconvnet", rules=(), starts_at=STARTS[0]):
    """Plans the deconvnet of `layer`.

    Args:
        model: a functional or Sequential `keras.Model`.
        graph: its `Graph`.
        layer: name of the target layer.
        rectification: `"deconvnet"`, `"guided"` or `"gradient"`.
        rules: the user's pairs, see `kerasvis.deconvnet.rules`.
        starts_at: `"activation"` or `"one"`.

    Raises:
        ValueError: if an argument or the layer is unknown, the layer does not depend on the image,
            or one below it has no rule.
    """
    table = rule_table(rectification, rules)
    start = Start.of(model, graph, layer)
    nodes, target, scored, image = start.nodes, start.target, start.scored, start.image
    below = Below.of(model, graph, nodes, start.shapes)
    shapes = start.shapes
    steps, signals, refused = [], {target}, []
    for node in reversed(nodes):
        if not signals.intersection(node.outputs):
            continue
        try:
            steps.append(plan_step(node, table, below, is_scored=node is scored))
            check_outputs(steps[-1], signals)
            signals.update(steps[-1].receivers(shapes))
        except ProjectionError as error:
            refused.append(error)
            signals.update(below.image_dependent.intersection(node.inputs))
    if refused:
        raise ValueError(refusal(layer, refused, rules))
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
        starts_at=standardize_start(starts_at),
    )


@dataclasses.dataclass(frozen=True)
class Start:
    """Where the projection or the derivative of a layer starts.

    Attributes:
        nodes: the calls of the forward pass, in order.
        image: number of the image tensor.
        target: number of the tensor whose values are projected.
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
        """That of a layer.

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
                "it: give a layer above the input."
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
        if node is self.scored:
            node = dataclasses.replace(node, layer=without_activation(node.layer))
        return call_layer(node, args, kwargs)


@dataclasses.dataclass(frozen=True)
class Below:
    """What planning a step needs to know of all calls below the target.

    Attributes:
        nodes: the calls, in order.
        image_dependent: numbers of the tensors that depend on the image.
        shapes: `{tensor number: shape}`, unknown sizes None.
        known_shapes: the same for some size of the image where the model takes any.
    """

    nodes: tuple[Node, ...]
    image_dependent: set[int]
    shapes: dict
    known_shapes: dict

    @classmethod
    def of(cls, model: keras.Model, graph: Graph, nodes: tuple[Node, ...], shapes: dict) -> "Below":
        """What there is to know of `nodes`."""
        known_shapes, image = shapes, graph.inputs[0]
        if None in shapes[image][1:3]:
            size = tuple(length or SOME_LENGTH for length in shapes[image][1:3])
            known_shapes = infer_shapes(graph, nodes, model, size)
        return cls(nodes, tensors_that_depend_on(image, nodes), shapes, known_shapes)


def standardize_start(starts_at: str) -> str:
    """The value that the chosen units start with: `"activation"` or `"one"`.

    Raises:
        ValueError: if it is neither.
    """
    if starts_at not in STARTS:
        raise ValueError(
            f"Give {' or '.join(map(repr, STARTS))}, the value that the chosen units start with. "
            f"Received: starts_at={starts_at!r}"
        )
    return starts_at


SOME_LENGTH = 64  # of images of any size, where one is to be tried


def refusal(layer, refused, rules):
    """The sentence that names all layers that no rule matches, by kind."""
    kinds = {}
    for error in refused:
        kinds.setdefault(error.what, []).append(error.name)
    listed = "; ".join(f"{what} ({_some(names)})" for what, names in kinds.items())
    return (
        f"Layer {layer!r} cannot be projected, as no rule matches what lies below: {listed}. "
        f"{REMEDY} Received: rules={rules!r}"
    )


def _some(names, number=3):
    """The first few of some names."""
    rest = len(names) - number
    shown = ", ".join(names[:number])
    return f"{shown} and {rest} more" if rest > 0 else shown


def starting_point(node):
    """`(tensor, scored node)`: where the projection of a target layer starts.

    A softmax or sigmoid is left out. If it is a layer of its own, the tensor below it is the start;
    if it is fused into a layer, that layer is run without it.
    """
    if makes_probabilities(fused_activation(node.layer)):
        return node.outputs[0], node
    is_softmax = isinstance(node.layer, keras.layers.Softmax)
    if is_softmax or makes_probabilities(function_of(node)):
        return node.inputs[0], None
    return node.outputs[0], None


def plan_step(node, table, below, is_scored):
    """The `Step` of one call."""
    operands = operands_of(node)
    numbers = [x.number if isinstance(x, Tensor) else None for x in operands]
    is_signal = tuple(number in below.image_dependent for number in numbers)
    shapes = tuple(
        x.shape if number is None else below.known_shapes[number]
        for x, number in zip(operands, numbers, strict=True)
    )
    dtype = "float64" if keras.config.floatx() == "float64" else "float32"
    call = Call(node, operands, is_signal, shapes, below.nodes, dtype)
    return Step(node, mirrors_of(call, table, is_scored), operands, is_signal)


def check_outputs(step, signals):
    node = step.node
    if step.mirrors[0].takes_several:
        return
    if len(signals.intersection(node.outputs)) > (node.outputs[0] in signals):
        raise ValueError(
            f"Layer {node.name!r} ({node.type_name}) returns several tensors, and the target "
            f"depends on others than the first, which its rule {step.mirrors[0].describe()!r} does "
            "not take: give kerasvis.rules.Derivative as its rule, or a target below it."
        )


def check_target_shape(layer, shape):
    if len(shape) not in (2, 4):
        raise ValueError(
            f"Layer {layer!r} returns tensors of shape {shape}, but feature maps (batch, rows, "
            "columns, features) or dense units (batch, units) were expected: give another layer."
        )
