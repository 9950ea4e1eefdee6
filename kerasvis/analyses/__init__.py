"""The analyses of the paper, one file or folder each."""

from kerasvis.analyses.ablation.ablation_variants import PAPER_ERRORS as PAPER_ERRORS
from kerasvis.analyses.ablation.ablation_variants import paper_variants as paper_variants
from kerasvis.analyses.ablation.layer_ablation import LayerAblation as LayerAblation
from kerasvis.analyses.ablation.layer_ablation import ablate as ablate
from kerasvis.analyses.correspondence import Correspondence as Correspondence
from kerasvis.analyses.correspondence import (
    measure_correspondence as measure_correspondence,
)
from kerasvis.analyses.evolution.evolution_result import Evolution as Evolution
from kerasvis.analyses.evolution.evolution_result import evolution_of_models as evolution_of_models
from kerasvis.analyses.evolution.evolution_result import load_evolution as load_evolution
from kerasvis.analyses.evolution.feature_convergence import Convergence as Convergence
from kerasvis.analyses.evolution.feature_convergence import convergence as convergence
from kerasvis.analyses.explanation.explanation import Explanation as Explanation
from kerasvis.analyses.explanation.explanation import ExplanationAnalysis as ExplanationAnalysis
from kerasvis.analyses.explanation.explanation import explain as explain
from kerasvis.analyses.explanation.explanation_of_images import (
    stream_explanations as stream_explanations,
)
from kerasvis.analyses.feature_relevance import find_top_relevances as find_top_relevances
from kerasvis.analyses.feature_visualization import FeatureVisualization as FeatureVisualization
from kerasvis.analyses.feature_visualization import visualize_features as visualize_features
from kerasvis.analyses.fidelity.fidelity_report import fidelity_report as fidelity_report
from kerasvis.analyses.fidelity.fidelity_result import FidelityReport as FidelityReport
from kerasvis.analyses.fidelity.fidelity_table import fidelity_rows as fidelity_rows
from kerasvis.analyses.fidelity.layer_fidelity import LayerFidelity as LayerFidelity
from kerasvis.analyses.fidelity.layer_fidelity import layer_fidelity as layer_fidelity
from kerasvis.analyses.filters.filter_diagnosis import FilterDiagnosis as FilterDiagnosis
from kerasvis.analyses.filters.filter_diagnosis import diagnose_filters as diagnose_filters
from kerasvis.analyses.filters.filter_findings import Finding as Finding
from kerasvis.analyses.filters.filter_findings import filter_findings as filter_findings
from kerasvis.analyses.invariance.feature_invariance import FeatureInvariance as FeatureInvariance
from kerasvis.analyses.invariance.feature_invariance import feature_invariance as feature_invariance
from kerasvis.analyses.maximization.activation_maximization import (
    PreferredImages as PreferredImages,
)
from kerasvis.analyses.maximization.activation_maximization import (
    maximize_activation as maximize_activation,
)
from kerasvis.analyses.method_comparison import MethodComparison as MethodComparison
from kerasvis.analyses.method_comparison import compare_methods as compare_methods
from kerasvis.analyses.occlusion.occlusion_agreement import OcclusionAgreement as OcclusionAgreement
from kerasvis.analyses.occlusion.occlusion_agreement import (
    occlusion_agreement as occlusion_agreement,
)
from kerasvis.analyses.occlusion.occlusion_of_images import (
    stream_occlusion_sensitivity as stream_occlusion_sensitivity,
)
from kerasvis.analyses.occlusion.occlusion_result import (
    OcclusionSensitivity as OcclusionSensitivity,
)
from kerasvis.analyses.occlusion.occlusion_sensitivity import OcclusionAnalysis as OcclusionAnalysis
from kerasvis.analyses.occlusion.occlusion_sensitivity import (
    occlusion_sensitivity as occlusion_sensitivity,
)
from kerasvis.analyses.transfer.feature_transfer import FeatureTransfer as FeatureTransfer
from kerasvis.analyses.transfer.feature_transfer import transfer_features as transfer_features
from kerasvis.analyses.transfer.near_duplicates import NearDuplicates as NearDuplicates
from kerasvis.analyses.transfer.near_duplicates import find_near_duplicates as find_near_duplicates
from kerasvis.analyses.unit_invariance import UnitInvariance as UnitInvariance
from kerasvis.analyses.unit_invariance import unit_invariance as unit_invariance

__all__ = [
    "PAPER_ERRORS",
    "Convergence",
    "Correspondence",
    "Evolution",
    "Explanation",
    "ExplanationAnalysis",
    "FeatureInvariance",
    "FeatureTransfer",
    "FeatureVisualization",
    "FidelityReport",
    "FilterDiagnosis",
    "Finding",
    "LayerAblation",
    "LayerFidelity",
    "MethodComparison",
    "NearDuplicates",
    "OcclusionAgreement",
    "OcclusionAnalysis",
    "OcclusionSensitivity",
    "PreferredImages",
    "UnitInvariance",
    "ablate",
    "compare_methods",
    "convergence",
    "diagnose_filters",
    "evolution_of_models",
    "explain",
    "feature_invariance",
    "fidelity_report",
    "fidelity_rows",
    "filter_findings",
    "find_near_duplicates",
    "find_top_relevances",
    "layer_fidelity",
    "load_evolution",
    "maximize_activation",
    "measure_correspondence",
    "occlusion_agreement",
    "occlusion_sensitivity",
    "paper_variants",
    "stream_explanations",
    "stream_occlusion_sensitivity",
    "transfer_features",
    "unit_invariance",
    "visualize_features",
]
