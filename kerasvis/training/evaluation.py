"""Accuracy over the ten sub-crops of every image."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import keras
import numpy as np
from keras import ops

from kerasvis.data.labelled.sub_crops import NUM_SUB_CROPS, sub_crop_corners, ten_crops
from kerasvis.storage.counted import counted

if TYPE_CHECKING:
    from kerasvis.data.labelled.labelled_data import LabelledSet


class TenCropAccuracy(NamedTuple):
    """Shares of images whose class is the most probable, or among the five most probable.

    Attributes:
        top_1: in [0, 1].
        top_5: in [0, 1]; 1 for five classes or fewer.
        num_images: number of images.
    """

    top_1: float
    top_5: float
    num_images: int


def ten_crop_evaluate(
    model: keras.Model, data: "LabelledSet", batch_size: int = 128, verbose: str | int = 0
) -> TenCropAccuracy:
    """Top-1 and top-5 accuracy of the mean of the probabilities over ten sub-crops.

    Args:
        model: `keras.Model` that takes the sub-crops and returns class probabilities (softmax).
        data: `LabelledImages`, or a set of `LabelledData`, with images of the size of the model's
            input or larger (256 for 224 in the paper).
        batch_size: sub-crops per step, at least ten.
        verbose: 1 shows Keras' progress bar.

    Returns:
        A `TenCropAccuracy`. Among equally probable classes, those with the lower index come first.

    Raises:
        ValueError: if there is no image, the images are smaller than the model's input, the model
            does not return probabilities, or a label is not a class of the model.

    Reference:
        Zeiler & Fergus 2013, Section 3.
    """
    if len(data.labels) == 0:
        raise ValueError("Give at least one image. Received: data with 0 images")
    batches = data.batches(max(1, batch_size // NUM_SUB_CROPS))
    pixels, _ = batches.element_spec
    averaged = ten_crop_model(model, pixels.shape[1:3])
    probabilities = averaged.predict(batches.map(lambda pixels, labels: pixels), verbose=verbose)
    labels = np.asarray(data.labels)
    _check(model, probabilities, labels)
    ranks = _ranks(probabilities, labels)
    return TenCropAccuracy(float(np.mean(ranks < 1)), float(np.mean(ranks < 5)), len(labels))


def ten_crop_model(model: keras.Model, image_size: Sequence[int]) -> keras.Model:
    """A model of whole images: the mean of `model` over their ten sub-crops.

    It shares the layers and weights of `model`, and is a Keras model itself.

    Args:
        model: `keras.Model` that takes `(images, crop rows, crop columns, channels)`.
        image_size: `(rows, columns)` of the images, in pixels.

    Returns:
        A functional `keras.Model`, which runs `model` once on ten times its batch.

    Raises:
        ValueError: if the images are smaller than the model's input.
    """
    *crop_size, channels = model.inputs[0].shape[1:]
    sub_crop_corners(image_size, crop_size)  # fail early if the images are too small
    images = keras.Input((*image_size, channels), name="images")
    outputs = model(ops.concatenate(ten_crops(images, crop_size), axis=0))
    by_crop = ops.reshape(outputs, (NUM_SUB_CROPS, -1, *outputs.shape[1:]))
    return keras.Model(images, ops.mean(by_crop, axis=0), name=f"{model.name}_ten_crops")


def _check(model, probabilities, labels):
    sums = probabilities.sum(axis=1)
    if probabilities.min() < 0 or not np.allclose(sums, 1, atol=1e-2):
        raise ValueError(
            f"The outputs of the model {model.name!r} are not probabilities: give a model that "
            f"ends in a softmax. Received: outputs with a sum of {sums[0]:.3g}"
        )
    num_classes = probabilities.shape[1]
    if not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(
            f"The model has {counted(num_classes, 'class', 'classes')}: give labels from 0 to "
            f"{num_classes - 1}. Received: labels from {labels.min()} to {labels.max()}"
        )


def _ranks(probabilities, labels):
    """How many classes rank before the label, for every image."""
    own = np.take_along_axis(probabilities, labels[:, None], axis=1)
    before = np.arange(probabilities.shape[1]) < labels[:, None]
    return ((probabilities > own) | ((probabilities == own) & before)).sum(axis=1)
