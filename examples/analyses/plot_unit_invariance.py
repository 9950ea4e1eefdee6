"""
Invariance of a single unit
===========================

Question: in which directions around an image does a unit stay active? (Section 1.1.) Caveat: a
model of ReLUs has no curvature, so the result depends on the step.
"""

import json

import keras

import kerasvis as kv
from kerasvis.data.bundled import BUNDLED_MODEL
from kerasvis.data.demo_photographs import DemoPhotographs

model = keras.models.load_model(BUNDLED_MODEL / "model.keras")
class_names = json.loads((BUNDLED_MODEL / "classes.json").read_text())
photographs = DemoPhotographs(size=(64, 64))
coffee = [crop.photograph for crop in photographs.crops].index("coffee")  # the whole photograph
image = photographs[coffee]

found = kv.analyses.unit_invariance(
    model, "conv3", image, kv.targets.Strongest(5), num_directions=2
)
kv.figures.unit_invariance_grid(found, found.images.clip(0, 255).astype("uint8"))
