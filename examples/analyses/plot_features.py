"""
Features: projections of the strongest activations
==================================================

Question: what does a feature map respond to? (Figure 2.) Caveat: much of the detail comes from the
switches and the image; compare projections with the patches.
"""

import json

import keras

import kerasvis as kv
from kerasvis.data.bundled import BUNDLED_MODEL
from kerasvis.data.demo_photographs import DemoPhotographs

model = keras.models.load_model(BUNDLED_MODEL / "model.keras")
class_names = json.loads((BUNDLED_MODEL / "classes.json").read_text())
photographs = DemoPhotographs(size=(64, 64))

features = kv.visualize_features(model, "conv4", photographs, num_features=12, verbose=0)
kv.figures.feature_grid(features)
