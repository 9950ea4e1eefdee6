"""The analyses of the paper, one file each."""

from kerasvis.analyses.feature_convergence import Convergence as Convergence
from kerasvis.analyses.feature_convergence import convergence as convergence
from kerasvis.analyses.feature_evolution import Evolution as Evolution
from kerasvis.analyses.feature_evolution import evolution_of_models as evolution_of_models
from kerasvis.analyses.feature_evolution import load_evolution as load_evolution
from kerasvis.analyses.feature_visualization import FeatureVisualization as FeatureVisualization
from kerasvis.analyses.feature_visualization import visualize_features as visualize_features

__all__ = [
    "Convergence",
    "Evolution",
    "FeatureVisualization",
    "convergence",
    "evolution_of_models",
    "load_evolution",
    "visualize_features",
]
