"""Features for transfer, computed on two machines, against the files of this process."""

import keras
import numpy as np
import pytest

from kerasvis.analyses.transfer import feature_cache
from kerasvis.analyses.transfer.all_images import AllImages
from kerasvis.analyses.transfer.feature_cache import FeatureCache
from kerasvis.data import LabelledData, LabelledImages
from tests.engines.light_work import files


@pytest.mark.slow
def test_features_are_those_of_one_process(machines, engine, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "PART_SIZE", 8)
    keras.utils.set_random_seed(0)
    conv = keras.layers.Conv2D(4, 3, name="conv")
    model = keras.Sequential([keras.Input((11, 13, 3)), conv, keras.layers.ReLU(name="relu")])
    pixels = np.random.default_rng(0).integers(0, 256, (37, 11, 13, 3), "uint8")
    images = LabelledImages(pixels, np.arange(37) % 2)
    data = AllImages(LabelledData(images, images, ("even", "odd"), (11, 13)))
    for folder, where in (("here", None), ("there", engine)):
        cache = FeatureCache(tmp_path / folder, model, ["conv", "relu"], data)
        cache.compute(batch_size=3, verbose=0, engine=where)
        assert cache.load("relu").shape == (74, 6 * 6 * 4)
    assert files(tmp_path / "here") == files(tmp_path / "there")
    assert len(files(tmp_path / "there")) == 20
