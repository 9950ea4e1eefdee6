"""A trained convnet as a SavedModel, which plain TensorFlow serves."""

import os
import shutil
from pathlib import Path

import keras
import tensorflow as tf


def export(model, filepath):
    """Writes a SavedModel: raw pixels in, probabilities out. It needs neither Keras nor kerasvis.

    Args:
        model: a `keras.Model` that takes raw pixels, as those of `kerasvis.convnets` do.
        filepath: folder to write, whole or not at all; one that is there is replaced.

    Raises:
        OSError: if it cannot be written.

    Example:
        >>> export(model, "serving")
        >>> served = tf.saved_model.load("serving")
        >>> served.serve(pixels)  # uint8 (images, rows, columns, 3), RGB
    """
    filepath = Path(filepath)
    beside = filepath.with_name("writing-" + filepath.name)
    shutil.rmtree(beside, ignore_errors=True)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serve",
        lambda pixels: model(tf.cast(pixels, tf.float32), training=False),
        input_signature=[tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.uint8, "pixels")],
    )
    try:
        archive.write_out(str(beside), verbose=False)
        if filepath.exists():
            shutil.rmtree(filepath)
        os.replace(beside, filepath)
    except (OSError, tf.errors.OpError) as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise OSError(f"{filepath} cannot be written ({error}): give another folder.") from error
