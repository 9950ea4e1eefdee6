"""Which images drive each feature map most, found in one pass over a data set."""

from kerasvis.activations.map_statistics import MapStatistics as MapStatistics
from kerasvis.activations.map_statistics import map_statistics as map_statistics
from kerasvis.activations.scan import find_top_activations as find_top_activations
from kerasvis.activations.shards import Shard as Shard
from kerasvis.activations.shards import merge_top_activations as merge_top_activations
from kerasvis.activations.top_activations import LayerActivations as LayerActivations
from kerasvis.activations.top_activations import TopActivations as TopActivations

__all__ = [
    "LayerActivations",
    "MapStatistics",
    "Shard",
    "TopActivations",
    "find_top_activations",
    "map_statistics",
    "merge_top_activations",
]
