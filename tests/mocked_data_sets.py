"""Published data sets of TensorFlow Datasets, with random images and their real features."""

import contextlib

import tensorflow_datasets as tfds


@contextlib.contextmanager
def mocked_data_sets(folder, splits, num_examples):
    """Lets TensorFlow Datasets find them inside the `with` statement.

    Args:
        folder: for their metadata.
        splits: `{name of the data set: names of its splits}`.
        num_examples: in each split.
    """
    for name, names in splits.items():
        info = tfds.builder(name).info
        info.set_splits(
            tfds.core.SplitDict([_split(folder, name, split, num_examples) for split in names])
        )
        metadata = folder / name / str(info.version)
        metadata.mkdir(parents=True)
        info.write_to_directory(metadata)
    with tfds.testing.mock_data(num_examples=num_examples, data_dir=str(folder)):
        yield


def _split(folder, name, split, num_examples):
    files = tfds.core.ShardedFileTemplate(
        dataset_name=name, data_dir=folder, split=split, filetype_suffix="tfrecord"
    )
    return tfds.core.SplitInfo(
        name=split, shard_lengths=[num_examples], num_bytes=0, filename_template=files
    )
