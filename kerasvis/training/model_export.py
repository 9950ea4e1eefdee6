"""Exports a trained convnet as a SavedModel, which plain TensorFlow serves."""

import os

import keras

from kerasvis.data.tensorflow_only import tf
from kerasvis.storage.files import atomic


def export(model: keras.Model, filepath: str | os.PathLike) -> None:
    """Writes a SavedModel: raw pixels in, probabilities out. It needs neither Keras nor kerasvis.

    Args:
        model: a `keras.Model` that takes raw pixels, such as those of `kerasvis.convnets`.
        filepath: folder to write, atomically; an existing folder is replaced.

    Raises:
        OSError: if it cannot be written.

    Example:
        >>> import keras, numpy as np
        >>> import tensorflow as tf
        >>> import kerasvis as kv
        >>> model = keras.Sequential(
        ...     [keras.Input((8, 9, 3)), keras.layers.Flatten(), keras.layers.Dense(5, "softmax")]
        ... )
        >>> kv.training.export(model, "serving")
        >>> served = tf.saved_model.load("serving")
        >>> served.serve(np.zeros((2, 8, 9, 3), "uint8")).shape  # (images, rows, columns, 3), RGB
        TensorShape([2, 5])
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serve",
        lambda pixels: model(tf.cast(pixels, tf.float32), training=False),
        input_signature=[tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.uint8, "pixels")],
    )
    with atomic(filepath) as temporary:
        try:
            archive.write_out(str(temporary), verbose=False)
        except tf.errors.OpError as error:
            raise OSError(str(error)) from error
