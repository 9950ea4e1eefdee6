"""
Title: What has my convnet learned?
Author: the kerasvis authors
Date created: 2026/11/29
Last modified: 2026/11/29
Description: Project feature maps to pixels, occlude the image, and check the projections.
Accelerator: None
"""

"""
## Introduction

A trained convnet has millions of weights. What do its feature maps respond to, and what are its
answers based on? [Zeiler & Fergus (2013)](https://arxiv.org/abs/1311.2901) answered both questions:

- a **deconvnet** runs the convnet backwards, from one activation to the pixels that caused it;
- **occlusion sensitivity** occludes one part of the image after another and measures the output.

This guide does both with [kerasvis](https://pypi.org/project/keras-deconvnet/), which works with
any functional or Sequential Keras model, and then tests how faithful the projections are.

```shell
pip install keras-deconvnet
```
"""

"""
## Setup

The guide uses a small classifier of 64×64 photographs and some photographs that are bundled with
the package, so that it runs without a download. For your own model, replace both:

```python
model = keras.applications.VGG16()
photographs = kv.data.ImageFolder("photographs", preprocessing="caffe")
```
"""

import json

import keras

import kerasvis as kv
from kerasvis.data.bundled import BUNDLED_MODEL
from kerasvis.data.demo_photographs import DemoPhotographs

model = keras.saving.load_model(BUNDLED_MODEL / "model.keras")
class_names = json.loads((BUNDLED_MODEL / "classes.json").read_text())
photographs = DemoPhotographs(size=(64, 64))

"""
## What do feature maps respond to?

One scan over all photographs finds the nine strongest activations of every feature map. Each is
projected to pixel space and shown next to the patch that caused it. Look for what the nine patches
of a feature map have in common, and which part of them remains in the projection.
"""

features = kv.visualize_features(model, ["conv2", "conv5"], photographs, num_features=8, verbose=0)
kv.figures.feature_grid(features).savefig("features.png")

"""
## How is a projection computed?

Max pooling records *switches*, the positions of the maxima. In the backward projection, unpooling
puts each value at the position of its maximum, a ReLU keeps positive values, and the transposed
filters lead to the layer below. The plan lists these steps.
"""

deconv = kv.DeconvModel(model, "conv5")
print(deconv.plan)

"""
## Which parts of the image does the model rely on?

A grey square occludes one part of the photograph after another. The class depends on the parts
whose occlusion lowers its probability.
"""

coffee = [crop.photograph for crop in photographs.crops].index("coffee")  # the whole photograph
image = photographs[coffee]
heat = kv.occlusion_sensitivity(model, image, patch_size=24, strides=4, verbose=0)
row = kv.figures.OcclusionRow(heat, image.astype("uint8"), class_names)
kv.figures.occlusion_panel([row]).savefig("occlusion.png")

"""
## Which feature maps does the answer depend on?

`explain` sets one feature map after another to 0 and computes the layers above it again. The drop
in the score of the class is the contribution of the feature map.
"""

explanation = kv.explain(model, image, verbose=0)
print(class_names[explanation.class_index], "rather than", class_names[explanation.other_index])
for layer, evidence in explanation.evidence.items():
    strongest = ", ".join(f"{f} adds {evidence.effects[f]:.2f}" for f in evidence.ranked[:3])
    print(f"{layer}: {strongest}")

"""
## How faithful are the projections?

A picture that looks convincing may say little about the model. With random weights the projection
should change; that of another unit should differ; and the patch that it points to should be enough
to keep the unit active.
"""

numbers = [number * len(photographs) // 4 for number in range(4)]
checks = ["weight_randomization", "selectivity", "patch_sufficiency"]
report = kv.fidelity_report(model, "conv5", photographs[numbers], checks=checks, verbose=0)
kv.figures.fidelity_panels(report).savefig("fidelity.png")

"""
## During training

`kv.callbacks.FeatureEvolution` records what feature maps respond to after chosen epochs of your own
`model.fit`:

```python
evolution = kv.callbacks.FeatureEvolution(
    ["conv1", "conv2"], images, epochs=[1, 2, 5, 10], directory="evolution"
)
model.fit(data, epochs=10, callbacks=[evolution])
kv.figures.evolution_grid(kv.analyses.load_evolution("evolution"))
```

## What to remember

- Compare projections with the image patches, over several images.
- In deep stacks of small filters, the fine detail of a projection comes from the switches, for any
  unit. `kv.analyses.layer_fidelity` measures how faithful the projections of a layer are.
- Confirm what you see by occlusion: it is an experiment, not a picture.
"""
