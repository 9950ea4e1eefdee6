"""Snapshots as images in TensorBoard."""

import tensorflow as tf

from kerasvis.figures.contrast import signed_to_rgb
from kerasvis.figures.mosaic import mosaic
from kerasvis.figures.scaling import enlarge

TILE_SIZE = 64  # at least so many pixels, for fields of a few
METADATA = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="images"),
    data_class="DATA_CLASS_BLOB_SEQUENCE",
)


def export_snapshot(snapshot, log_dir):
    """Writes the projections of a snapshot into an event file: one picture for each layer.

    Needs TensorFlow alone: TensorBoard has to be installed only where it is looked at.

    Args:
        snapshot: a `Snapshot`; its epoch is the step.
        log_dir: folder for event files.
    """
    writer = tf.summary.create_file_writer(str(log_dir))
    with writer.as_default():
        for layer, features in snapshot.features.items():
            tiles = enlarge(signed_to_rgb(features.projections[:, 0]), TILE_SIZE)
            pixels = mosaic(tiles)
            height, width = pixels.shape[:2]
            image = tf.stack([str(width).encode(), str(height).encode(), tf.io.encode_png(pixels)])
            tf.summary.write(f"projections/{layer}", image, snapshot.epoch, METADATA)
    writer.close()
