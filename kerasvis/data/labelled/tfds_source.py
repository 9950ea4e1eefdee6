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

# Encoded records that are shuffled together: half a gigabyte of ImageNet. Blocks are sufficient,
# because TFDS shuffles all records when it writes them.
BLOCK_SIZE = 4096


@dataclasses.dataclass(frozen=True, eq=False)
class TFDSSplit:
    """The images of a split, or of a part of one, decoded batch by batch.

    Attributes:
        builder: the `tfds.core.DatasetBuilder`, with its data on this machine.
        split: name of the split.
        keys: names of the features `(image, label)`.
        labels: int64 `(images,)` of the selected records, in their order.
        is_selected: bool `(records,)`, which of the records that are read belong to it.
        size: `(height, width)` of the images in pixels.
        window: `(begin, end)` of the records of the split that are read; None for all.
    """

    builder: "tfds.core.DatasetBuilder"
    split: str
    keys: tuple[str, str]
    labels: np.ndarray
    is_selected: np.ndarray
    size: tuple[int, int]
    window: tuple[int, int] | None = None

    def __getstate__(self):
        """For another machine, which finds the prepared data set under the same path."""
        return vars(self) | {"builder": str(self.builder.data_path)}

    def __setstate__(self, state):
        builder = tfds.builder_from_directory(state["builder"])
        self.__dict__.update(state | {"builder": builder})

    @property
    def num_images(self):
        return len(self.labels)

    @property
    def digest(self):
        """Identifies these images: data set, version, split, and labels in order."""
        name = [self.builder.info.full_name, self.split, self.size, *(self.window or ())]
        return digest([*name, self.is_selected, self.labels])

    def batches(self, batch_size, seed=None):
        """One pass over the images, as `LabelledImages.batches`.

        Shuffling changes the order within blocks of `BLOCK_SIZE` records, and the start of blocks.
        """
        split = self.split
        if self.window is not None:  # only the shards that contain these records are read
            begin, end = self.window
            split = tfds.core.ReadInstruction(split, from_=begin, to=end, unit="abs")
        records = _records(self.builder, split, self.keys)
        if not self.is_selected.all():
            is_selected = tf.constant(self.is_selected)
            records = records.enumerate().filter(lambda i, record: is_selected[i])
            records = records.map(lambda i, record: record)
        if seed is not None:
            records = _shuffled(records, self.num_images, tf.cast(seed, tf.int64))
        decoded = _decoded(records, self.keys, self.size)
        return without_autotuning(decoded.batch(batch_size))

    def in_memory(self):
        """The same images as `LabelledImages`."""
        pixels = np.empty((self.num_images, *self.size, 3), "uint8")
        num_decoded = 0
        for batch, _ in self.batches(256).as_numpy_iterator():
            pixels[num_decoded : num_decoded + len(batch)] = batch
            num_decoded += len(batch)
        return LabelledImages(pixels, self.labels)

    def part(self, begin, end):
        """The images from `begin` to before `end`, without reading other records."""
        records = np.flatnonzero(self.is_selected)[begin:end]
        first, last = int(records[0]), int(records[-1]) + 1
        offset = 0 if self.window is None else self.window[0]
        return dataclasses.replace(
            self,
            labels=self.labels[begin:end],
            is_selected=self.is_selected[first:last],
            window=(offset + first, offset + last),
        )

    def subset(self, indices):
        """The images at `indices`, in the order of the records."""
        is_selected = np.zeros_like(self.is_selected)
        is_selected[np.flatnonzero(self.is_selected)[indices]] = True
        labels = self.labels[np.sort(indices)]
        return dataclasses.replace(self, labels=labels, is_selected=is_selected)


def open_tfds(name, size=None):
    """Downloads and prepares a data set if necessary, and reads its labels.

    The data set is in the folder `TFDS_DATA_DIR` of the environment, or `~/tensorflow_datasets`.

    Args:
        name: the data set's, as `"<name>"`, `"<name>/<config>"` or `"<name>:<version>"`.
        size: `(height, width)` of the images in pixels; None if all images have one size.

    Returns:
        `(class names, train, validation)`: a tuple, and `TFDSSplit`s. `validation` is a split for
        validation, else `test`, else None.

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
        raise ValueError(
            f"The images of {name!r} differ in size: give an image_size to resize them to. "
            "Received: image_size=None"
        )
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
            "There is no such file, folder or data set of TensorFlow Datasets: "
            f"{hint} Received: data={name!r}"
        ) from error
    except Exception as error:  # an unknown version or configuration, or a name it cannot parse
        raise ValueError(
            f"TensorFlow Datasets cannot open the data set ({_reason(error)}): correct the name. "
            f"Received: data={name!r}"
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
        f"The data set {name!r} does not have images with one class each: give one for image "
        f"classification. Received: features {', '.join(features)}"
    )


def _prepare(builder, name):
    try:
        builder.download_and_prepare()
    except Exception as error:  # network, disk, checksum, archive: any error of its generator
        by_hand = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
        if by_hand and isinstance(error, AssertionError | FileNotFoundError):
            raise ValueError(
                f"Download the data set {name!r} manually to {_manual_folder(builder)}, as its "
                f"authors require: {_one_line(by_hand).rstrip('.')}. Received: data={name!r}"
            ) from error
        raise ValueError(
            f"The data set is not in {builder.data_dir} and cannot be prepared there "
            f"({_reason(error)}): connect to the network and make room, or set TFDS_DATA_DIR to a "
            f"folder that contains it. Received: data={name!r}"
        ) from error


def _manual_folder(builder):
    return tfds.core.Path(builder._data_dir_root) / "downloads" / "manual"


def _split_names(builder, name):
    splits = list(builder.info.splits)
    if "train" not in splits:
        raise ValueError(
            f"The data set {name!r} has no split 'train': give one that can be trained on. "
            f"Received: splits {', '.join(splits) or 'none'}"
        )
    return "train", validation_split(roles_of(splits))


def _shuffled(records, num_records, seed):
    """The records in an order determined by `seed`.

    Unlike `Dataset.shuffle`, it does not depend on TensorFlow's global seed, and takes a seed that
    is known only when the pipeline runs.
    """
    blocks = records.batch(BLOCK_SIZE)
    if num_records > BLOCK_SIZE:  # a random, shorter first block shifts the start of all blocks
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


@tf.autograph.experimental.do_not_convert  # impossible and unnecessary; avoids a warning
def _records(builder, split, keys):
    """Dictionaries of the encoded image and the label, in the order of the shards."""
    return builder.as_dataset(
        split=split,
        shuffle_files=False,
        # Shards one after another, so that a part of the records is a part of this order.
        read_config=tfds.ReadConfig(try_autocache=False, interleave_cycle_length=1),
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
        raise ValueError(
            f"The split {split!r} of {builder.info.full_name} is empty: give another data set. "
            "Received: 0 labels"
        )
    if not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(
            f"The labels of the split {split!r} of {builder.info.full_name} must be from 0 to "
            f"{num_classes - 1}: give a data set whose images are all labelled. "
            f"Received: labels from {labels.min()} to {labels.max()}"
        )
    return TFDSSplit(builder, split, keys, labels, np.ones(len(labels), bool), size)


def _reason(error):
    text = _one_line(str(error)) or type(error).__name__
    return text if len(text) <= 200 else text[:199] + "…"


def _one_line(text):
    return " ".join(text.split())
