"""Finds the rules that match a call of the convnet, and makes its mirrors by them."""

from typing import TYPE_CHECKING

from keras import activations

from kerasvis.deconvnet import merging
from kerasvis.deconvnet.built_in_rules import ACTIVATION_LAYERS, LAYER_RULES, OPERATION_RULES
from kerasvis.deconvnet.derivative import (
    ActivationDerivative,
    Derivative,
    Transpose,
    is_affine_call,
)
from kerasvis.deconvnet.mirror import Mirror, PassUnchanged, RuleMirror
from kerasvis.deconvnet.rectification import RECTIFICATION_MIRRORS, Rectification
from kerasvis.deconvnet.rule_table import RuleTable
from kerasvis.graph.activation_functions import function_of, fused_activation, is_relu, name_of
from kerasvis.graph.function_families import Family, family_of
from kerasvis.graph.layer_kinds import is_quantized, kind_of
from kerasvis.layers import LocalResponseNormalization

if TYPE_CHECKING:
    from kerasvis.deconvnet.mirror import Call


class ProjectionError(ValueError):
    """A layer that no rule matches.

    Attributes:
        name: of the call.
        what: what kind of thing it is.
    """

    def __init__(self, name: str, what: str):
        self.name, self.what = name, what
        super().__init__(f"Layer {name!r} cannot be projected through: {what}. {REMEDY}")


REMEDY = (
    "Give rules='relaxed' (in a command --rules relaxed): the plan then states how it departs from "
    "the paper; or rules of your own, see kerasvis.rules."
)


def mirrors_of(call: "Call", table: RuleTable, is_scored: bool = False) -> tuple[Mirror, ...]:
    """The mirrors of one call in the order of the projection: its activation first, then the rest.

    Args:
        call: the `Call`.
        table: from `rule_table`.
        is_scored: whether the signal starts before the layer's activation.

    Raises:
        ProjectionError: if there is no rule for the layer or for its activation.
    """
    rule = matching_layer_rule(call.layer, table.own)
    if rule is None and is_activation(call):
        return activation_mirrors(call, function_of(call.node), table)
    mirrors = layer_mirrors(call, table) if rule is None else mirrors_by(rule, call, table)
    activation = fused_activation(call.layer)
    if is_scored or activation is None or mirrors[-1].includes_activation:
        return mirrors
    return (*activation_mirrors(call, activation, table), *mirrors)


def is_activation(call):
    """Whether a call is an activation by itself."""
    function, kind = function_of(call.node), kind_of(call.layer)
    if kind in ACTIVATION_LAYERS:
        return True
    if function is None or kind in LAYER_RULES:
        return False
    is_named = family_of(function).function is not None
    return is_relu(function) or (is_named and operation_rule(call) is None)


def operation_rule(call):
    """The mirror of an operation of Keras, or None."""
    kind = kind_of(call.layer)
    is_of_number = kind.__name__ == "Multiply" and len(call.operands) == 1
    if is_of_number or not kind.__module__.startswith("keras.src.ops."):
        return None
    return OPERATION_RULES.get(kind.__name__)


def layer_mirrors(call, table):
    """The mirrors of a layer without its fused activation."""
    kind = kind_of(call.layer)
    rule = LAYER_RULES.get(kind) or operation_rule(call)
    if is_quantized(call.layer):
        return (Transpose(call),)
    if rule is merging.Product and sum(call.is_signal) > 1 and not table.derives:
        if table.rest is not None:
            return mirrors_by(table.rest, call, table)
        raise ProjectionError(call.name, "a product of several signals")
    if kind is LocalResponseNormalization and not table.derives:
        return (PassUnchanged(call),)
    if rule is not None:
        return (rule(call),)
    if is_affine_call(call):
        return (Transpose(call),)
    if table.rest is not None:
        return mirrors_by(table.rest, call, table)
    raise ProjectionError(call.name, f"a layer {type(call.layer).__name__}")


def activation_mirrors(call, function, table):
    """The mirrors of an activation, be it fused into a layer or a call by itself."""
    rule = matching_activation_rule(function, table.own)
    if rule is not None:
        return mirrors_by(rule, call, table)
    family = Family() if function is None else family_of(function)
    if family.function is activations.linear:
        return (PassUnchanged(call),)
    if is_relu(function):
        return (RECTIFICATION_MIRRORS[table.rectification](call),)
    if table.derives:
        return derivative_mirrors(call, table, family.is_elementwise or function is None)
    is_fused = fused_activation(call.layer) is not None
    if not is_fused and is_affine_call(call):
        return (Transpose(call),)
    if table.rest is not None:
        rest = ActivationDerivative if is_fused and table.rest is Derivative else table.rest
        return mirrors_by(rest, call, table)
    raise ProjectionError(call.name, f"the activation {activation_name(call, family)!r}")


def activation_name(call, family):
    """What to call an activation in a sentence."""
    own = fused_activation(call.layer) or getattr(call.layer, "activation", call.layer)
    return name_of(family.function or own)


def derivative_mirrors(call, table, is_elementwise=True):
    """The mirrors of an activation that is not a ReLU, for other rectifications than the paper's.

    Its derivative; of guided backpropagation where the signal is positive.
    """
    is_fused = fused_activation(call.layer) is not None
    derivative = ActivationDerivative(call) if is_fused else Derivative(call)
    is_guided = table.rectification == "guided" and is_elementwise
    return (Rectification(call), derivative) if is_guided else (derivative,)


def mirrors_by(rule, call, table):
    """The mirrors that a rule makes of a call."""
    if rule is Rectification and table.derives:
        function = fused_activation(call.layer) or function_of(call.node)
        if not is_relu(function):
            return derivative_mirrors(call, table)
        return (RECTIFICATION_MIRRORS[table.rectification](call),)
    if rule is merging.GateAsConstant and len(call.operands) == 1:
        return (Transpose(call),)  # times a number
    is_mirror = isinstance(rule, type) and issubclass(rule, Mirror)
    return (rule(call) if is_mirror else RuleMirror(call, rule),)


def matching_layer_rule(layer, pairs):
    """The first rule for the layer's type, or None."""
    for key, rule in pairs:
        if isinstance(key, str):
            if key == type(layer).__name__:
                return rule
        elif isinstance(key, (type, tuple)) and isinstance(layer, key):
            return rule
    return None


def matching_activation_rule(function, pairs):
    """The first rule for the activation function, or None."""
    if function is None:
        return None
    for key, rule in pairs:
        is_types = isinstance(key, (type, tuple))
        if is_types and isinstance(function, key):
            return rule
        if key is function or (isinstance(key, str) and key == name_of(function)):
            return rule
        if callable(key) and not is_types and is_same_function(key, function):
            return rule
    return None


def is_same_function(function, other):
    """Whether two functions are the same activation of Keras, but for parameters."""
    known = family_of(function).function
    return known is not None and known is family_of(other).function
