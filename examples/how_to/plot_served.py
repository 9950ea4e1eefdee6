"""
Serve projections without kerasvis
==================================

The deconvnet of a layer is exported as a SavedModel, which plain TensorFlow runs. From the command
line: ``kerasvis export --model model.keras --layer conv5 --out serving``.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasvis.data.bundled import BUNDLED_MODEL
from kerasvis.data.demo_photographs import DemoPhotographs

serving = Path(tempfile.mkdtemp()) / "serving"
command = [sys.executable, "-m", "kerasvis", "export", "--layer", "conv5"]
subprocess.run(
    [*command, "--model", BUNDLED_MODEL / "model.keras", "--out", serving],
    check=True,
    capture_output=True,
)
deconvnet = tf.saved_model.load(serving)
images = DemoPhotographs(size=(64, 64))[:2]
served = deconvnet.serve(images, np.array([48, 7], "int32"))  # a feature map for each image
print({name: tuple(value.shape) for name, value in served.items()})
