"""Snapshots as images in TensorBoard."""

import io

from kerasvis.figures import feature_grid
from kerasvis.reports.tensorboard import write_feature_grids


def export_features(features, epoch, log_dir):
    """Writes a snapshot to an event file: for each layer, a figure like the paper's Figure 2.

    Args:
        features: `{layer: FeatureVisualization}`.
        epoch: number of the epoch, which TensorBoard shows as the step.
        log_dir: folder for event files.
    """
    grids = {name: _png(feature_grid(layer)) for name, layer in features.items()}
    write_feature_grids(log_dir, grids, epoch)


def _png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
