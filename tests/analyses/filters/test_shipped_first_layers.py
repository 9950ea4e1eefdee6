"""The first layers of the shipped nets are what Figure 5 shows: edges and blobs, not noise."""

from pathlib import Path

import keras
import pytest

import kerasvis as kv
from kerasvis.analyses.filters.filter_findings import filters_per_band

SAVED_MODELS = Path(__file__).parents[3] / "saved_models"


@pytest.mark.parametrize("net", ["zfnet", "zfnet-evolution", "alexnet-evolution"])
def test_few_filters_of_mostly_high_frequencies(net):
    filepath = SAVED_MODELS / f"{net}-tiny-imagenet-30" / "model.keras"
    diagnosis = kv.diagnose_filters(keras.saving.load_model(filepath, safe_mode=True))
    low, middle, high = filters_per_band(diagnosis)
    assert high <= 0.1
    assert low > 0.1
    assert middle > 0.1
