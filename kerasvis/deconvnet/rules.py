"""Which mirror a layer gets: an ordered table; the first match wins.

The table contains pairs `(key, rule)`. A key is a layer type, the name of one, or an activation
function such as `keras.activations.silu`. A rule is a `Mirror`, or a function
`rule(layer, signal, record)` that returns the signal projected through the layer: one tensor, or a
list with one for each of `record.inputs`, None for an input that receives no signal.

`DeconvModel(..., rules=[...])` puts your own pairs in front; `rules="relaxed"` puts
`RELAXED_RULES` there, for layers that the paper does not have. A rule for a layer type applies to
the whole layer, its fused activation included. A layer without a rule is an error while planning.

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
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import layers

from kerasvis.deconvnet import affine, filtering, merging, rearranging, unpooling
from kerasvis.deconvnet.merging import GateAsConstant
from kerasvis.deconvnet.mirror import Mirror, PassUnchanged, RuleMirror
from kerasvis.deconvnet.rectification import (
    RECTIFICATION_MIRRORS,
    RECTIFICATIONS,
    Rectification,
)
from kerasvis.graph.activation_functions import activation_of, is_activation_layer
from kerasvis.graph.identities import IDENTITIES
from kerasvis.layers import LocalResponseNormalization, MaxPooling2DWithSwitches, PixelMean

if TYPE_CHECKING:
    from kerasvis.deconvnet.mirror import Call


__all__ = [
    "CONVNEXT_RULES",
    "EFFICIENTNET_RULES",
    "RELAXED_RULES",
    "RULE_SETS",
    "GateAsConstant",
    "PassUnchanged",
    "Rectification",
    "mirrors_of",
    "rule_names",
    "rule_table",
    "standardize_rules",
]

LAYER_RULES = (
    (layers.Conv2DTranspose, filtering.Convolution),
    (layers.SeparableConv2D, filtering.TransposedSeparableConvolution),
    (layers.DepthwiseConv2D, filtering.TransposedDepthwiseConvolution),
    (layers.Conv2D, filtering.TransposedConvolution),
    (layers.Dense, filtering.TransposedDense),
    ((layers.MaxPooling2D, MaxPooling2DWithSwitches), unpooling.Unpooling),
    (layers.AveragePooling2D, unpooling.AverageUnpooling),
    (layers.GlobalAveragePooling2D, unpooling.GlobalAverageUnpooling),
    (layers.GlobalMaxPooling2D, unpooling.GlobalUnpooling),
    (layers.BatchNormalization, affine.BatchNormalizationScale),
    (layers.Rescaling, affine.RescalingScale),
    (layers.Normalization, affine.NormalizationScale),
    *merging.MERGING_MIRRORS,
    ("Add", merging.Sum),  # the operation behind `x + y`, which is not a layer
    (layers.ZeroPadding2D, rearranging.Unpadded),
    (layers.Cropping2D, rearranging.Uncropped),
    (layers.UpSampling2D, rearranging.Downsampled),
    ((layers.Flatten, layers.Reshape), rearranging.Reshaped),
    (layers.Permute, rearranging.Permuted),
    ((PixelMean, *IDENTITIES), PassUnchanged),
    (keras.activations.linear, PassUnchanged),
)

# Opt-in: for models with layers that the paper's rules do not include. Deviation: a smooth
# activation is treated as the ReLU that it approximates, a gate as a constant, layer normalisation
# as the paper treats contrast normalisation.
EFFICIENTNET_RULES = (
    (keras.activations.silu, Rectification),
    (layers.Multiply, GateAsConstant),
)


def scale_layer(layer, signal, record):
    """LayerScale of ConvNeXt: its factors, channel by channel."""
    return signal * keras.ops.cast(layer.gamma, signal.dtype)


CONVNEXT_RULES = (
    (keras.activations.gelu, Rectification),
    (layers.LayerNormalization, PassUnchanged),
    ("LayerScale", scale_layer),
    ("StochasticDepth", PassUnchanged),
)


# All of the above: what `rules="relaxed"` means.
RELAXED_RULES = (*EFFICIENTNET_RULES, *CONVNEXT_RULES)
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


def rule_table(rectification: str, rules: str | Sequence[tuple] = ()) -> tuple[tuple, ...]:
    """The whole table for one rectification, with the user's `rules` in front.

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
    rectify = RECTIFICATION_MIRRORS[rectification]
    is_deconvnet = rectification == "deconvnet"
    contrast = PassUnchanged if is_deconvnet else affine.LocalResponseNormalizationGradient
    return (
        *standardize_rules(rules),
        *LAYER_RULES,
        (keras.activations.relu, rectify),
        (keras.activations.relu6, rectify),
        (LocalResponseNormalization, contrast),
    )


