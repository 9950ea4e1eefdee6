"""
Title: What has my convnet learned?
Author: the kerasvis authors
Date created: 2026/11/29
Last modified: 2026/11/29
Description: Project feature maps to pixels, occlude the image, and check the pictures.
Accelerator: None
"""

"""
## Introduction

A trained convnet holds millions of weights. What do its feature maps respond to, and on what does
it base an answer? [Zeiler & Fergus (2013)](https://arxiv.org/abs/1311.2901) answered both:

- a **deconvnet** runs the net backwards, from one activation to the pixels that caused it;
- **occlusion sensitivity** covers one part of the image after another, and watches the answer.

This guide does both with [kerasvis](https://pypi.org/project/keras-deconvnet/), which takes any
functional or Sequential Keras model as it is, and then tests whether the pictures can be believed.

```shell
pip install keras-deconvnet
```
"""

"""
## Setup

The guide uses a small classifier of 64×64 photographs and some photographs that come with the
package, so that it runs without a download. For a model of your own, replace both:

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
projected to pixel space, and shown beside the patch that caused it. Look for what the nine patches
of a feature map have in common, and for which part of them the projection keeps.
"""

features = kv.visualize_features(model, ["conv2", "conv5"], photographs, num_features=8, verbose=0)
kv.figures.feature_grid(features).savefig("features.png")

"""
## How does a projection come about?

Max pooling records *switches*, the positions of the maxima. On the way back, unpooling puts each
value where its maximum was, a ReLU keeps what is positive, and the transposed filters lead to the
layer below. The plan lists these steps.
"""

deconv = kv.DeconvModel(model, "conv5")
print(deconv.plan)

"""
## Where does the net look?

A grey square occludes one part of the photograph after another. Where the probability of the class
falls, the net needed what was there.
"""

coffee = [crop.photograph for crop in photographs.crops].index("coffee")  # the whole photograph
image = photographs[coffee]
heat = kv.occlusion_sensitivity(model, image, patch_size=24, strides=4, verbose=0)
row = kv.figures.OcclusionRow(heat, image.astype("uint8"), class_names)
kv.figures.occlusion_panel([row]).savefig("occlusion.png")

"""
## Which feature maps carry the answer?

`explain` sets one feature map after another to 0, and runs the layers above it again. What the
score of the class loses is what the feature map added.
"""

explanation = kv.explain(model, image, verbose=0)
print(class_names[explanation.class_index], "rather than", class_names[explanation.other_index])
for layer, evidence in explanation.evidence.items():
    strongest = ", ".join(f"{f} adds {evidence.effects[f]:.2f}" for f in evidence.ranked[:3])
    print(f"{layer}: {strongest}")

"""
## Can the pictures be believed?

A picture that looks convincing may say little about the net. When weights become random it should
change; when another unit is asked, too; and the patch to which it points should be enough to keep
the unit active.
"""

numbers = [number * len(photographs) // 4 for number in range(4)]
checks = ["weight_randomization", "selectivity", "patch_sufficiency"]
report = kv.fidelity_report(model, "conv5", photographs[numbers], checks=checks, verbose=0)
kv.figures.fidelity_panels(report).savefig("fidelity.png")

"""
## While it trains

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

- Read projections beside the image patches, over several images.
- In deep stacks of small filters the fine detail of a projection comes from the switches, whichever
  unit is asked. `kv.analyses.layer_fidelity` tells how far to trust each layer.
- Confirm what you believe to see by occlusion: it is an experiment, not a picture.
"""
