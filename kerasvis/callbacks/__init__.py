"""Keras callbacks that record how features and filters develop during training."""

from kerasvis.callbacks.feature_evolution import FeatureEvolution as FeatureEvolution
from kerasvis.callbacks.filter_diagnosis import FilterDiagnosis as FilterDiagnosis

__all__ = ["FeatureEvolution", "FilterDiagnosis"]
