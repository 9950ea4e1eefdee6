"""Snapshots as images in TensorBoard."""

import io

from kerasvis.figures import feature_grid
from kerasvis.reports.tensorboard import write_feature_grids


def export_features(features, epoch, log_dir):
    """Writes a snapshot into an event file: the figure of each layer, as of Figure 2.

    Args:
        features: `{layer: FeatureVisualization}`.
        epoch: its number, which is the step.
        log_dir: folder for event files.
    """
    grids = {name: _png(feature_grid(layer)) for name, layer in features.items()}
    write_feature_grids(log_dir, grids, epoch)


def _png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
