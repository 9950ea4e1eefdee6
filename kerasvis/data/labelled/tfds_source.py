"""Labelled images from TensorFlow Datasets."""

import dataclasses
import difflib

import numpy as np

from kerasvis.data.labelled.autotuning import without_autotuning
from kerasvis.data.labelled.labelled_images import LabelledImages
from kerasvis.data.photographs import decode_photograph
from kerasvis.data.splits import roles_of, validation_split
from kerasvis.data.tensorflow_only import tf, tfds
from kerasvis.storage.fingerprints import digest

# Records that are shuffled together, still encoded: half a gigabyte of ImageNet. It need not be all
# of them, since TFDS shuffles them once when it writes them.
BLOCK_SIZE = 4096


@dataclasses.dataclass(frozen=True, eq=False)
class TFDSSplit:
    """Images of a split, or of a part of one, decoded whenever a batch needs them.

    Attributes:
        builder: the `tfds.core.DatasetBuilder`, with its data on this machine.
        split: the split's name.
        keys: names of the features `(image, label)`.
        labels: int64 `(images,)` of those that are taken, in the order of the records.
        is_taken: bool `(records,)`, which records of the split belong to it.
        size: `(height, width)` of the images in pixels.
    """

    builder: "tfds.core.DatasetBuilder"
    split: str
    keys: tuple[str, str]
    labels: np.ndarray
    is_taken: np.ndarray
    size: tuple[int, int]

    @property
    def num_images(self):
        return len(self.labels)

    @property
    def digest(self):
        """What tells these images from others: data set, version, split, and labels in order."""
        name = [self.builder.info.full_name, self.split, self.size]
        return digest([*name, self.is_taken, self.labels])

    def batches(self, batch_size, seed=None):
        """The images once over, as `LabelledImages.batches`.

        Shuffling changes the order within blocks of `BLOCK_SIZE` records, and where they begin.
        """
        records = _records(self.builder, self.split, self.keys)
        if not self.is_taken.all():
            is_taken = tf.constant(self.is_taken)
            records = records.enumerate().filter(lambda i, record: is_taken[i])
            records = records.map(lambda i, record: record)
        if seed is not None:
            records = _shuffled(records, self.num_images, tf.cast(seed, tf.int64))
        decoded = _decoded(records, self.keys, self.size)
        return without_autotuning(decoded.batch(batch_size))

    def in_memory(self):
        """The same as `LabelledImages`."""
        pixels = np.empty((self.num_images, *self.size, 3), "uint8")
        filled = 0
        for batch, _ in self.batches(256).as_numpy_iterator():
            pixels[filled : filled + len(batch)] = batch
            filled += len(batch)
        return LabelledImages(pixels, self.labels)

    def subset(self, indices):
        """Those at `indices`, in the order of the records."""
        is_taken = np.zeros_like(self.is_taken)
        is_taken[np.flatnonzero(self.is_taken)[indices]] = True
        labels = self.labels[np.sort(indices)]
        return dataclasses.replace(self, labels=labels, is_taken=is_taken)


def open_tfds(name, size=None):
    """Downloads and prepares a data set where that has not happened yet, and reads its labels.

    It lies in the folder `TFDS_DATA_DIR` of the environment, or `~/tensorflow_datasets`.

    Args:
        name: as TFDS takes it, `"<name>"`, `"<name>/<config>"` or `"<name>:<version>"`.
        size: `(height, width)` of the images in pixels, or None if the data set has one size.

    Returns:
        `(class names, train, validation)`: a tuple, and `TFDSSplit`s. Validation is the split
        `validation` or another one for it, or `test` if there is none, or None.

    Raises:
        ValueError: if the data set is unknown, cannot be downloaded, or has no labelled images.
    """
    builder = _builder(name)
    keys = _keys(builder, name)
    _prepare(builder, name)
    feature = builder.info.features[keys[0]]
    if size is None:
        size = feature.shape[:2]
    if None in size:
        raise ValueError(f"The images of {name!r} differ in size: give the size to bring them to.")
    train, validation = _split_names(builder, name)
    splits = [
        None if split is None else _read_labels(builder, split, keys, tuple(size))
        for split in (train, validation)
    ]
    return (tuple(builder.info.features[keys[1]].names), *splits)


