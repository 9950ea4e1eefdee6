"""
Invariance of features
======================

Question: how much do features change when the image is translated, scaled or rotated? (arXiv
Figure 5.) Caveat: content that enters at the border contributes to the change.
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

changes = {"translation": [-8, -4, 0, 4, 8], "scale": [1, 1.2, 1.5], "rotation": [0, 30, 90, 180]}
found = kv.analyses.feature_invariance(
    model, ["conv1", "fc7"], image[None].astype("uint8"), transformations=changes, verbose=0
)
kv.figures.invariance_curves(found, ["coffee"])
