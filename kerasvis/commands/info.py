"""`kerasvis info`: how kerasvis interprets a model."""

import re
import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from kerasvis.commands.image_arguments import OpenModel
from kerasvis.commands.options import ModelOptions
from kerasvis.commands.tables import in_columns
from kerasvis.commands.trained_models import convolution_layers
from kerasvis.storage.counted import counted

if TYPE_CHECKING:
    from fractions import Fraction

    from kerasvis.graph import Graph, Node
    from kerasvis.graph.receptive_fields import ReceptiveField

MAX_SHOWN = 3  # layers in the suggested commands


class LayerInfo(NamedTuple):
    """One call of a layer.

    Attributes:
        name: of the call.
        type_name: of the layer.
        shape: of its output, without the batch axis.
        receptive_field: receptive field of a unit in pixels, or "".
        why_not: why it cannot be projected through, with the remedy; None if it can.
    """

    name: str
    type_name: str
    shape: tuple
    receptive_field: str
    why_not: str | None


def info(*, model: ModelOptions) -> None:
    """Print how kerasvis interprets a model, and which commands to run next.

    Prints its inputs, its preprocessing, its outputs and the interpretation of its scores; and for
    each layer its output, its receptive field and whether it can be projected, with a remedy if it
    cannot.
    """
    model.check()
    opened = model.opened(model.load_model(model.model))
    layers, scores = layers_of(opened), scores_of(opened)
    print(*summary(model, opened, scores), "", in_columns(rows_of(layers), num_left=5), sep="\n")
    if reasons := grouped([layer.why_not for layer in layers if layer.why_not]):
        print("", "Cannot be projected through:", *(f"  {line}" for line in reasons), sep="\n")
    lines = next_commands(model, opened, layers, scores)
    print("", "To run next:", *(f"  {line}" for line in lines), sep="\n")


def grouped(reasons: list[str]) -> list[str]:
    """Each reason once; reasons that differ only in the layer's name are counted."""
    groups: dict[str, list[str]] = {}
    for reason in dict.fromkeys(reasons):
        groups.setdefault(re.sub(r"'[^']*'", "", reason, count=1), []).append(reason)
    return [
        first if not others else f"{first} (The same for {counted(len(others), 'more layer')}.)"
        for first, *others in groups.values()
    ]


def summary(model: ModelOptions, opened: OpenModel, scores: str) -> list[str]:
    """The model as a whole, a line for each property."""
    keras_model = opened.model
    inputs = [f"{x.name} {by(x.shape[1:])} {x.dtype}" for x in keras_model.inputs]
    outputs = [f"{x.name} {by(x.shape[1:])}" for x in keras_model.outputs]
    images = f"{by(opened.image_size)} pixels, {opened.preprocessing} ({why_taken(model, opened)})"
    lines = [
        ("model", f"{keras_model.name}, {keras_model.count_params():,} parameters"),
        ("inputs", "; ".join(inputs)),
        ("images", images),
        ("outputs", "; ".join(outputs)),
        ("scores", scores),
    ]
    return in_columns(lines, num_left=2).splitlines()


def why_taken(model: ModelOptions, opened: OpenModel) -> str:
    """Why this preprocessing is assumed."""
    from kerasvis.data.known_models import preprocessing_of_model

    if model.preprocessing is not None:
        return "as stated"
    is_known = preprocessing_of_model(opened.model) is not None
    return "known for this model" if is_known else "assumed: change it with --preprocessing"


def scores_of(opened: OpenModel) -> str:
    """How the outputs are interpreted, or why there are no scores."""
    from kerasvis.graph.scores import Scores

    try:
        scores = Scores(opened.model, image_size=opened.image_size).decide()
    except ValueError as error:
        return f"none: {error}"
    return f"{counted(scores.num_classes, 'class', 'classes')}: {scores.interpretation}"


