"""Draws arrays as matplotlib Figures; runs no model and opens no window."""

from kerasvis.figures.ablation_chart import ablation_chart as ablation_chart
from kerasvis.figures.contrast import signed_to_rgb as signed_to_rgb
from kerasvis.figures.convergence_curves import convergence_curves as convergence_curves
from kerasvis.figures.correspondence_bars import correspondence_bars as correspondence_bars
from kerasvis.figures.evolution_grid import evolution_grid as evolution_grid
from kerasvis.figures.feature_grid import feature_grid as feature_grid
from kerasvis.figures.fidelity_panels import fidelity_panels as fidelity_panels
from kerasvis.figures.filter_diagnosis_grid import filter_diagnosis_grid as filter_diagnosis_grid
from kerasvis.figures.filters import filter_grid as filter_grid
from kerasvis.figures.invariance_curves import invariance_curves as invariance_curves
from kerasvis.figures.method_comparison_grid import method_comparison_grid as method_comparison_grid
from kerasvis.figures.mosaic import mosaic as mosaic
from kerasvis.figures.occlusion_overlay import occlusion_overlay as occlusion_overlay
from kerasvis.figures.occlusion_panel import occlusion_panel as occlusion_panel
from kerasvis.figures.occlusion_row import OcclusionRow as OcclusionRow
from kerasvis.figures.transfer_curves import transfer_curves as transfer_curves
from kerasvis.figures.unit_invariance_grid import unit_invariance_grid as unit_invariance_grid

__all__ = [
    "OcclusionRow",
    "ablation_chart",
    "convergence_curves",
    "correspondence_bars",
    "evolution_grid",
    "feature_grid",
    "fidelity_panels",
    "filter_diagnosis_grid",
    "filter_grid",
    "invariance_curves",
    "method_comparison_grid",
    "mosaic",
    "occlusion_overlay",
    "occlusion_panel",
    "signed_to_rgb",
    "transfer_curves",
    "unit_invariance_grid",
]
