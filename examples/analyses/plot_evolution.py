"""
Evolution of features during training
=====================================

Question: when does a feature converge? (Figure 4.) The snapshots were recorded while the bundled
model was trained. Caveat: a filter that keeps its random initial values counts as converged.
"""

import kerasvis as kv
from kerasvis.data.bundled import BUNDLED_MODEL

evolution = kv.analyses.load_evolution(BUNDLED_MODEL / "evolution")
kv.figures.evolution_grid(evolution, layers=["conv3", "conv5"], num_features=3)

# %%
kv.figures.convergence_curves(kv.analyses.convergence(evolution))