def _builder(name):
    try:
        return tfds.builder(name)
    except tfds.core.DatasetNotFoundError as error:
        known = tfds.list_builders(with_community_datasets=False)
        near = difflib.get_close_matches(name.split(":")[0].split("/")[0], known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "check its spelling."
        raise ValueError(
            f"{name!r} is neither a file or folder here nor a data set that TensorFlow Datasets "
            f"knows: {hint}"
        ) from error
    except Exception as error:  # an unknown version or configuration, or a name it cannot parse
        raise ValueError(
            f"TensorFlow Datasets cannot open {name!r} ({_reason(error)}): correct the name."
        ) from error


def _keys(builder, name):
    keys = builder.info.supervised_keys or ("image", "label")
    features = builder.info.features
    if (
        len(keys) == 2
        and all(isinstance(key, str) and key in features for key in keys)
        and isinstance(features[keys[0]], tfds.features.Image)
        and features[keys[0]].np_dtype in (np.uint8, np.uint16)
        and isinstance(features[keys[1]], tfds.features.ClassLabel)
    ):
        return keys
    raise ValueError(
        f"The data set {name!r} has no images with one class each, but {', '.join(features)}: give "
        "one for image classification."
    )


def _prepare(builder, name):
    try:
        builder.download_and_prepare()
    except Exception as error:  # network, disk, checksum, archive: whatever its generator meets
        by_hand = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
        if by_hand and isinstance(error, AssertionError | FileNotFoundError):
            raise ValueError(
                f"The data set {name!r} has to be downloaded by hand into "
                f"{_manual_folder(builder)}, as its makers ask: {_one_line(by_hand).rstrip('.')}."
            ) from error
        raise ValueError(
            f"The data set {name!r} is not in {builder.data_dir} and cannot be made there "
            f"({_reason(error)}): connect to the network and make room, or set TFDS_DATA_DIR to a "
            "folder that holds it."
        ) from error


def _manual_folder(builder):
    return tfds.core.Path(builder._data_dir_root) / "downloads" / "manual"


def _split_names(builder, name):
    splits = list(builder.info.splits)
    if "train" not in splits:
        raise ValueError(
            f"The data set {name!r} has the splits {', '.join(splits) or 'none'}, but not 'train': "
            "give one that can be trained on."
        )
    return "train", validation_split(roles_of(splits))


def _shuffled(records, num_records, seed):
    """The records in an order that follows from `seed`.

    Other than `Dataset.shuffle`, it does not depend on TensorFlow's global seed, and takes a seed
    that is known only when the pipeline runs.
    """
    blocks = records.batch(BLOCK_SIZE)
    if num_records > BLOCK_SIZE:  # the first block is a shorter one, so that blocks begin elsewhere
        first = tf.random.stateless_uniform((), seed, 1, BLOCK_SIZE + 1, tf.int64)
        blocks = records.take(first).batch(BLOCK_SIZE)
        blocks = blocks.concatenate(records.skip(first).batch(BLOCK_SIZE))

    def shuffle(number, block):
        num_in_block = tf.shape(next(iter(block.values())))[0]
        order = tf.random.experimental.stateless_shuffle(
            tf.range(num_in_block), tf.random.fold_in(seed, number)
        )
        block = {key: tf.gather(values, order) for key, values in block.items()}
        return tf.data.Dataset.from_tensor_slices(block)

    return blocks.prefetch(1).enumerate().flat_map(shuffle)


@tf.autograph.experimental.do_not_convert  # it cannot be, and need not, but is warned about
def _records(builder, split, keys):
    """Dictionaries of the encoded image and the label, in an order that is always the same."""
    return builder.as_dataset(
        split=split,
        shuffle_files=False,
        read_config=tfds.ReadConfig(try_autocache=False),
        decoders=tfds.decode.PartialDecoding(
            dict.fromkeys(keys, True), decoders={keys[0]: tfds.decode.SkipDecoding()}
        ),
    )


def _decoded(records, keys, size):
    def decode(record):
        pixels = tf.numpy_function(
            lambda encoded: decode_photograph(encoded, size),
            [record[keys[0]]],
            tf.uint8,
            stateful=False,
        )
        return tf.ensure_shape(pixels, (*size, 3)), record[keys[1]]

    return records.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _read_labels(builder, split, keys, size):
    records = _records(builder, split, keys).map(lambda record: record[keys[1]]).batch(4096)
    labels = np.concatenate([np.zeros(0, "int64"), *records.as_numpy_iterator()])
    num_classes = builder.info.features[keys[1]].num_classes
    if len(labels) == 0:
        raise ValueError(f"The split {split!r} of {builder.info.full_name} is empty: give another.")
    if not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(
            f"The labels of the split {split!r} of {builder.info.full_name} run from "
            f"{labels.min()} to {labels.max()}, but there are {num_classes} classes: give a data "
            "set whose images are all labelled."
        )
    return TFDSSplit(builder, split, keys, labels, np.ones(len(labels), bool), size)


def _reason(error):
    text = _one_line(str(error)) or type(error).__name__
    return text if len(text) <= 200 else text[:199] + "…"


def _one_line(text):
    return " ".join(text.split())
