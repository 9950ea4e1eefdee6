"""Event files for TensorBoard: figures of feature maps as images, and numbers as curves.

TensorBoard shows their names, called tags, as text and groups them by the part before a slash; no
file is named after a tag. Descriptions and texts are not written, since they may contain Markdown.
Tags are escaped like other names: an event file cannot contain surrogates, and a terminal must not
receive control characters.
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
    """A writer of event files; the name of the folder need not be valid Unicode."""
    return tf.summary.create_file_writer(os.fsencode(log_dir))
