"""Event files for TensorBoard: figures of feature maps as images, and numbers as curves.

TensorBoard shows the name of each, its tag, as text, and groups tags by what comes before a slash;
it names no file after them. No descriptions or texts, which may hold Markdown, are written. Tags
are escaped like other names: an event file takes no surrogates, and a terminal no control
characters.
"""

import io
import os

from PIL import Image

from kerasvis.data.file_names import shown_name
from kerasvis.data.tensorflow_only import tf

METADATA = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="images"),
    data_class="DATA_CLASS_BLOB_SEQUENCE",
)


def write_feature_grids(log_dir, grids, step=0):
    """Writes a figure of each layer into an event file, as the image `features/<layer>`.

    TensorBoard shows the PNG files unchanged. Writing needs only TensorFlow; TensorBoard must be
    installed only where it is viewed.

    Args:
        log_dir: folder for event files; created if necessary.
        grids: `{layer: PNG file as bytes}`, of figures as `kerasvis.figures.feature_grid` draws.
        step: number under which TensorBoard shows them, such as the epoch.
    """
    writer = _writer(log_dir)
    with writer.as_default():
        for layer, png in grids.items():
            width, height = Image.open(io.BytesIO(png)).size
            image = tf.stack([str(width).encode(), str(height).encode(), png])
            tf.summary.write(f"features/{shown_name(layer)}", image, step, METADATA)
    writer.close()


def write_scalars(log_dir, values, step):
    """Writes numbers into an event file, a point of a curve for each.

    Args:
        log_dir: folder for event files; created if necessary.
        values: `{name of the curve: number}`.
        step: number under which TensorBoard shows them, such as the epoch.
    """
    writer = _writer(log_dir)
    with writer.as_default():
        for name, value in values.items():
            tf.summary.scalar(shown_name(name), value, step)
    writer.close()


def _writer(log_dir):
    """Of event files, in a folder whose name may be no Unicode."""
    return tf.summary.create_file_writer(os.fsencode(log_dir))
