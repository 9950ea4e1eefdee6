"""Methods beside the deconvnet, through the same calls: gradients, Grad-CAM and their like."""

from kerasvis.attributions.methods import METHODS as METHODS
from kerasvis.attributions.methods import attribute as attribute

__all__ = ["METHODS", "attribute"]
