"""
Project through your own layer
==============================

A layer that cannot be projected through is an error while planning, which names the remedy.
"""

import keras

import kerasvis as kv

model = keras.Sequential(
    [keras.Input((9, 8, 3)), keras.layers.Conv2D(4, 3, activation="gelu", name="conv")]
)
try:
    kv.DeconvModel(model, "conv")
except ValueError as error:
    print(error)

# %%
# ``rules="relaxed"`` departs from the paper; the plan lists how. A pair (layer type or activation,
# rule) adds your own rule, which is tried before all others.

print(kv.DeconvModel(model, "conv", rules="relaxed").plan)
rules = [(keras.activations.gelu, kv.rules.Rectification)]
print(kv.DeconvModel(model, "conv", rules=rules).plan)
