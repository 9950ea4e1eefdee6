"""The snapshots in `saved_models/` are those of the nets beside them."""

from pathlib import Path

import keras
import numpy as np
import pytest

import kerasvis as kv
from kerasvis.analyses.evolution.snapshot_files import SnapshotFiles
from kerasvis.callbacks.feature_evolution import EPOCHS
from kerasvis.graph.model_fingerprint import model_fingerprint
from kerasvis.graph.reading import nodes_up_to

SAVED_MODELS = Path(__file__).parents[3] / "saved_models"
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")


@pytest.fixture(params=["alexnet", "zfnet"])
def folder(request):
    return SAVED_MODELS / f"{request.param}-evolution-tiny-imagenet-30"


def test_the_last_snapshot_was_taken_of_the_net(folder):
    model = keras.saving.load_model(folder / "model.keras", safe_mode=True)
    last = SnapshotFiles(folder / "evolution").load(EPOCHS[-1])
    assert last.weights == model_fingerprint(nodes_up_to(model, LAYERS))


def test_snapshots_are_complete_and_hold_no_photographs(folder):
    evolution = kv.analyses.load_evolution(folder / "evolution")
    assert tuple(evolution.epochs) == EPOCHS
    assert evolution.layers == LAYERS
    for layer in evolution:
        maps = evolution[layer]
        assert maps.projections.shape[:2] == (8, len(EPOCHS))
        assert np.abs(maps.projections).max(axis=(1, 2, 3, 4)).min() > 0
        assert maps.patches.size == 0