def layers_of(opened: OpenModel) -> list[LayerInfo]:
    """Each call of a layer, from the input to the output."""
    from kerasvis.graph import read_graph
    from kerasvis.graph.receptive_fields import as_receptive_field, receptive_spans
    from kerasvis.graph.shapes import infer_shapes

    graph = read_graph(opened.model)
    shapes = infer_shapes(graph, graph.nodes, opened.model, opened.image_size)
    spans = receptive_spans(graph.inputs[0], graph.nodes, shapes)
    reasons = why_not_projected(opened, graph, shapes)
    layers = []
    for node in graph.nodes:
        number, field = node.outputs[0], ""
        if number in spans and len(shapes[number]) == 4:
            field = described(as_receptive_field(spans[number], opened.image_size))
        shape = shapes[number][1:]
        layers.append(LayerInfo(node.name, node.type_name, shape, field, reasons[node.name]))
    return layers


def why_not_projected(
    opened: OpenModel, graph: "Graph", shapes: dict[int, tuple]
) -> dict[str, str | None]:
    """`{name: reason}`: why a layer cannot be projected; None where it can.

    A layer can be projected if there is a rule for every layer that its projection passes through.
    The reason given is that of the first layer without a rule.
    """
    from kerasvis.deconvnet.planning import PlanningContext, plan_step
    from kerasvis.deconvnet.rule_table import rule_table
    from kerasvis.deconvnet.start import starting_point

    table = rule_table("deconvnet", opened.rules)
    context = PlanningContext.of(opened.model, graph, graph.nodes, shapes)
    dependent = context.image_dependent
    blocked: dict[int, str | None] = {}  # tensor → why it cannot be projected from

    def reason_at(node: "Node", is_scored: bool) -> str | None:
        try:
            step = plan_step(node, table, context, is_scored)
        except ValueError as error:
            return str(error)
        reasons_below = (
            blocked.get(number) for number in step.receivers(shapes) if number is not None
        )
        return next(filter(None, reasons_below), None)

    reasons: dict[str, str | None] = {}
    for node in graph.nodes:
        if dependent.isdisjoint(node.outputs):
            reasons[node.name] = f"Layer {node.name!r} does not depend on the image."
            continue
        blocked |= dict.fromkeys(node.outputs, reason_at(node, is_scored=False))
        start, scored = starting_point(node)
        reasons[node.name] = reason_at(node, is_scored=True) if scored else blocked.get(start)
    return reasons


def described(field: "ReceptiveField") -> str:
    """A receptive field in pixels."""
    if field.is_whole_image:
        return "the image"
    size, strides = (by(map(float_or_whole, values)) for values in (field.size, field.strides))
    return f"{size}, every {strides}"


def float_or_whole(value: "Fraction | int") -> str:
    return f"{float(value):g}"


def by(lengths: Iterable[int | str | None]) -> str:
    """A shape as text, such as "3×4"."""
    return "×".join("any" if length is None else str(length) for length in lengths)


def rows_of(layers: list[LayerInfo]) -> list[list[str]]:
    """The table of layers."""
    header = ["layer", "type", "output", "receptive field", "can be projected"]
    return [header] + [
        [x.name, x.type_name, by(x.shape), x.receptive_field, "no" if x.why_not else "yes"]
        for x in layers
    ]


def next_commands(
    model: ModelOptions, opened: OpenModel, layers: list[LayerInfo], scores: str
) -> list[str]:
    """Commands that can be run with this model."""
    given = f"--model {shlex.quote(str(model.model))}" + options_of(model)
    can_be_projected = {layer.name for layer in layers if not layer.why_not}
    names = [name for name in convolution_layers(opened.model) if name in can_be_projected]
    lines = []
    if names:
        chosen = " ".join(names[-MAX_SHOWN:])
        lines.append(f"kerasvis features {given} --images PHOTOGRAPHS --layers {chosen}")
        lines.append(f"kerasvis gallery {given} --images PHOTOGRAPHS --layers {chosen}")
    if not model.rules and any(layer.why_not for layer in layers):
        lines.append(f"kerasvis info {given} --rules relaxed")
    if not scores.startswith("none"):
        lines.append(f"kerasvis occlusion {given} --images photograph.jpg")
    return lines


def options_of(model: ModelOptions) -> str:
    """The options of the model, to be repeated for the next command."""
    options = []
    for name in ("weights", "image_size", "preprocessing", "input", "fixed", "output", "rules"):
        value = getattr(model, name, None)
        if value not in (None, ()):
            values = value if isinstance(value, tuple) else (value,)
            options.append(f" --{name.replace('_', '-')} {shlex.join(map(str, values))}")
    return "".join(options)
