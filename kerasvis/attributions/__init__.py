"""Methods beside the deconvnet, through the same calls: gradients, Grad-CAM and their like."""

from kerasvis.attributions.methods import METHODS as METHODS
from kerasvis.attributions.methods import attribute as attribute
from kerasvis.attributions.smooth_rules import SMOOTH_RULES as SMOOTH_RULES

__all__ = ["METHODS", "SMOOTH_RULES", "attribute"]
