"""
Occlusion sensitivity
=====================

Question: which parts of the image does the class depend on? (Figure 6.) Caveat: a heat map depends
on the occluder; ``occlusion_agreement`` repeats the analysis with others.
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

heat = kv.occlusion_sensitivity(model, image, patch_size=16, strides=4, verbose=0)
kv.figures.occlusion_overlay(heat, image.astype("uint8"))

# %%
agreement = kv.analyses.occlusion_agreement(
    model, image, patch_sizes=(16, 24), strides=8, verbose=0
)
agreement
