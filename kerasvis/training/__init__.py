"""Training by the paper's recipe, with plain Keras `compile` and `fit`; every part works alone."""

from kerasvis.layers.filter_constraint import RMSLimit as RMSLimit
from kerasvis.layers.filter_constraint import filter_rms as filter_rms
from kerasvis.layers.filter_constraint import limit_filters as limit_filters
from kerasvis.training.annealing import AnnealOnPlateau as AnnealOnPlateau
from kerasvis.training.checkpoint import Checkpoint as Checkpoint
from kerasvis.training.checkpoint import describe_run as describe_run
from kerasvis.training.evaluation import TenCropAccuracy as TenCropAccuracy
from kerasvis.training.evaluation import ten_crop_evaluate as ten_crop_evaluate
from kerasvis.training.evaluation import ten_crop_model as ten_crop_model
from kerasvis.training.fit import compile_for as compile_for
from kerasvis.training.fit import fit as fit
from kerasvis.training.fit import prepare as prepare
from kerasvis.training.model_export import export as export
from kerasvis.training.recipe import Recipe as Recipe
from kerasvis.training.waiting import WaitingForData as WaitingForData

__all__ = [
    "AnnealOnPlateau",
    "Checkpoint",
    "RMSLimit",
    "Recipe",
    "TenCropAccuracy",
    "WaitingForData",
    "compile_for",
    "describe_run",
    "export",
    "filter_rms",
    "fit",
    "limit_filters",
    "prepare",
    "ten_crop_evaluate",
    "ten_crop_model",
]
