"""The results of the scan for each layer, stored as parts of the gallery."""

from pathlib import Path

from kerasvis.activations import AllMaxima, StrongestActivations, TopActivations
from kerasvis.activations.map_statistics import MapStatistics
from kerasvis.activations.scan import Scan, progress_bar
from kerasvis.arguments import standardize_verbose
from kerasvis.reports.addresses import slug
from kerasvis.storage.fingerprints import digest

UNFINISHED = "arrays/scan-"  # prefix of the file of an unfinished scan


def is_known(directory, layer):
    """Whether a gallery, finished or not, has the layer."""
    return (Path(directory) / _statistics_part(layer)).is_file()


def is_scanned(parts, layer):
    """Whether the parts of a layer are complete."""
    return all(map(parts.is_complete, (_top_part(layer), _statistics_part(layer))))


def reducers_of_layer(k):
    """The reducers whose results `save_layer` stores, for a number of activations."""
    return StrongestActivations(k), AllMaxima()


def save_layer(parts, layer, top, statistics):
    """Stores the results of a layer."""
    parts.save(_top_part(layer), TopActivations({layer: top}).to_arrays())
    parts.save(_statistics_part(layer), statistics.to_arrays())


def load_layer(directory, layer):
    """`(LayerActivations, MapStatistics)` of a scanned layer.

    Raises:
        ValueError: if a file is missing or damaged.
    """
    directory = Path(directory)
    top = TopActivations.load(directory / _top_part(layer))[layer]
    return top, MapStatistics.load(directory / _statistics_part(layer))


def save_relevance(parts, layer, top):
    """Stores in which images each feature map of a layer is most relevant."""
    parts.save(_relevance_part(layer), TopActivations({layer: top}).to_arrays())


def has_relevance(parts, layer):
    """Whether the relevances of a layer are stored."""
    return parts.is_complete(_relevance_part(layer))


def is_relevance_known(directory, layer):
    """Whether a gallery, finished or not, has the relevances of a layer."""
    return (Path(directory) / _relevance_part(layer)).is_file()


def load_relevance(directory, layer):
    """The `LayerActivations` stored by `save_relevance`; its values are relevances."""
    return TopActivations.load(Path(directory) / _relevance_part(layer))[layer]


def run_scan(model, watched, images, parts, verbose, engine=None):
    """Scans the images once; the state of the scan is a part until `discard_scans`.

    Args:
        model: a functional or Sequential `keras.Model`.
        watched: pairs of a layer and a `Reducer`.
        images: the `Images`.
        parts: the `Parts` of the gallery.
        verbose: 1 shows a progress bar, 0 none; `"auto"` shows one on a terminal.
        engine: the `Ray` to scan on; None for this process.
    """
    if not watched:
        return []
    name = digest((layer, reducer.settings) for layer, reducer in watched)
    with progress_bar("Scan", images, standardize_verbose(verbose)) as on_progress:
        return Scan(model, watched).run(
            images, parts, f"{UNFINISHED}{name}.npz", engine=engine, on_progress=on_progress
        )


def discard_scans(parts):
    """Removes the states of scans whose results are stored."""
    for name in parts.names(UNFINISHED):
        parts.discard(name)


def _top_part(layer):
    return f"arrays/{slug(layer)}-top.npz"


def _relevance_part(layer):
    return f"arrays/{slug(layer)}-relevance.npz"


def _statistics_part(layer):
    return f"arrays/{slug(layer)}-statistics.npz"
