"""
Your model in ten minutes
=========================

A trained Keras model is used without changes. Here it is the bundled one. For your own model, a
transfer-learning model for instance, replace the path, and the photographs by a folder of yours in
the model's size, ``kv.data.ImageFolder("photographs", size=model.input_shape[1:3])``.

``kerasvis info --model model.keras`` lists its layers and what can be projected. A layer inside a
nested backbone has both names, as in ``"mobilenet/conv_pw_3_relu"``. Good to begin with is a layer
after its activation, whose receptive field is smaller than the image.
"""

import json

import keras

import kerasvis as kv
from kerasvis.data.bundled import BUNDLED_MODEL
from kerasvis.data.demo_photographs import DemoPhotographs

model = keras.models.load_model(BUNDLED_MODEL / "model.keras")
class_names = json.loads((BUNDLED_MODEL / "classes.json").read_text())
photographs = DemoPhotographs(size=(64, 64))

# %%
# What do feature maps respond to? One scan over all images finds the nine strongest activations of
# every feature map. Each is projected to pixel space and shown next to the image patch that caused
# it, as in Figure 2 of the paper.

features = kv.visualize_features(model, ["conv2", "conv5"], photographs, num_features=8, verbose=0)
kv.figures.feature_grid(features)

# %%
# The projection of a single unit, step by step. The plan reads like Figure 1 of the paper.

coffee = [crop.photograph for crop in photographs.crops].index("coffee")  # the whole photograph
image = photographs[coffee]  # of a folder: photographs[0]
deconv = kv.DeconvModel(model, "conv5")
deconv.plan

# %%
projection = deconv.project(image[None], kv.targets.Strongest(48))[0]
print(projection.shape)

# %%
# Which parts does the model rely on? A grey square occludes one part after another (Figure 6). The
# class is the one that the model gives; for another give its number, as in ``class_index=2``.

heat = kv.occlusion_sensitivity(model, image, patch_size=24, strides=4, verbose=0)
pixels = image.astype("uint8")
kv.figures.occlusion_panel([kv.figures.OcclusionRow(heat, pixels, class_names)])

# %%
# Compare projections with the image patches, over several images, and confirm them by occlusion:
# see :doc:`/explanation/what_pictures_show`.
