"""What the scan leaves behind of each layer, kept in files so that no layer is scanned twice."""

from pathlib import Path

from kerasvis.activations import TopActivations, find_top_activations
from kerasvis.activations.map_statistics import MapStatistics, map_statistics
from kerasvis.reports.addresses import slug
from kerasvis.storage.fingerprints import digest


def is_scanned(folder, layer):
    """Whether the folder holds the files of a layer."""
    return _statistics_file(folder, layer).is_file()


def scan_layers(model, layers, images, k, folder, built_from, *, batch_size=16, verbose="auto"):
    """Scans layers, all together; one that was stopped goes on.

    Args:
        model: a functional or Sequential `keras.Model`.
        images: what `find_top_activations` takes.
        layers: names of layers that were not scanned yet.
        k: number of activations per feature map.
        folder: for the state of the scan.
        built_from: `{what: value}` of all that the result depends on.
        batch_size: images per step.
        verbose: 1 or 0, with or without progress bars; `"auto"`: with them on a terminal.

    Returns:
        `{layer: (LayerActivations, MapStatistics)}`.
    """
    if not layers:
        return {}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"scan-{digest([built_from, layers])}.npz"
    options = {"batch_size": batch_size, "verbose": verbose}
    if file.is_file():
        top = TopActivations.load(file)
    else:
        top = find_top_activations(model, layers, images, k, filepath=file, **options)
    statistics = map_statistics(model, layers, images, **options)
    return {layer: (top[layer], statistics[layer]) for layer in layers}


def save_layers(folder, scanned):
    """Writes the files of each layer, and removes the states of scans, which they replace."""
    for layer, (top, statistics) in scanned.items():
        TopActivations({layer: top}).save(_top_file(folder, layer))
        statistics.save(_statistics_file(folder, layer))  # last: it tells that both are there
    for file in Path(folder).glob("scan-*"):
        file.unlink()


def load_layer(folder, layer):
    """`(LayerActivations, MapStatistics)` of a layer that was scanned.

    Raises:
        ValueError: if a file is missing or damaged.
    """
    top = TopActivations.load(_top_file(folder, layer))[layer]
    return top, MapStatistics.load(_statistics_file(folder, layer))


def _top_file(folder, layer):
    return Path(folder) / f"{slug(layer)}-top.npz"


def _statistics_file(folder, layer):
    return Path(folder) / f"{slug(layer)}-statistics.npz"
