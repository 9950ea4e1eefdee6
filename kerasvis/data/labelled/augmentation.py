"""Random crops for training. The same seed gives the same crops."""

from collections.abc import Sequence
from typing import Any

from kerasvis.data.labelled.sub_crops import NUM_SUB_CROPS, sub_crop_positions
from kerasvis.data.tensorflow_only import tf


def random_sub_crops(images: Any, seed: Any, crop_size: Sequence[int]) -> "tf.Tensor":
    """A random one of the ten sub-crops of each image: a corner or the centre, mirrored or not.

    Args:
        images: `(images, rows, columns, channels)`, any dtype.
        seed: int tensor `(2,)`.
        crop_size: `(rows, columns)` of a crop, in pixels.

    Returns:
        Tensor `(images, crop rows, crop columns, channels)` of the dtype of `images`.

    Reference:
        Zeiler & Fergus 2013, Section 3.
    """
    num_images = tf.shape(images)[0]
    which = tf.random.stateless_uniform((num_images,), seed, 0, NUM_SUB_CROPS, tf.int32)
    rows, columns = sub_crop_positions(images.shape[1:3], crop_size)
    crops = tf.gather(images, tf.gather(rows, which), axis=1, batch_dims=1)
    return tf.gather(crops, tf.gather(columns, which), axis=2, batch_dims=1)


def random_scale_crops(images: Any, seed: Any, smallest: float) -> "tf.Tensor":
    """Crops images at random, mirrors half of them, and resizes them back.

    Scaling, cropping and mirroring are one bilinear resampling of the batch.

    Args:
        images: `(images, rows, columns, channels)`, any numeric dtype.
        seed: int tensor `(2,)`.
        smallest: the smallest side of a crop as a share of the image's, in (0, 1].

    Returns:
        float32 tensor of the shape of `images`.

    Reference:
        Zeiler & Fergus 2013, Section 3. Deviation: the paper crops 224 of 256 pixels at five
        positions; on small images, crops of random scale and position are a stronger regulariser.
    """
    num_images, size = tf.shape(images)[0], images.shape[1:3]
    uniform = tf.random.stateless_uniform((4, num_images), seed)
    side = smallest + (1 - smallest) * uniform[0]
    top, left = (1 - side) * uniform[1], (1 - side) * uniform[2]
    bottom, right = top + side, left + side
    mirrored = uniform[3] < 0.5
    left, right = tf.where(mirrored, right, left), tf.where(mirrored, left, right)
    boxes = tf.stack([top, left, bottom, right], axis=1)
    return tf.image.crop_and_resize(images, boxes, tf.range(num_images), size)
