"""
Fidelity of projections
=======================

Question: does a projection depend on the weights and on the unit, and does it point to the pixels
that the unit depends on? Caveat: there are few images here; use at least 20.
"""

import json

import keras

import kerasvis as kv
from kerasvis.data.bundled import BUNDLED_MODEL
from kerasvis.data.demo_photographs import DemoPhotographs

model = keras.models.load_model(BUNDLED_MODEL / "model.keras")
class_names = json.loads((BUNDLED_MODEL / "classes.json").read_text())
photographs = DemoPhotographs(size=(64, 64))

report = kv.fidelity_report(
    model,
    "conv5",
    photographs[[7, 900, 2000]],
    checks=["weight_randomization", "selectivity", "patch_sufficiency"],
    verbose=0,
)
kv.figures.fidelity_panels(report)
