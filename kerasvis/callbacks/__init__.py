"""Keras callbacks: what is recorded while a convnet is trained."""

from kerasvis.callbacks.feature_evolution import FeatureEvolution as FeatureEvolution
from kerasvis.callbacks.filter_diagnosis import FilterDiagnosis as FilterDiagnosis

__all__ = ["FeatureEvolution", "FilterDiagnosis"]
