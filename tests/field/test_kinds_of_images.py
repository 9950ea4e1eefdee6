"""Every public call takes every kind of images, and gives the same arrays for the same ones."""

import dataclasses
import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

import kerasvis as kv
from kerasvis.activations import map_statistics
from kerasvis.data import ImageFolder, load_jpeg_archive, load_labelled
from kerasvis.data.photographs import read_photograph

pytestmark = pytest.mark.usefixtures("eager_functions")

SIZE, NUM_IMAGES = (19, 23), 52
LAYERS = ["conv1", "conv2"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Photographs as JPEG files in a folder."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for number in range(NUM_IMAGES):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 7, 3), "uint8"))
        coarse.resize(SIZE[::-1], Image.Resampling.BILINEAR).save(
            folder / f"{number:02d}.jpg", quality=95
        )
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def pixels(files):
    return np.stack([read_photograph(file, SIZE) for file in files])


@pytest.fixture(scope="module")
def archive(files, tmp_path_factory):
    """The same files in one archive."""
    contents = [file.read_bytes() for file in files]
    offsets = np.cumsum([0, *map(len, contents)])
    split = {
        "bytes": np.frombuffer(b"".join(contents), "uint8"),
        "offsets": offsets,
        "labels": np.arange(NUM_IMAGES) % 2,
    }
    path = tmp_path_factory.mktemp("archive") / "photographs.npz"
    arrays = {f"{name}_{key}": array for name in ("train", "val") for key, array in split.items()}
    np.savez(path, words=np.array(["a", "b"]), **arrays)
    return path


@pytest.fixture(scope="module")
def models():
    """A model that takes pixels in [0, 255], and the same model for pixels in [0, 1]."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    random = keras.initializers.RandomUniform(-0.1, 0.3)  # so that no feature map is dead
    active = {"activation": "relu", "kernel_initializer": random}
    unit = keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            layers.Conv2D(4, 3, strides=2, name="conv1", **active),
            layers.MaxPooling2D(2, name="pool1"),
            layers.Conv2D(5, 3, name="conv2", **active),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax", name="scores"),
        ]
    )
    raw = keras.Sequential([keras.Input((*SIZE, 3)), layers.Rescaling(1 / 255), *unit.layers])
    return {"raw": raw, "unit": unit}


class Batches(keras.utils.PyDataset):
    """Batches of seven images with labels."""

    def __init__(self, images):
        super().__init__()
        self.images = images

    @property
    def num_batches(self):
        return -(-len(self.images) // 7)

    def __getitem__(self, index):
        images = self.images[7 * index : 7 * (index + 1)]
        return images, np.zeros(len(images))


def tfds_set(pixels, folder):
    """A data set of TensorFlow Datasets that holds these images, through its own mock."""

    def as_dataset(self, *arguments, **options):
        return tf.data.Dataset.from_tensor_slices({"image": pixels, "label": [0] * len(pixels)})

    with tfds.testing.mock_data(as_dataset_fn=as_dataset, data_dir=str(folder)):
        return tfds.load("mnist", split="train").batch(7)


def kinds(pixels, files, archive, folder):
    """`{kind: (name of the model, images)}`."""
    return {
        "float array": ("raw", pixels.astype("float32")),
        "uint8 array": ("raw", pixels),
        "array in [0, 1]": ("unit", pixels / np.float32(255)),
        "list of images": ("raw", list(pixels)),
        "list of batches": ("raw", [pixels[:20], pixels[20:]]),
        "images and labels": ("raw", (pixels, np.zeros(len(pixels)))),
        "tensor": ("raw", tf.constant(pixels)),
        "folder": ("raw", ImageFolder(files[0].parent, SIZE)),
        "folder without a size": ("raw", ImageFolder(files[0].parent)),
        "folder in [0, 1]": ("unit", ImageFolder(files[0].parent, preprocessing="unit")),
        "path": ("raw", str(files[0].parent)),
        "archive": ("raw", load_jpeg_archive(archive).train),
        "path of an archive": ("raw", archive),
        "labelled folder": ("raw", labelled(files, folder)),
        "tf.data": ("raw", tf.data.Dataset.from_tensor_slices(pixels).batch(9)),
        "tf.data in [0, 1]": (
            "unit",
            tf.data.Dataset.from_tensor_slices(pixels).batch(9).map(lambda x: x / 255),
        ),
        "tf.data, image by image": ("raw", tf.data.Dataset.from_tensor_slices((pixels, pixels))),
        "PyDataset": ("raw", Batches(pixels)),
        "TFDS": ("raw", tfds_set(pixels, folder)),
    }


def labelled(files, folder):
    """The same photographs in two class folders, in their order."""
    for number, file in enumerate(files):
        place = folder / "classes" / "train" / "ab"[2 * number // len(files)]
        place.mkdir(parents=True, exist_ok=True)
        (place / file.name).symlink_to(file)
    validation = folder / "classes" / "validation"
    for name in "ab":
        (validation / name).mkdir(parents=True)
        (validation / name / "0.jpg").symlink_to(files[0])
    return load_labelled(folder / "classes").train


KINDS = [
    *("uint8 array", "array in [0, 1]", "list of images", "list of batches", "images and labels"),
    *("tensor", "folder", "folder without a size", "folder in [0, 1]", "path", "archive"),
    *("path of an archive", "labelled folder", "tf.data", "tf.data in [0, 1]"),
    *("tf.data, image by image", "PyDataset", "TFDS"),
]


@pytest.fixture(scope="module")
def given(pixels, files, archive, tmp_path_factory):
    return kinds(pixels, files, archive, tmp_path_factory.mktemp("kinds"))


def scan(model, images, folder):
    return kv.find_top_activations(model, LAYERS, images, 3, verbose=0)


def statistics(model, images, folder):
    return map_statistics(model, LAYERS, images, verbose=0)


def features(model, images, folder):
    return kv.visualize_features(model, LAYERS, images, k=2, verbose=0)


def gallery(model, images, folder):
    """The patches of its pictures; projections are in other units for pixels in [0, 1]."""
    kv.write_gallery(model, ["conv2"], images, folder, k=2, verbose=0)
    sprites = sorted((folder / "layers" / "conv2").glob("*.webp"))
    halves = [np.asarray(Image.open(sprite).convert("RGB")) for sprite in sprites]
    return [half[:, half.shape[1] // 2 :] for half in halves]


def diagnosis(model, images, folder):
    return kv.diagnose_filters(model, images, verbose=0)


def attribution(model, images, folder):
    return kv.attribute(model, "conv2", images, kv.targets.Strongest(1), "gradient_times_input")


def comparison(model, images, folder):
    methods = ["gradient_times_input", "grad_cam"]
    return kv.compare_methods(model, "scores", images, kv.targets.Unit(1), methods)


def projection(model, images, folder):
    projected = kv.DeconvModel(model, "conv2").project(images, kv.targets.Strongest(1))
    assert projected.any()
    return {"projections": projected}


def correspondence(model, images, folder):
    boxes = {"middle": np.tile([5, 6, 12, 14], (NUM_IMAGES, 1))}
    return kv.analyses.measure_correspondence(
        model, LAYERS, images, boxes, num_draws=1, verbose=0
    ).oppositions


def fidelity(model, images, folder):
    return kv.fidelity_report(
        model, "conv2", images, ["gradient"], checks=["selectivity"], num_units=2, verbose=0
    ).selectivity


def evolution(model, images, folder):
    snapshots = kv.analyses.evolution_of_models([model], ["conv2"], images, [1], num_features=3)
    return snapshots.features


CALLS = [
    *(scan, statistics, features, gallery, diagnosis, attribution, comparison, projection),
    *(correspondence, fidelity, evolution),
]
IN_UNITS_OF_THE_IMAGE = {"projections", "kernels"}
OF_WEIGHTS = {"name", "model", "rms", "layers", "frequencies", "spectra", "correlations"}


def leaves(value, name=""):
    """Yields `(name, array)` of everything in a result that is an array or a number."""
    if dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        for key, part in value.items():
            yield from leaves(part, key)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from leaves(part, name)
    elif isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        yield name, value


def assert_same(actual, expected):
    pairs = list(itertools.zip_longest(leaves(actual), leaves(expected)))
    assert pairs
    for (name, one), (other_name, other) in pairs:
        assert name == other_name
        assert one.shape == other.shape
        if name in OF_WEIGHTS:
            continue
        if name in IN_UNITS_OF_THE_IMAGE:  # of [0, 1] or [0, 255]
            one, other = (x / max(np.abs(x).max(), 1e-30) for x in (one, other))
        scale = max(float(np.nanmax(np.abs(other.astype("float64")), initial=0)), 1.0)
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=2e-6 * scale, err_msg=name)


@pytest.fixture(scope="module")
def expected(models, given, tmp_path_factory):
    """What a call gives for an array of floats: a function of the call."""
    name, images = given["float array"]
    return functools.cache(
        lambda call: call(models[name], images, tmp_path_factory.mktemp("expected"))
    )


def cases():
    """All pairs; the quick ones hold every kind, and every call but the longest."""
    for number, call in enumerate(CALLS):
        quick = {KINDS[2 * number % len(KINDS)], KINDS[(2 * number + 1) % len(KINDS)]}
        if call is fidelity:
            quick = set()
        for kind in KINDS:
            marks = () if kind in quick else pytest.mark.slow
            yield pytest.param(call, kind, id=f"{call.__name__}-{kind}", marks=marks)


@pytest.mark.parametrize(("call", "kind"), [*cases()])
def test_every_kind_of_images_gives_the_same(models, given, expected, call, kind, tmp_path):
    name, images = given[kind]
    assert_same(call(models[name], images, tmp_path), expected(call))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_images_passes_the_door_alike(models, given, pixels, kind):
    name, images = given[kind]
    source = kv.arguments.standardize_images(models[name], images, fetched=True)
    scale = 255 if name == "unit" else 1
    np.testing.assert_allclose(source.all() * scale, pixels, atol=1e-4)
    np.testing.assert_allclose(source[[50, 3]] * scale, pixels[[50, 3]], atol=1e-4)
    np.testing.assert_array_equal(source.pixels([50, 3]), pixels[[50, 3]])
    assert source.count() == len(source.names) == NUM_IMAGES
    assert source.image_size == SIZE
