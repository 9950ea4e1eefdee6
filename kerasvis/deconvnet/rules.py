"""Which mirror a layer gets.

A `Mirror` for each layer of Keras that the paper's rules cover, by the very type; a subclass counts
as its parent if it leaves alone what the parent computes with. An activation is known by its
values, so that a ReLU is a ReLU however it is written. Any other layer or operation that is affine
in its inputs has its own transpose. What is left is refused while planning.

`DeconvModel(..., rules=[...])` puts pairs `(key, rule)` of yours in front; the first match wins. A
key is a layer type, the name of one, an activation function such as `keras.activations.silu`, or
`keras.Operation` for whatever no other rule matches. A rule is a `Mirror`, or a function
`rule(layer, signal, record)` that returns the signal projected through the layer: one tensor, or a
list with one for each of `record.inputs`, None for an input that receives no signal. A rule for a
layer type applies to the whole layer, its fused activation included.

`rules="relaxed"` puts `RELAXED_RULES` there, and refuses nothing. Its departures from the paper,
which the plan prints where they apply:

- silu, gelu, hard silu, mish, elu, celu, selu, softplus, squareplus, leaky and parametric ReLU:
  rectified as a ReLU is;
- products of several signals (squeeze and excitation): the gate is held constant;
- layer, group, unit and RMS normalization: the signal passes unchanged;
- attention: its weights are held constant;
- all others: their derivative at the image.

With the rectifications `"guided"` and `"gradient"` every layer passes its own derivative, and these
rules change nothing.

Example:
    >>> import keras
    >>> import kerasvis as kv
    >>> model = keras.Sequential(
    ...     [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, activation="tanh", name="a")]
    ... )
    >>> rules = [(keras.activations.tanh, kv.rules.Rectification)]
    >>> print(kv.DeconvModel(model, "a", rules=rules).plan)
    deconvnet of layer 'a' (6×6×4), rectification 'deconvnet'
      a (Conv2D): rectify · filter 3×3 → 8×8×3
    departures from the paper:
      smooth and leaky activations are rectified as a ReLU is: a
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
from keras import activations, layers

from kerasvis.deconvnet import affine, filtering, merging, rearranging, unpooling
from kerasvis.deconvnet.derivative import (
    ActivationDerivative,
    AttentionAsGate,
    Derivative,
    Selection,
    Transpose,
    is_affine_call,
)
from kerasvis.deconvnet.merging import GateAsConstant
from kerasvis.deconvnet.mirror import (
    Mirror,
    NormalizationUnchanged,
    PassUnchanged,
    RuleMirror,
)
from kerasvis.deconvnet.rectification import (
    RECTIFICATION_MIRRORS,
    RECTIFICATIONS,
    Rectification,
)
from kerasvis.graph.activation_functions import (
    function_of,
    fused_activation,
    is_relu,
    name_of,
)
from kerasvis.graph.function_families import Family, family_of
from kerasvis.graph.identities import IDENTITIES
from kerasvis.graph.layer_kinds import is_quantized, kind_of
from kerasvis.layers import LocalResponseNormalization, MaxPooling2DWithSwitches, PixelMean

if TYPE_CHECKING:
    from kerasvis.deconvnet.mirror import Call


__all__ = [
    "RELAXED_RULES",
    "RULE_SETS",
    "AttentionAsGate",
    "Derivative",
    "GateAsConstant",
    "NormalizationUnchanged",
    "PassUnchanged",
    "Rectification",
    "mirrors_of",
    "rule_names",
    "rule_table",
    "standardize_rules",
]

LAYER_RULES = {
    layers.Conv2D: filtering.TransposedConvolution,
    layers.Conv2DTranspose: filtering.Convolution,
    layers.DepthwiseConv2D: filtering.TransposedDepthwiseConvolution,
    layers.SeparableConv2D: filtering.TransposedSeparableConvolution,
    layers.Dense: filtering.TransposedDense,
    layers.MaxPooling2D: unpooling.Unpooling,
    MaxPooling2DWithSwitches: unpooling.Unpooling,
    layers.AveragePooling2D: unpooling.AverageUnpooling,
    layers.GlobalAveragePooling2D: unpooling.GlobalAverageUnpooling,
    layers.GlobalMaxPooling2D: unpooling.GlobalUnpooling,
    layers.BatchNormalization: affine.BatchNormalizationScale,
    layers.Rescaling: affine.RescalingScale,
    layers.Normalization: affine.NormalizationScale,
    layers.Add: merging.Sum,
    layers.Subtract: merging.Difference,
    layers.Average: merging.Mean,
    layers.Multiply: merging.Product,
    layers.Maximum: merging.Switched,
    layers.Minimum: merging.Switched,
    layers.Concatenate: merging.Pieces,
    layers.ZeroPadding2D: rearranging.Unpadded,
    layers.Cropping2D: rearranging.Uncropped,
    layers.UpSampling2D: rearranging.Downsampled,
    layers.Flatten: rearranging.Reshaped,
    layers.Reshape: rearranging.Reshaped,
    layers.Permute: rearranging.Permuted,
    **dict.fromkeys((PixelMean, *IDENTITIES), PassUnchanged),
}

# The operations behind `x + y` and the like, which have no public types.
OPERATION_RULES = {
    "Add": merging.Sum,
    "Clip": Selection,
    "Maximum": merging.Switched,
    "Minimum": merging.Switched,
    "Multiply": merging.Product,
}

_ACTIVATION_LAYERS = (
    *(layers.Activation, layers.ELU, layers.LeakyReLU, layers.PReLU, layers.ReLU, layers.Softmax),
)

# What `rules="relaxed"` means.
RELAXED_RULES = (
    *(
        (activation, Rectification)
        for activation in (
            *(activations.silu, activations.gelu, activations.hard_silu, activations.mish),
            *(activations.elu, activations.celu, activations.selu, activations.softplus),
            *(activations.squareplus, activations.leaky_relu, "quick_gelu", layers.PReLU),
        )
    ),
    ("Multiply", GateAsConstant),
    *(
        (normalization, NormalizationUnchanged)
        for normalization in (
            *(layers.LayerNormalization, layers.GroupNormalization, layers.UnitNormalization),
            layers.RMSNormalization,
        )
    ),
    ((layers.MultiHeadAttention, layers.GroupQueryAttention), AttentionAsGate),
    (keras.Operation, Derivative),
)
RULE_SETS = {"relaxed": RELAXED_RULES}


def standardize_rules(rules: Any, named: Mapping[str, tuple] = RULE_SETS) -> tuple:
    """The user's rules as pairs `(key, rule)`.

    Args:
        rules: pairs, the name of a set of them (`"relaxed"`), or both in one list; None for none.
        named: `{name: pairs}`.

    Raises:
        ValueError: if there is no set of that name, or a rule is not a pair `(key, rule)`.
    """
    found: list[tuple] = []
    is_sequence = isinstance(rules, Sequence) and not isinstance(rules, str)
    for rule in rules if is_sequence else () if rules is None else (rules,):
        if isinstance(rule, str) and rule in named:
            found += named[rule]
        elif isinstance(rule, str):
            raise ValueError(
                f"There are no rules of this name: give {', '.join(map(repr, named))}, or pairs "
                f"(key, rule). Received: rules={rule!r}"
            )
        else:
            check_rule(rule)
            found.append(tuple(rule))
    return tuple(found)


def rule_names(rules: Any) -> list[str]:
    """What identifies rules in another process: the names of keys and rules, in order."""
    return [
        part if isinstance(part, str) else getattr(part, "__qualname__", type(part).__qualname__)
        for pair in standardize_rules(rules)
        for part in pair
    ]


class RuleTable(NamedTuple):
    """By what rules mirrors are found.

    Attributes:
        rectification: `"deconvnet"`, `"guided"` or `"gradient"`.
        own: the user's pairs, which come first.
        rest: the rule for what no other rule matches, or None to refuse it.
    """

    rectification: str
    own: tuple[tuple, ...]
    rest: Callable | None

    @property
    def derives(self) -> bool:
        """Whether layers pass their derivative rather than what the deconvnet does in its place."""
        return self.rectification != "deconvnet"


def rule_table(rectification: str, rules: str | Sequence[tuple] = ()) -> RuleTable:
    """The rules for one rectification, with the user's `rules` in front.

    Args:
        rectification: `"deconvnet"`, `"guided"` or `"gradient"`.
        rules: what `standardize_rules` takes.

    Raises:
        ValueError: if the rectification is unknown, or the rules are.
    """
    if rectification not in RECTIFICATIONS:
        raise ValueError(
            f"Give one of {', '.join(map(repr, RECTIFICATIONS))}. Received: "
            f"rectification={rectification!r}"
        )
    is_deconvnet = rectification == "deconvnet"
    pairs = [x for x in standardize_rules(rules) if is_deconvnet or x not in RELAXED_RULES]
    rest = [rule for key, rule in pairs if key is keras.Operation]
    own = tuple(pair for pair in pairs if pair[0] is not keras.Operation)
    return RuleTable(rectification, own, rest[0] if rest else None if is_deconvnet else Derivative)


def check_rule(pair):
    is_pair = isinstance(pair, (tuple, list)) and len(pair) == 2
    if not is_pair or not callable(pair[1]):
        raise ValueError(
            "Give rules as pairs (key, rule), where the key is a layer type or an activation "
            "function, and rule(layer, signal, record) returns the projected signal. Received: "
            f"rules=[..., {pair!r}, ...]"
        )


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
    if kind in _ACTIVATION_LAYERS:
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
