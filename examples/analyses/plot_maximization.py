"""
Activation maximization
=======================

Question: which image excites a feature map most? (Section 1.1.) Caveat: such images do not
show invariance, and depend on the prior.
"""

import keras
import matplotlib.pyplot as plt

import kerasvis as kv
from kerasvis.data.bundled import BUNDLED_MODEL

model = keras.models.load_model(BUNDLED_MODEL / "model.keras")

found = kv.maximize_activation(model, "conv5", kv.targets.WholeMap([48, 7]), num_steps=64)
figure, axes = plt.subplots(1, 2, figsize=(5, 2.8))
for axis, pixels, feature in zip(axes, found.pixels, found.feature_indices, strict=True):
    axis.imshow(pixels)
    axis.set_title(f"conv5, {feature}")
    axis.axis("off")
