"""Snapshots as images in TensorBoard."""

import io

from kerasvis.figures import feature_grid
from kerasvis.reports.tensorboard import write_feature_grids


def export_snapshot(snapshot, log_dir):
    """Writes a snapshot into an event file: the figure of each layer, as of Figure 2.

    Args:
        snapshot: a `Snapshot`; its epoch is the step.
        log_dir: folder for event files.
    """
    grids = {layer: _png(feature_grid(features)) for layer, features in snapshot.features.items()}
    write_feature_grids(log_dir, grids, snapshot.epoch)


def _png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
