"""Attribution methods: the deconvnet, gradients, Grad-CAM and others, through one call."""

from kerasvis.attributions.methods import METHODS as METHODS
from kerasvis.attributions.methods import attribute as attribute

__all__ = ["METHODS", "attribute"]
