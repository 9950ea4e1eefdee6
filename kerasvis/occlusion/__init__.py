"""Occluding parts of an image: positions, baselines, and exact inference on affected windows."""

from kerasvis.occlusion.baselines import baseline_image as baseline_image
from kerasvis.occlusion.inference_plan import InferencePlan as InferencePlan
from kerasvis.occlusion.occluders import Occluders as Occluders
from kerasvis.occlusion.sweep import OcclusionSweep as OcclusionSweep

__all__ = ["InferencePlan", "Occluders", "OcclusionSweep", "baseline_image"]
