"""Finds the rules that match a call of the convnet, and creates its mirrors."""

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
        name: name of the call.
        what: what has no rule, for example `"a layer LSTM"`.
    """

    def __init__(self, name: str, what: str):
        self.name, self.what = name, what
        super().__init__(f"Layer {name!r} cannot be projected through: {what}. {REMEDY}")


REMEDY = (
    "Give rules='relaxed' (in a command --rules relaxed), after which the plan states how it "
    "departs from the paper; or give rules of your own, see kerasvis.rules."
)


def mirrors_of(call: "Call", table: RuleTable, is_scored: bool = False) -> tuple[Mirror, ...]:
    """The mirrors of one call in the order of the projection: its activation first, then the rest.

    Args:
        call: the `Call`.
        table: the `RuleTable`.
        is_scored: whether the projection starts before the layer's activation.

    Raises:
        ProjectionError: if there is no rule for the layer or for its activation.
    """
    rule = matching_layer_rule(call.layer, table.users)
    if rule is None and is_activation(call):
        return activation_mirrors(call, function_of(call.node), table)
    mirrors = layer_mirrors(call, table) if rule is None else apply_rule(rule, call, table)
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
    """The built-in rule for an operation of `keras.ops`, or None."""
    kind = kind_of(call.layer)
    is_by_a_number = kind.__name__ == "Multiply" and len(call.operands) == 1
    if is_by_a_number or not kind.__module__.startswith("keras.src.ops."):
        return None
    return OPERATION_RULES.get(kind.__name__)


def layer_mirrors(call, table):
    """The mirrors of a layer without its fused activation."""
    kind = kind_of(call.layer)
    rule = LAYER_RULES.get(kind) or operation_rule(call)
    if is_quantized(call.layer):
        return (Transpose(call),)
    if rule is merging.Product and sum(call.is_signal) > 1 and not table.derives:
        return fallback_mirrors(call, table, "a product of several signals")
    if kind is LocalResponseNormalization and not table.derives:
        return (PassUnchanged(call),)
    if rule is not None:
        return (rule(call),)
    if is_affine_call(call):
        return (Transpose(call),)
    return fallback_mirrors(call, table, f"a layer {type(call.layer).__name__}")


def fallback_mirrors(call, table, what):
    """The mirrors of a call that no other rule matches.

    Raises:
        ProjectionError: if the table has no rule for such calls; it says `what` has no rule.
    """
    if table.fallback is None:
        raise ProjectionError(call.name, what)
    return apply_rule(table.fallback, call, table)


def activation_mirrors(call, function, table):
    """The mirrors of an activation, which may be fused into a layer or a call by itself."""
    rule = matching_activation_rule(function, table.users)
    if rule is not None:
        return apply_rule(rule, call, table)
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
    if is_fused and table.fallback is Derivative:
        return (ActivationDerivative(call),)
    return fallback_mirrors(call, table, f"the activation {activation_name(call, family)!r}")


def activation_name(call, family):
    """The name of an activation in messages."""
    own = fused_activation(call.layer) or getattr(call.layer, "activation", call.layer)
    return name_of(family.function or own)


def derivative_mirrors(call, table, is_elementwise=True):
    """The mirrors of an activation that is not a ReLU, for rectifications other than the paper's.

    The gradient uses its derivative; guided backpropagation also rectifies the signal first.
    """
    is_fused = fused_activation(call.layer) is not None
    derivative = ActivationDerivative(call) if is_fused else Derivative(call)
    is_guided = table.rectification == "guided" and is_elementwise
    return (Rectification(call), derivative) if is_guided else (derivative,)


def apply_rule(rule, call, table):
    """The mirrors that a rule of the user's, or of `RELAXED_RULES`, gives a call."""
    if rule is Rectification and table.derives:
        function = fused_activation(call.layer) or function_of(call.node)
        if not is_relu(function):
            return derivative_mirrors(call, table)
        return (RECTIFICATION_MIRRORS[table.rectification](call),)
    if rule is merging.GateAsConstant and len(call.operands) == 1:
        return (Transpose(call),)  # a product with a number has no gates
    is_mirror = isinstance(rule, type) and issubclass(rule, Mirror)
    return (rule(call) if is_mirror else RuleMirror(call, rule),)


def matching_layer_rule(layer, rules):
    """The first of the user's rules for the layer's type, or None."""
    for key, rule in rules:
        if isinstance(key, str):
            if key == type(layer).__name__:
                return rule
        elif isinstance(key, (type, tuple)) and isinstance(layer, key):
            return rule
    return None


def matching_activation_rule(function, rules):
    """The first of the user's rules for the activation function, or None."""
    if function is None:
        return None
    for key, rule in rules:
        is_types = isinstance(key, (type, tuple))
        if is_types and isinstance(function, key):
            return rule
        if key is function or (isinstance(key, str) and key == name_of(function)):
            return rule
        if callable(key) and not is_types and is_same_function(key, function):
            return rule
    return None


def is_same_function(function, other):
    """Whether two functions are the same Keras activation, whatever their parameters."""
    known = family_of(function).function
    return known is not None and known is family_of(other).function
