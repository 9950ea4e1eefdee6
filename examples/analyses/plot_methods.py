"""
Methods side by side
====================

Question: do other methods point to the same place? Caveat: ``edges`` depends only on the image; a
method with similar maps says nothing about the model.
"""

import json

import keras

import kerasvis as kv
from kerasvis.data.bundled import BUNDLED_MODEL
from kerasvis.data.demo_photographs import DemoPhotographs

model = keras.models.load_model(BUNDLED_MODEL / "model.keras")
class_names = json.loads((BUNDLED_MODEL / "classes.json").read_text())
photographs = DemoPhotographs(size=(64, 64))

crops = [crop.photograph for crop in photographs.crops]
images = photographs[[crops.index(name) for name in ("coffee", "rocket")]]
target = kv.targets.Unit(model.predict(images, verbose=0).argmax(axis=1))
methods = ["deconvnet", "guided", "gradient", "grad_cam", "edges"]
found = kv.compare_methods(model, model.layers[-1].name, images, target, methods)
kv.figures.method_comparison_grid(found)
