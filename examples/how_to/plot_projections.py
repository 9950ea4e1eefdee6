"""
Project units and feature maps, also by other rules
===================================================

``DeconvModel`` mirrors a model up to a layer, shares its weights, and never changes it. A layer
inside a backbone is called ``backbone/layer``.
"""

import keras

import kerasvis as kv
from kerasvis.data.bundled import BUNDLED_MODEL
from kerasvis.data.demo_photographs import DemoPhotographs

model = keras.models.load_model(BUNDLED_MODEL / "model.keras")
images = DemoPhotographs(size=(64, 64))[[0, 700, 1900]]

deconv = kv.DeconvModel(model, "conv3")
strongest = deconv.project(images, kv.targets.Strongest(42))  # image by image
unit = deconv.project(images, kv.targets.Unit(42, row=3, column=3))
whole_map = deconv.project(images, kv.targets.WholeMap(42))

# %%
# ``rectification="guided"`` gives guided backpropagation, ``"gradient"`` gradient saliency: the
# three differ in their rule for ReLUs. Here they are side by side, an image in each row.

rows = []
for rectification in ("deconvnet", "guided", "gradient"):
    deconv = kv.DeconvModel(model, "conv3", rectification)
    rows.append(deconv.project(images, kv.targets.Strongest(42)))
tiles = [kv.figures.signed_to_rgb(row[number]) for number in range(len(images)) for row in rows]
grid = kv.figures.mosaic(tiles, columns=len(rows), gap=2)
print(grid.shape)

# %%
# Other methods, through one call:

maps = kv.attribute(model, model.layers[-1].name, images, kv.targets.Unit(1), "grad_cam")
print(maps.shape)