def check_rule(pair):
    is_pair = isinstance(pair, (tuple, list)) and len(pair) == 2
    if not is_pair or not callable(pair[1]):
        raise ValueError(
            "Give rules as pairs (key, rule), where the key is a layer type or an activation "
            "function, and rule(layer, signal, record) returns the projected signal. Received: "
            f"rules=[..., {pair!r}, ...]"
        )


def mirrors_of(call: "Call", table: Sequence[tuple], is_scored: bool = False) -> tuple:
    """The mirrors of one call in the order of the projection: its activation first, then the rest.

    Args:
        call: the `Call`.
        table: from `rule_table`.
        is_scored: whether the signal starts before the layer's activation.

    Raises:
        ValueError: if the table has no rule for the layer or for its activation.
    """
    layer = call.layer
    activation = activation_of(layer)
    if is_activation_layer(layer):
        rule = matching_layer_rule(layer, table) or matching_activation_rule(activation, table)
        if rule is None:
            raise no_activation_rule(call, activation)
        return (as_mirror(rule, call),)
    rule = matching_layer_rule(layer, table)
    if rule is None:
        raise ValueError(
            f"Layer {call.name!r} ({type(layer).__name__}) cannot be projected through, as there "
            f"is no rule for it: pass rules=[({type(layer).__name__!r}, rule)], where rule(layer, "
            "signal, record) returns the projected signal, or kerasvis.rules.PassUnchanged to "
            "pass the signal unchanged."
        )
    mirror = as_mirror(rule, call)
    if is_scored or activation is None or mirror.includes_activation:
        return (mirror,)
    rule = matching_activation_rule(activation, table)
    if rule is None:
        raise no_activation_rule(call, activation)
    return as_mirror(rule, call), mirror


def matching_layer_rule(layer, table):
    """The first rule for the layer's type, or None."""
    for key, rule in table:
        if isinstance(key, str):
            if key == type(layer).__name__:
                return rule
        elif isinstance(key, (type, tuple)) and isinstance(layer, key):
            return rule
    return None


def matching_activation_rule(activation, table):
    """The first rule for the activation function, or None."""
    for key, rule in table:
        if key is activation or (isinstance(key, str) and key == name_of(activation)):
            return rule
    return None


def as_mirror(rule, call):
    """The mirror that a rule makes of a call."""
    is_mirror = isinstance(rule, type) and issubclass(rule, Mirror)
    return rule(call) if is_mirror else RuleMirror(call, rule)


def no_activation_rule(call, activation):
    if activation is None:
        described = f"a {type(call.layer).__name__} with a slope or threshold"
        key = repr(type(call.layer).__name__)
    else:
        described = f"the activation {name_of(activation)!r}"
        key = f"keras.activations.{name_of(activation)}"
    return ValueError(
        f"Layer {call.name!r} has {described}, which is not a ReLU, so the deconvnet has no rule "
        f"for it: pass rules=[({key}, kerasvis.rules.Rectification)] to treat it as one, or a rule "
        "of your own."
    )


def name_of(activation):
    return getattr(activation, "__name__", type(activation).__name__)
