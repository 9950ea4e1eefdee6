"""Arrays in, matplotlib Figures out; nothing is computed on a model and no window is opened."""

from kerasvis.figures.contrast import signed_to_rgb as signed_to_rgb
from kerasvis.figures.convergence import convergence_curves as convergence_curves
from kerasvis.figures.feature_evolution import evolution_grid as evolution_grid
from kerasvis.figures.feature_grid import feature_grid as feature_grid
from kerasvis.figures.filters import filter_grid as filter_grid
from kerasvis.figures.mosaic import mosaic as mosaic

__all__ = [
    "convergence_curves",
    "evolution_grid",
    "feature_grid",
    "filter_grid",
    "mosaic",
    "signed_to_rgb",
]
