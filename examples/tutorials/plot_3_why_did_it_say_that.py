"""
Why did it say that?
====================

``explain`` analyses one decision: which parts of the image and which feature maps the class depends
on. Each feature map is set to 0, and the layers above it are computed again.
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
explanation = kv.explain(model, image, verbose=0)
print(class_names[explanation.class_index], "rather than", class_names[explanation.other_index])

# %%
for layer, evidence in explanation.evidence.items():
    strongest = ", ".join(f"{f} adds {evidence.effects[f]:.2f}" for f in evidence.ranked[:3])
    print(f"{layer}: {strongest}; rank correlation with the estimate {evidence.agreement:.2f}")

# %%
# The parts of the image that the class depends on:

row = kv.figures.OcclusionRow(explanation.occlusion, image.astype("uint8"), class_names)
kv.figures.occlusion_panel([row])

# %%
# ``kv.reports.write_explanation(explanation, "explanation")`` writes it as an HTML page, as does
# ``kerasvis explain --model model.keras --image photograph.jpg``.
