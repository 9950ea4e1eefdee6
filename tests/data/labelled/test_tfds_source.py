"""Labelled images from TensorFlow Datasets, prepared on the spot or mocked."""

import io
import pickle

import numpy as np
import pytest
import requests
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from kerasvis.data import LabelledImages, Preprocessing, load_labelled
from kerasvis.data.images import Progress
from kerasvis.data.labelled import labelled_data, tfds_source
from kerasvis.data.labelled_set_images import LabelledSetImages
from kerasvis.data.photographs import fit_pixels
from tests.marks import slow
from tests.mocked_data_sets import mocked_data_sets

SIZE = (6, 6)


class _Tiny(tfds.core.GeneratorBasedBuilder):
    """Images that tell their number by their red, and have the class `number % 3`."""

    VERSION = tfds.core.Version("1.0.0")
    SPLITS = ()
    LABELS = (0, 1, 2)

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.ClassLabel(names=["ant", "bee", "cat"]),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(range(*numbers)) for split, *numbers in self.SPLITS}

    def _generate_examples(self, numbers):
        for number in numbers:
            pixels = np.full((6 + number % 3, 9, 3), (number, 0, 0), "uint8")
            yield number, {"image": pixels, "label": self.LABELS[number % 3]}


class TinyWithTrain(_Tiny):
    SPLITS = (("train", 0, 30),)


class _Grey(_Tiny):
    """Grey images, which tell their number in the unit of their dtype."""

    SPLITS = (("train", 0, 6), ("valid", 6, 9), ("test", 9, 15))
    IMAGE = tfds.features.Image(shape=(None, None, 1))
    UNIT = 1

    def _info(self):
        info = super()._info()
        features = tfds.features.FeaturesDict({**info.features, "image": self.IMAGE})
        return tfds.core.DatasetInfo(
            builder=self, features=features, supervised_keys=("image", "label")
        )

    def _generate_examples(self, numbers):
        for number in numbers:
            pixels = np.full((6 + number % 3, 9, 1), number * self.UNIT, self.IMAGE.np_dtype)
            yield number, {"image": pixels, "label": number % 3}


class TinyGrey(_Grey):
    pass


class TinySixteenBits(_Grey):
    IMAGE = tfds.features.Image(shape=(None, None, 1), dtype=np.uint16, encoding_format="png")
    UNIT = 257


class TinyEncoded(_Tiny):
    """JPEG files of a camera that was held upright."""

    SPLITS = (("train", 0, 6), ("test", 6, 9))

    def _generate_examples(self, numbers):
        exif = Image.Exif()
        exif[0x0112] = 6
        for number in numbers:
            file = io.BytesIO()
            upright = photograph(number)
            upright.transpose(Image.Transpose.ROTATE_90).save(file, "JPEG", exif=exif, quality=100)
            file.seek(0)
            yield number, {"image": file, "label": number % 3}


def photograph(number):
    """Dark, with bright rows above; the number as the blue."""
    pixels = np.full((40, 30, 3), (0, 0, 20 * number), "uint8")
    pixels[:10] = (250, 250, 20 * number)
    return Image.fromarray(pixels)


class TinyWithTest(_Tiny):
    SPLITS = (("train", 0, 12), ("test", 12, 17))


class TinyWithAll(_Tiny):
    SPLITS = (("train", 0, 12), ("test", 12, 17), ("validation", 17, 24))


class TinyWithoutTrain(_Tiny):
    SPLITS = (("test", 0, 4),)


class TinyUnlabelled(_Tiny):
    SPLITS = (("train", 0, 6), ("test", 6, 9))
    LABELS = (0, -1, 1)


