"""Exports the deconvnet as a SavedModel that TensorFlow alone can serve."""

import os
from pathlib import Path

import keras

from kerasvis.data.tensorflow_only import tf
from kerasvis.deconvnet.targets import STRONGEST, WHOLE
from kerasvis.layers.xla_compilation import plain_operations
from kerasvis.storage.files import atomic
from kerasvis.storage.locks import LOCK

ENTRIES = {"assets", "fingerprint.pb", "saved_model.pb", "variables"}  # of a SavedModel's folder


def export(deconv, filepath, verbose=False):
    """Writes the endpoints that `DeconvModel.export` describes.

    Args:
        deconv: a `DeconvModel`.
        filepath: folder to write, atomically; an existing SavedModel is replaced.
        verbose: whether Keras lists the endpoints.

    Raises:
        ValueError: if the folder holds anything else.
        OSError: if it cannot be written.
    """
    filepath = Path(filepath).absolute()
    check_replaceable(filepath)
    with atomic(filepath) as temporary, plain_operations():
        try:
            archive_of(deconv).write_out(str(temporary), verbose=verbose)
        except tf.errors.OpError as error:
            raise OSError(str(error)) from error


def check_replaceable(filepath):
    """Raises unless the folder does not exist, is empty, or contains a SavedModel."""
    if not filepath.exists():
        return
    if not filepath.is_dir() or set(os.listdir(filepath)) - {*ENTRIES, LOCK}:
        raise ValueError(
            "There is something other than a SavedModel: give a new or an empty folder. "
            f"Received: filepath={str(filepath)!r}"
        )


def archive_of(deconv):
    """The endpoints, ready to be written."""
    images = tf.TensorSpec((None, *deconv.convnet.inputs[0].shape[1:]), tf.float32, "images")
    feature = tf.TensorSpec((None,), tf.int32, "feature")
    position = tf.TensorSpec((None, 2), tf.int32, "position")

    def serve(images, feature):
        return serve_unit(images, feature, tf.fill([tf.shape(feature)[0], 2], STRONGEST))

    def serve_unit(images, feature, position):
        assert_in_layer(deconv, images, feature, position)
        return deconv({"images": images, "feature": feature, "position": position})

    # The model is not tracked: only the variables that the endpoints use are written, and none of
    # the layers above the target.
    archive = keras.export.ExportArchive()
    archive.add_endpoint("serve", serve, input_signature=[images, feature])
    archive.add_endpoint("serve_unit", serve_unit, input_signature=[images, feature, position])
    return archive


def assert_in_layer(deconv, images, feature, position):
    """Makes the graph reject rows that name no unit of the layer, as they would select another."""
    *size, num_features = deconv.target_shape
    ends = [length or tf.int32.max for length in size or (1, 1)]  # None: of any size
    is_feature = tf.logical_and(feature >= 0, feature < num_features)
    is_unit = tf.reduce_all(tf.logical_and(position >= 0, position < ends), axis=1)
    for name in (STRONGEST, WHOLE):
        is_unit = tf.logical_or(is_unit, tf.reduce_all(position == name, axis=1))
    units = "×".join("any" if length is None else str(length) for length in (*size, num_features))
    tf.debugging.Assert(
        tf.reduce_all(tf.logical_and(is_feature, is_unit)),
        [
            f"Layer {deconv.layer} has {units} units, but others were requested: give features "
            f"from 0 to {num_features - 1}, and positions inside, (-1, -1) or (-2, -2)."
        ],
    )
    tf.debugging.assert_equal(
        tf.shape(images)[0], tf.shape(feature)[0], "Give as many features as images."
    )
