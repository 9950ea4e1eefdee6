"""Keras callbacks: what is recorded while a convnet is trained."""

from kerasvis.callbacks.feature_evolution import FeatureEvolution as FeatureEvolution

__all__ = ["FeatureEvolution"]