class TinyByHand(_Tiny):
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
        Put tiny.zip there,
        which is on a page that asks for a name.
    """

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(dl_manager.manual_dir)}


class TinyAway(_Tiny):
    def _split_generators(self, dl_manager):
        raise requests.exceptions.ConnectionError("Failed to resolve\n'tiny.example'" + "x" * 300)


@pytest.fixture(autouse=True)
def _data_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path / "tfds"))


@pytest.fixture(params=["in memory", "streamed"])
def regime(request, monkeypatch):
    if request.param == "streamed":
        monkeypatch.setattr(labelled_data, "MAX_BYTES_IN_MEMORY", 0)
    return request.param


def numbers_of(images, seed=None, batch_size=5):
    """The numbers of the images in their order; their classes have to be right."""
    numbers = []
    for pixels, labels in images.batches(batch_size, seed).as_numpy_iterator():
        assert (pixels.dtype, labels.dtype) == (np.uint8, np.int64)
        assert pixels.shape[1:] == (*SIZE, 3)
        np.testing.assert_array_equal(labels, pixels[:, 0, 0, 0] % 3)
        numbers += pixels[:, 0, 0, 0].tolist()
    return numbers


@pytest.mark.parametrize(
    ("name", "train", "validation"),
    [
        ("tiny_with_test", range(12), range(12, 17)),
        ("tiny_with_all:1.0.0", range(12), range(17, 24)),
    ],
)
def test_splits(name, train, validation, regime):
    data = load_labelled(name, SIZE)
    assert isinstance(data.train, LabelledImages) == (regime == "in memory")
    assert data.class_names == ("ant", "bee", "cat")
    assert data.image_size == SIZE
    assert sorted(numbers_of(data.train)) == list(train)
    assert sorted(numbers_of(data.validation)) == list(validation)
    assert data.validation.num_images == len(validation)
    assert [n % 3 for n in numbers_of(data.train)] == data.train.labels.tolist()


@pytest.mark.parametrize("name", [slow("tiny_grey"), "tiny_sixteen_bits"])
def test_grey_images_of_any_depth(name, regime):
    data = load_labelled(name, SIZE)
    for images, numbers in ((data.train, range(6)), (data.validation, range(6, 9))):
        assert sorted(numbers_of(images)) == list(numbers)
        pixels = next(images.batches(9).as_numpy_iterator())[0]
        assert (pixels == pixels[..., :1]).all()


def test_encoded_files_are_read_as_from_a_folder(tmp_path, regime):
    (pixels, labels), *_ = load_labelled("tiny_encoded", (20, 15)).train.batches(6)
    for image, label in zip(pixels.numpy(), labels.numpy(), strict=True):
        number = round(image[..., 2].mean() / 20)
        assert number % 3 == label
        expected = fit_pixels(np.asarray(photograph(number)), (20, 15))
        assert np.abs(image.astype(int) - expected).mean() < 5


@pytest.mark.slow
def test_split_by_seed(regime):
    data = load_labelled("tiny_with_train", SIZE, validation_share=0.2)
    train, validation = numbers_of(data.train), numbers_of(data.validation)
    assert sorted(train + validation) == list(range(30))
    assert np.bincount(data.validation.labels).tolist() == [2, 2, 2]
    assert [n % 3 for n in validation] == data.validation.labels.tolist()
    again = load_labelled("tiny_with_train", SIZE, validation_share=0.2)
    assert again.fingerprint == data.fingerprint
    other = load_labelled("tiny_with_train", SIZE, validation_share=0.2, seed=3)
    assert other.fingerprint != data.fingerprint


@pytest.mark.slow
def test_order_follows_from_the_seed(regime):
    images = load_labelled("tiny_with_train", SIZE).train
    orders = [numbers_of(images, (0, epoch)) for epoch in range(3)]
    assert [numbers_of(images, (0, epoch)) for epoch in range(3)] == orders
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == sorted(numbers_of(images)) for order in orders)


@pytest.mark.slow
def test_epochs_can_be_made_inside_a_pipeline(regime):
    images = load_labelled("tiny_with_train", SIZE).train
    epochs = tf.data.Dataset.range(1, 3).flat_map(
        lambda epoch: images.batches(4, seed=tf.stack([7, epoch]))
    )
    found = [n for pixels, _ in epochs.as_numpy_iterator() for n in pixels[:, 0, 0, 0].tolist()]
    assert found == numbers_of(images, (7, 1)) + numbers_of(images, (7, 2))


def test_images_of_several_sizes_need_one():
    with pytest.raises(
        ValueError, match=r"The images of 'tiny_with_test' differ in size: give an image_size"
    ):
        load_labelled("tiny_with_test")


REFUSED = {
    "tiny_with_tset": r"no such file, folder or data set of TensorFlow Datasets: did you mean "
    r"tiny_with_test.* Received: data='tiny_with_tset'",
    "no/such/folder/xq": r"TensorFlow Datasets.* Received: data='no/such/folder/xq'",
    "zzzzqqqq": r"no such .*: check its spelling\. Received: data='zzzzqqqq'",
    "tiny_with_test:7.0.0": r"TensorFlow Datasets cannot open the data set \(.*cannot be loaded at "
    r"version 7.0.0, only: 1.0.0.\): correct the name\.",
    "tiny_without_train": r"'tiny_without_train' has no split 'train': .* Received: splits test",
    "tiny_unlabelled": r"labels of the split 'train' of tiny_unlabelled/1.0.0 must be from 0 to "
    r"2: give a data set whose images are all labelled\. Received: labels from -1 to 1",
    "tiny_by_hand": r"Download the data set 'tiny_by_hand' manually to .*tfds/downloads/manual, as "
    r"its authors require: Put tiny.zip there, which is on a page that asks for a name\.",
    "tiny_away": r"The data set is not in .*tiny_away/1.0.0 and cannot be prepared there "
    r"\(Failed to resolve 'tiny.example'x+…\): connect to the network and make room, or set",
    "imdb_reviews": r"'imdb_reviews' does not have images with one class each: give one "
    r"for image classification\. Received: features text, label",
    "coco": r"The data set 'coco' does not have images with one class each: .*features image, ",
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_a_sentence(name):
    with pytest.raises(ValueError, match=REFUSED[name]):
        load_labelled(name, SIZE)


def test_imagenet_has_to_be_downloaded_by_hand():
    with pytest.raises(
        ValueError, match=r"Download the data set 'imagenet2012' manually .*_train\.tar"
    ):
        load_labelled("imagenet2012", 256)


class TinyInShards(_Tiny):
    SPLITS = (("train", 0, 60), ("test", 60, 65))


@pytest.fixture
def in_shards(monkeypatch):
    """The streamed training images of a data set in four shards, as the images of an analysis."""
    monkeypatch.setattr(labelled_data, "MAX_BYTES_IN_MEMORY", 0)
    config = tfds.download.DownloadConfig(num_shards=4)
    builder = tfds.builder("tiny_in_shards")
    builder.download_and_prepare(download_config=config)
    assert builder.info.splits["train"].num_shards == 4
    return load_labelled("tiny_in_shards", SIZE).train


@pytest.mark.slow
def test_a_part_reads_its_own_records_alone(in_shards):
    whole = numbers_of(in_shards)
    assert sorted(whole) == list(range(60))
    chosen = in_shards.subset(np.arange(0, 60, 2))
    for images, order in ((in_shards, whole), (chosen, whole[::2])):
        for begin, end in ((0, 7), (3, 29), (20, 21), (len(order) - 4, len(order))):
            part = images.part(begin, end)
            assert numbers_of(part) == order[begin:end]
            assert part.labels.tolist() == images.labels[begin:end].tolist()
            inner = part.part(1, end - begin) if end - begin > 1 else part
            assert numbers_of(inner) == numbers_of(part)[-inner.num_images :]
            first, last = part.window
            assert last - first <= 2 * (end - begin)


def test_a_part_does_not_open_other_shards(in_shards):
    (folder,) = in_shards.builder.data_path.glob("*train*-00000-of-*")
    folder.unlink()  # a machine without this shard reads what lies in the others
    lengths = in_shards.builder.info.splits["train"].shard_lengths
    assert len(numbers_of(in_shards.part(lengths[0], 60))) == 60 - lengths[0]
    with pytest.raises(tf.errors.NotFoundError):
        numbers_of(in_shards.part(lengths[0] - 1, 60))


@pytest.mark.slow
def test_sections_are_those_of_one_pass(in_shards):
    source = LabelledSetImages(in_shards, Preprocessing.of("raw"), 7)
    expected = [(indices.tolist(), images) for indices, images in source.batches()]
    for number, (indices, images) in enumerate(expected):
        section = pickle.loads(pickle.dumps(source.section(indices[0], indices[-1] + 1)))
        ((own, alone),) = section.batches()
        assert own.tolist() == indices
        np.testing.assert_array_equal(alone, images)
        ((rest, _), *_) = source.batches(Progress(number, indices[0]))
        assert rest.tolist() == indices
    every = np.concatenate([images for _, images in expected])
    np.testing.assert_array_equal(source[[41, 3, 41]], every[[41, 3, 41]])
    source.prefetch([8, 3])
    np.testing.assert_array_equal(source[[3, 8, 9]], every[[3, 8, 9]])
    np.testing.assert_array_equal(source.chosen([5, 9])[[9]], every[[9]])


@pytest.fixture
def _mocked(tmp_path):
    splits = {
        "cifar10": ("train", "test"),
        "caltech101": ("train", "test"),
        "imagenet2012": ("train", "validation", "test"),
    }
    with mocked_data_sets(tmp_path / "metadata", splits, num_examples=7):
        yield


@pytest.mark.usefixtures("_mocked")
@pytest.mark.parametrize(
    ("name", "size", "num_classes", "validation_split"),
    [
        slow("cifar10", None, 10, "test"),
        slow("caltech101", (20, 30), 102, "test"),
        ("imagenet2012", (20, 30), 1000, "validation"),
    ],
)
def test_published_data_sets(name, size, num_classes, validation_split, regime):
    data = load_labelled(name, size)
    assert data.image_size == (size or (32, 32))
    assert len(data.class_names) == num_classes
    for images in (data.train, data.validation):
        (batch,) = images.batches(16, seed=(0, 1)).as_numpy_iterator()
        assert batch[0].shape == (7, *data.image_size, 3)
        assert sorted(batch[1].tolist()) == sorted(images.labels.tolist())
        assert 0 <= batch[1].min() <= batch[1].max() < num_classes
    if regime == "streamed":
        assert (data.train.split, data.validation.split) == ("train", validation_split)


@pytest.mark.slow
def test_shuffling_block_by_block(monkeypatch):
    monkeypatch.setattr(labelled_data, "MAX_BYTES_IN_MEMORY", 0)
    monkeypatch.setattr(tfds_source, "BLOCK_SIZE", 8)
    images = load_labelled("tiny_with_train", SIZE).train
    in_order = numbers_of(images)
    begins = set()
    for epoch in range(4):
        found = numbers_of(images, (0, epoch))
        assert found == numbers_of(images, (0, epoch))
        assert sorted(found) == sorted(in_order)
        places = [in_order.index(number) for number in found]
        (first,) = (
            first
            for first in range(1, 9)
            if all(
                sorted(places[a:b]) == list(range(a, min(b, len(places))))
                for a, b in [(0, first)] + [(a, a + 8) for a in range(first, len(places), 8)]
            )
        )
        begins.add(first)
    assert len(begins) > 1


def test_order_does_not_depend_on_the_global_seed(monkeypatch):
    monkeypatch.setattr(labelled_data, "MAX_BYTES_IN_MEMORY", 0)
    images = load_labelled("tiny_with_train", SIZE).train
    order = numbers_of(images, (0, 1))
    tf.random.set_seed(5)
    assert numbers_of(images, (0, 1)) == order


def test_fit_pixels():
    grey = np.arange(36, dtype="uint8").reshape(6, 6, 1)
    np.testing.assert_array_equal(fit_pixels(grey, (6, 6)), np.repeat(grey, 3, axis=2))
    clear = np.zeros((4, 8, 4), "uint8")
    clear[:, 2:6] = (10, 20, 30, 255)  # what the centre crop keeps
    assert (fit_pixels(clear, (4, 4)) == [10, 20, 30]).all()
    clear[..., 3] = 0
    assert (fit_pixels(clear, (4, 4)) == 255).all()
