"""
Project through a layer of your own
===================================

A layer that cannot be projected through is refused while planning, with the remedy.
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
# ``rules="relaxed"`` departs from the paper, as the plan then states. A pair (layer type or
# activation, rule) adds a rule of your own, and is tried before all others.

print(kv.DeconvModel(model, "conv", rules="relaxed").plan)
rules = [(keras.activations.gelu, kv.rules.Rectification)]
print(kv.DeconvModel(model, "conv", rules=rules).plan)
