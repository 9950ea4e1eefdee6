"""Methods beside the deconvnet, through the same calls: gradients, Grad-CAM, preferred images."""

from kerasvis.attributions.activation_maximization import PreferredImages as PreferredImages
from kerasvis.attributions.activation_maximization import (
    maximize_activation as maximize_activation,
)
from kerasvis.attributions.method_comparison import MethodComparison as MethodComparison
from kerasvis.attributions.method_comparison import compare_methods as compare_methods
from kerasvis.attributions.methods import METHODS as METHODS
from kerasvis.attributions.methods import attribute as attribute
from kerasvis.attributions.smooth_rules import SMOOTH_RULES as SMOOTH_RULES
from kerasvis.attributions.unit_invariance import UnitInvariance as UnitInvariance
from kerasvis.attributions.unit_invariance import unit_invariance as unit_invariance

__all__ = [
    "METHODS",
    "SMOOTH_RULES",
    "MethodComparison",
    "PreferredImages",
    "UnitInvariance",
    "attribute",
    "compare_methods",
    "maximize_activation",
    "unit_invariance",
]
