"""Covering parts of an image: positions, fills, and exact inference on what an occluder touches."""

from kerasvis.occlusion.fills import filled as filled
from kerasvis.occlusion.inference_plan import InferencePlan as InferencePlan
from kerasvis.occlusion.input_units import input_units as input_units
from kerasvis.occlusion.occluders import Occluders as Occluders
from kerasvis.occlusion.sweep import OcclusionSweep as OcclusionSweep

__all__ = ["InferencePlan", "Occluders", "OcclusionSweep", "filled", "input_units"]
