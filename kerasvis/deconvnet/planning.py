"""Plans the backward projection of a layer.

Planning follows the calls between the image and the target, from the top, and finds the mirrors of
each in the rule table. No layer is run, except that activation functions and layers without a rule
are tried on a few numbers.
"""

import dataclasses

import keras

from kerasvis.deconvnet.mirror import Call
from kerasvis.deconvnet.plan import Plan, Step, first_names
from kerasvis.deconvnet.rule_matching import REMEDY, ProjectionError, mirrors_of
from kerasvis.deconvnet.rule_table import rule_table
from kerasvis.deconvnet.start import STARTS, Start, standardize_start
from kerasvis.graph.dependence import tensors_that_depend_on
from kerasvis.graph.nodes import Graph, Node, Tensor, operands_of
from kerasvis.graph.shapes import infer_shapes

ANY_LENGTH = 64  # replaces the unknown height and width of images of any size


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
            or a layer below it has no rule.
    """
    table = rule_table(rectification, rules)
    start = Start.of(model, graph, layer)
    context = PlanningContext.of(model, graph, start.nodes, start.shapes)
    steps, errors = [], []
    signals = {start.target}  # numbers of the tensors that the signal reaches
    for node in reversed(start.nodes):
        if not signals.intersection(node.outputs):
            continue
        try:
            step = plan_step(node, table, context, is_scored=node is start.scored)
        except ProjectionError as error:  # go on, to name all such layers in one message
            errors.append(error)
            signals.update(context.image_dependent.intersection(node.inputs))
        else:
            check_outputs(step, signals)
            signals.update(step.receivers(start.shapes))
            steps.append(step)
    if errors:
        raise ValueError(message_without_rules(layer, errors, rules))
    return Plan(
        layer,
        rectification,
        start.nodes,
        tuple(steps),
        start.image,
        start.target,
        start.scored,
        start.shapes,
        image_dtype=keras.backend.standardize_dtype(model.inputs[0].dtype),
        starts_at=standardize_start(starts_at),
    )


@dataclasses.dataclass(frozen=True)
class PlanningContext:
    """What planning a step requires: facts about all calls up to the target.

    Attributes:
        nodes: the calls, in order.
        image_dependent: numbers of the tensors that depend on the image.
        known_shapes: `{tensor number: shape}`; for a model that takes images of any size, the
            shapes for one such size.
    """

    nodes: tuple[Node, ...]
    image_dependent: set[int]
    known_shapes: dict

    @classmethod
    def of(
        cls, model: keras.Model, graph: Graph, nodes: tuple[Node, ...], shapes: dict
    ) -> "PlanningContext":
        """The context of a model's nodes, given their shapes, in which sizes may be unknown."""
        image = graph.inputs[0]
        if None in shapes[image][1:3]:
            size = tuple(length or ANY_LENGTH for length in shapes[image][1:3])
            shapes = infer_shapes(graph, nodes, model, size)
        return cls(nodes, tensors_that_depend_on(image, nodes), shapes)


def plan_step(node, table, context, is_scored):
    """The `Step` of one call.

    Args:
        node: the call.
        table: the `RuleTable`.
        context: the `PlanningContext`.
        is_scored: whether the projection starts before the layer's activation.

    Raises:
        ProjectionError: if there is no rule for the layer or for its activation.
    """
    operands = operands_of(node)
    is_signal, shapes = [], []
    for operand in operands:
        is_of_graph = isinstance(operand, Tensor)
        is_signal.append(is_of_graph and operand.number in context.image_dependent)
        shapes.append(context.known_shapes[operand.number] if is_of_graph else operand.shape)
    dtype = "float64" if keras.config.floatx() == "float64" else "float32"
    call = Call(node, operands, tuple(is_signal), tuple(shapes), context.nodes, dtype)
    return Step(node, mirrors_of(call, table, is_scored), operands, call.is_signal)


def check_outputs(step, signals):
    """Raises if the signal reaches an output of a call that its mirror cannot take."""
    node = step.node
    if step.mirrors[0].takes_several:
        return
    if signals.intersection(node.outputs[1:]):
        raise ValueError(
            f"Layer {node.name!r} ({node.type_name}) returns several tensors, and the target "
            "depends on others than the first, which its rule "
            f"{step.mirrors[0].describe()!r} does not support: give kerasvis.rules.Derivative as "
            "its rule, or a target below it."
        )


def message_without_rules(layer, errors, rules):
    """The message of the error that names all layers that no rule matches, by kind.

    Args:
        layer: name of the target layer.
        errors: a `ProjectionError` for each layer.
        rules: as the user gave them.
    """
    kinds = {}
    for error in errors:
        kinds.setdefault(error.what, []).append(error.name)
    listed = "; ".join(f"{what} ({first_names(names)})" for what, names in kinds.items())
    return (
        f"Layer {layer!r} cannot be projected, as no rule matches what lies below: {listed}. "
        f"{REMEDY} Received: rules={rules!r}"
    )
