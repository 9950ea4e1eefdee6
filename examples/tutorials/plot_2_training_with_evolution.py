"""
Training, with evolution and diagnosis
======================================

``FeatureEvolution`` is a Keras callback for your own ``model.fit``. It records what feature maps
respond to, epoch by epoch (Figure 4). Here a small convnet learns to recognise which photograph a
crop is from.
"""

import tempfile

import keras
import numpy as np

import kerasvis as kv
from kerasvis.data.demo_photographs import DemoPhotographs
from kerasvis.training import RMSLimit

photographs = DemoPhotographs(size=(32, 32))
names = sorted({crop.photograph for crop in photographs.crops})
labels = np.array([names.index(crop.photograph) for crop in photographs.crops])
chosen = np.random.default_rng(0).permutation(len(labels))[:1200]
images, labels = photographs[chosen], labels[chosen]

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((32, 32, 3)),
        keras.layers.Rescaling(1 / 128, offset=-1),
        keras.layers.Conv2D(
            16, 5, activation="relu", name="conv1", kernel_constraint=RMSLimit(0.1)
        ),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(32, 3, activation="relu", name="conv2"),
        keras.layers.GlobalMaxPooling2D(),
        keras.layers.Dense(len(names), activation="softmax"),
    ]
)
directory = tempfile.mkdtemp()
evolution = kv.callbacks.FeatureEvolution(
    ["conv1", "conv2"], images[:200], epochs=[1, 2, 4, 8], directory=directory, num_features=4
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(images, labels, epochs=8, verbose=0, callbacks=[evolution])
print(f"accuracy {history.history['accuracy'][-1]:.2f}")

# %%
# How the features evolved:

kv.figures.evolution_grid(kv.analyses.load_evolution(directory))

# %%
# Does the model have problems? ``diagnose_filters`` measures what the authors looked for by eye:
# dominant, dead, duplicate and high-frequency filters, and aliasing (Figure 5).

diagnosis = kv.diagnose_filters(model, images[:200], verbose=0)
diagnosis

# %%
kv.figures.filter_diagnosis_grid(diagnosis)
