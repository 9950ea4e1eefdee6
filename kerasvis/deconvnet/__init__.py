"""The deconvnet: backward projection of chosen activations to pixel space (Section 2.1)."""

from kerasvis.deconvnet.deconv_model import DeconvModel as DeconvModel
from kerasvis.deconvnet.mirror import Mirror as Mirror
from kerasvis.deconvnet.mirror import Record as Record
from kerasvis.deconvnet.plan import Plan as Plan

__all__ = ["DeconvModel", "Mirror", "Plan", "Record"]
