"""
Evolution of features in training
=================================

Question: when does a feature settle? (Figure 4.) The snapshots were recorded while the
bundled model was trained. Caveat: a filter that never leaves its
random start counts as settled early.
"""

import kerasvis as kv
from kerasvis.data.bundled import BUNDLED_MODEL

evolution = kv.analyses.load_evolution(BUNDLED_MODEL / "evolution")
kv.figures.evolution_grid(evolution, layers=["conv3", "conv5"], num_features=3)

# %%
kv.figures.convergence_curves(kv.analyses.convergence(evolution))
