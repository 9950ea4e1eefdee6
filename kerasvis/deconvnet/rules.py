"""How the mirror of a layer is chosen.

Each layer of Keras that the paper's rules cover has a `Mirror`, by its exact type; a subclass
counts as its parent if it does not change anything that the parent computes with. An activation is
recognised by its values, so a ReLU is a ReLU however it is written. Any other layer or operation
that is affine in its inputs is mirrored by its transpose. For everything else, planning raises an
error.

`DeconvModel(..., rules=[...])` puts your own pairs `(key, rule)` before these; the first match
wins. A key is a layer type, its name, an activation function such as `keras.activations.silu`, or
`keras.Operation` for everything that no other rule matches. A rule is a `Mirror`, or a function
`rule(layer, signal, record)` that returns the signal projected through the layer: one tensor, or a
list with one for each of `record.inputs`, None for an input that receives no signal. A rule for a
layer type applies to the whole layer, including its fused activation.

`rules="relaxed"` puts `RELAXED_RULES` there, with which every layer has a rule. They depart from
the paper as follows; the plan prints the departures that apply:

- silu, gelu, hard silu, mish, elu, celu, selu, softplus, squareplus, leaky and parametric ReLU:
  rectified as a ReLU is;
- products of several signals (squeeze and excitation): the gate is held constant;
- layer, group, unit and RMS normalization: the signal passes unchanged;
- attention: its attention weights are held constant;
- all others: replaced by their derivative at the image.

With the rectifications `"guided"` and `"gradient"`, every layer is replaced by its derivative, and
the relaxed rules change nothing.

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

from kerasvis.deconvnet.built_in_rules import RELAXED_RULES, RULE_SETS
from kerasvis.deconvnet.derivative import AttentionAsGate, Derivative
from kerasvis.deconvnet.merging import GateAsConstant
from kerasvis.deconvnet.mirror import NormalizationUnchanged, PassUnchanged
from kerasvis.deconvnet.rectification import Rectification
from kerasvis.deconvnet.rule_matching import mirrors_of
from kerasvis.deconvnet.rule_table import rule_names, rule_table, standardize_rules

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
