"""
Diagnosis of filters
====================

Question: does the architecture have problems? (Figure 5.) Dominant, dead, duplicate and
high-frequency filters, and aliasing. Caveat: thresholds are conventions; look at the figure, too.
"""

import json

import keras

import kerasvis as kv
from kerasvis.data.bundled import BUNDLED_MODEL
from kerasvis.data.demo_photographs import DemoPhotographs

model = keras.models.load_model(BUNDLED_MODEL / "model.keras")
class_names = json.loads((BUNDLED_MODEL / "classes.json").read_text())
photographs = DemoPhotographs(size=(64, 64))

diagnosis = kv.diagnose_filters(model, photographs[::12], verbose=0)
kv.figures.filter_diagnosis_grid(diagnosis)
