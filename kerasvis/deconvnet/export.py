"""The deconvnet as a SavedModel, which plain TensorFlow serves."""

import keras
import tensorflow as tf

from kerasvis.deconvnet.targets import STRONGEST
from kerasvis.layers.xla_compilation import plain_operations


def export(deconv, filepath, verbose=False):
    """Writes the endpoints that `DeconvModel.export` describes.

    Args:
        deconv: a `DeconvModel`.
        filepath: folder to write.
        verbose: whether Keras lists the endpoints.
    """
    images = tf.TensorSpec((None, *deconv.convnet.inputs[0].shape[1:]), tf.float32, "images")
    feature = tf.TensorSpec((None,), tf.int32, "feature")
    position = tf.TensorSpec((None, 2), tf.int32, "position")

    def serve(images, feature):
        strongest = tf.fill([tf.shape(feature)[0], 2], STRONGEST)
        return deconv({"images": images, "feature": feature, "position": strongest})

    def serve_unit(images, feature, position):
        return deconv({"images": images, "feature": feature, "position": position})

    archive = keras.export.ExportArchive()
    archive.track(deconv)
    with plain_operations():
        archive.add_endpoint("serve", serve, input_signature=[images, feature])
        archive.add_endpoint("serve_unit", serve_unit, input_signature=[images, feature, position])
        archive.write_out(str(filepath), verbose=verbose)
