"""Layers that are listed as identities do nothing at inference."""

import keras
import numpy as np
import pytest

from kerasvis.graph.identities import IDENTITIES

ARGUMENTS = {
    "ActivityRegularization": {"l2": 0.1},
    "AlphaDropout": {"rate": 0.5},
    "Dropout": {"rate": 0.5},
    "GaussianDropout": {"rate": 0.5},
    "GaussianNoise": {"stddev": 1.0},
    "RandomBrightness": {"factor": 0.5},
    "RandomColorDegeneration": {"factor": 0.5},
    "RandomContrast": {"factor": 0.5},
    "RandomHue": {"factor": 0.5},
    "RandomPosterization": {"factor": 4},
    "RandomRotation": {"factor": 0.5},
    "RandomSaturation": {"factor": 0.5},
    "RandomSharpness": {"factor": 0.5},
    "RandomTranslation": {"height_factor": 0.5, "width_factor": 0.5},
    "RandomZoom": {"height_factor": 0.5},
    "SpatialDropout2D": {"rate": 0.5},
}


@pytest.mark.parametrize("layer_type", IDENTITIES, ids=lambda x: x.__name__)
def test_identity_at_inference(layer_type):
    layer = layer_type(**ARGUMENTS.get(layer_type.__name__, {}))
    model = keras.Sequential([keras.Input((8, 9, 3)), layer])
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 8, 9, 3)).astype("float32")
    np.testing.assert_array_equal(model.predict(pixels, verbose=0), pixels)
