"""One scan over a data set: which images activate each feature map most, and other reductions."""

from kerasvis.activations.map_statistics import AllMaxima as AllMaxima
from kerasvis.activations.map_statistics import MapStatistics as MapStatistics
from kerasvis.activations.map_statistics import map_statistics as map_statistics
from kerasvis.activations.reducers import Batch as Batch
from kerasvis.activations.reducers import CountActive as CountActive
from kerasvis.activations.reducers import EveryImage as EveryImage
from kerasvis.activations.reducers import NumActive as NumActive
from kerasvis.activations.reducers import Reducer as Reducer
from kerasvis.activations.scan import NotFiniteError as NotFiniteError
from kerasvis.activations.scan import scan_layers as scan_layers
from kerasvis.activations.strongest_activations import StrongestActivations as StrongestActivations
from kerasvis.activations.strongest_activations import find_top_activations as find_top_activations
from kerasvis.activations.top_activations import LayerActivations as LayerActivations
from kerasvis.activations.top_activations import TopActivations as TopActivations

__all__ = [
    "AllMaxima",
    "Batch",
    "CountActive",
    "EveryImage",
    "LayerActivations",
    "MapStatistics",
    "NotFiniteError",
    "NumActive",
    "Reducer",
    "StrongestActivations",
    "TopActivations",
    "find_top_activations",
    "map_statistics",
    "scan_layers",
]
