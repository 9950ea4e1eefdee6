"""
Give images and their preprocessing
===================================

``images`` can be a folder or its path, an array or tensor, a list, a
``tf.data.Dataset`` or ``keras.utils.PyDataset`` with or without labels, an archive, a data set of
TensorFlow Datasets. Images carry their preprocessing.
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import kerasvis as kv

folder = Path(tempfile.mkdtemp())
for number in range(3):
    pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), "uint8")
    Image.fromarray(pixels).save(folder / f"{number}.png")

# %%
# A folder returns pixels in [0, 255], or what a model of ``keras.applications`` takes. Any other
# preprocessing is stated once: by a name (``"raw"``, ``"unit"``, ``"tf"``, ``"caffe"``,
# ``"torch"``), or by a function and its inverse.

photographs = kv.data.ImageFolder(
    folder,
    size=(32, 32),
    preprocessing=(lambda pixels: (pixels - 117) / 58, lambda images: images * 58 + 117),
)
images = photographs[:]
print(images.shape, f"from {images.min():.2f} to {images.max():.2f}")
