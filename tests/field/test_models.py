"""What the model is: whatever a user of Keras brings is taken, or refused in one sentence."""

import subprocess
import sys
import types
from pathlib import Path

import keras
import numpy as np
import PIL.Image
import pytest

import kerasvis as kv
from benchmarks import application_stems
from kerasvis.data.known_models import _known_stems, preprocessing_of_model
from kerasvis.layers.filter_constraint import RMSLimit
from tests.marks import few, slow

ROOT = Path(__file__).resolve().parents[2]
SAVED = ROOT / "saved_models" / "zfnet-tiny-imagenet-30" / "model.keras"


def run(code, *arguments):
    """Runs code in a new process; returns what it prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Models with everything that kerasvis may leave in a file."""
    folder = tmp_path_factory.mktemp("models")
    inputs = keras.Input((12, 10, 3))
    x = kv.layers.PixelMean()(inputs)
    limit = {"kernel_constraint": RMSLimit(0.1)}
    x = keras.layers.Conv2D(4, 3, name="conv", activation="softplus", **limit)(x)
    x, _ = kv.layers.MaxPooling2DWithSwitches(3, strides=2, name="pool")(x)
    x = kv.layers.LocalResponseNormalization()(x)
    x = keras.layers.Flatten()(x)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.save(folder / "own.keras")
    model.save(folder / "own.h5")
    rules = [(keras.activations.softplus, kv.rules.Rectification)]
    kv.DeconvModel(model, "conv", rules=rules).save(folder / "deconvnet.keras")
    return folder


ORDERS = [
    "import keras, kerasvis",
    slow("from kerasvis.data import ImageFolder, load_labelled"),
    slow("import kerasvis, keras"),
    slow(
        "import kerasvis.figures, kerasvis.storage; "
        "import tensorflow; from keras.models import Model"
    ),
    slow("from kerasvis.graph import read_graph"),
    slow("from kerasvis import DeconvModel"),
    slow("import kerasvis.data.known_models"),
    slow("from kerasvis.data.labelled.tfds_source import TFDSSplit"),
]


@pytest.mark.parametrize("order", ORDERS)
def test_importing_kerasvis_registers_what_model_files_hold(order, files):
    code = f"""
import sys
{order}
import keras
for path in sys.argv[1:]:
    print(type(keras.models.load_model(path)).__name__)
"""
    paths = [SAVED, *sorted(files.iterdir())]
    assert run(code, *paths).split() == ["Functional", "DeconvModel", "Functional", "Functional"]


@pytest.mark.parametrize("arguments", ["--help", "features --help", "occlusion --help"])
def test_help_starts_without_tensorflow(arguments):
    code = f"""
import runpy, sys
sys.argv = ["kerasvis", *{arguments.split()!r}]
try:
    runpy.run_module("kerasvis", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
print([name for name in ("keras", "tensorflow") if name in sys.modules])
"""
    assert run(code).splitlines()[-1] == "[]"


@keras.saving.register_keras_serializable(package="nobody_else")
class OfTheUser(keras.layers.Layer):
    """A layer that only its author's code knows."""


@pytest.mark.slow
def test_a_file_of_something_unknown_gets_a_sentence(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), OfTheUser(), keras.layers.Conv2D(2, 3)])
    model.save(tmp_path / "mine.keras")
    PIL.Image.fromarray(np.zeros((8, 8, 3), "uint8")).save(tmp_path / "photograph.png")
    command = [sys.executable, "-m", "kerasvis", "features", "--images", tmp_path]
    command += ["--model", tmp_path / "mine.keras", "--layers", "conv2d", "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2
    assert "it contains 'OfTheUser', which is not part of Keras" in done.stderr
    assert "Traceback" not in done.stderr


def test_importing_kerasvis_alone_starts_neither_keras_nor_tensorflow():
    code = """
import sys
import kerasvis, kerasvis.storage, kerasvis.figures, kerasvis.data.image_folder
print([name for name in ("keras", "tensorflow") if name in sys.modules])
"""
    assert run(code).strip() == "[]"


def small(name, size=32, **arguments):
    """A model of `keras.applications` without a top, with random weights."""
    build = getattr(keras.applications, name)
    return build(weights=None, include_top=False, input_shape=(size, size, 3), **arguments)


def mode_of(model):
    found = preprocessing_of_model(model)
    return found and found.mode


APPLICATIONS = {
    "ConvNeXtTiny": "raw",
    "DenseNet121": "torch",
    "EfficientNetB0": "raw",
    "EfficientNetV2B0": "raw",
    "MobileNet": "tf",
    "MobileNetV2": "tf",
    "MobileNetV3Large": "raw",
    "MobileNetV3Small": "raw",
    "ResNet50": "caffe",
    "ResNet50V2": "tf",
    "VGG16": "caffe",
    "VGG19": "caffe",
}
BIG_APPLICATIONS = {
    **dict.fromkeys(["ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtSmall", "ConvNeXtXLarge"], "raw"),
    **dict.fromkeys(["DenseNet169", "DenseNet201"], "torch"),
    **dict.fromkeys([f"EfficientNetB{i}" for i in range(1, 8)], "raw"),
    **dict.fromkeys([f"EfficientNetV2{i}" for i in "B1 B2 B3 S M L".split()], "raw"),
    **dict.fromkeys(["InceptionResNetV2", "InceptionV3", "Xception"], "tf"),
    **dict.fromkeys(["NASNetLarge", "NASNetMobile", "ResNet101V2", "ResNet152V2"], "tf"),
    **dict.fromkeys(["ResNet101", "ResNet152"], "caffe"),
}


@pytest.mark.parametrize(
    "name", ["VGG16", slow("MobileNetV2"), slow("MobileNetV3Small"), slow("ResNet50V2")]
)
def test_the_table_of_stems_is_what_keras_builds(name):
    """Run `python -m benchmarks.application_stems` where Keras changed it."""
    written = [known["stem"] for known in _known_stems() if name in known["models"]]
    built = [entry["stem"] for entry in application_stems.entries(name)]
    assert built
    assert all(stem in written for stem in built)


@pytest.mark.parametrize("name", few(APPLICATIONS, 4))
def test_a_model_of_keras_applications_is_known_by_what_it_is(name):
    model = small(name)
    model.name = "mine"
    assert mode_of(model) == APPLICATIONS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", BIG_APPLICATIONS)
def test_a_big_model_of_keras_applications_is_known_by_what_it_is(name):
    keras.utils.clear_session()
    assert mode_of(getattr(keras.applications, name)(weights=None)) == BIG_APPLICATIONS[name]


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("MobileNetV3Small", "tf"),
        ("EfficientNetV2B0", "torch"),  # of which keras.applications trained it
        slow("ConvNeXtTiny", "torch"),
        slow("EfficientNetV2S", "tf"),
    ],
)
def test_without_its_own_preprocessing_it_takes_what_that_makes(name, mode):
    assert mode_of(small(name, include_preprocessing=False)) == mode


def vgg():
    return small("VGG16", 40)


def with_top(model, *front):
    """A classifier of two classes on a model, behind layers of the user's own."""
    inputs = x = keras.Input((40, 40, 3))
    for layer in front:
        x = layer(x)
    x = keras.layers.GlobalAveragePooling2D()(model(x))
    return keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x), name="mine")


def cut_off(model, layer):
    return keras.Model(model.inputs, model.get_layer(layer).output)


def renamed(model):
    for layer in model.layers:
        layer.name = f"second_{layer.name}"
    return model


def inlined():
    model = vgg()
    x = keras.layers.Flatten()(model.output)
    return keras.Model(model.inputs, keras.layers.Dense(7)(x))


def preprocessed():
    inputs = keras.Input((40, 40, 3))
    x = keras.applications.vgg16.preprocess_input(keras.layers.RandomFlip()(inputs))
    return keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(vgg()(x)))


AROUND_IT = {
    "other classes": (lambda: keras.applications.VGG16(weights=None, classes=3), "caffe"),
    "any size": (lambda: keras.applications.VGG16(weights=None, include_top=False), "caffe"),
    "nested": (lambda: with_top(vgg()), "caffe"),
    "nested behind augmentation": (
        lambda: with_top(vgg(), keras.layers.RandomFlip(), keras.layers.RandomRotation(0.1)),
        "caffe",
    ),
    "sequential": (lambda: keras.Sequential([vgg(), keras.layers.Flatten()]), "caffe"),
    "its layers in another model": (inlined, "caffe"),
    "cut off": (lambda: cut_off(vgg(), "block4_conv2"), "caffe"),
    "cut off early": (lambda: cut_off(vgg(), "block2_pool"), "caffe"),
    "cut off early with a top": (lambda: with_top(cut_off(vgg(), "block2_pool")), "caffe"),
    "renamed layers": (lambda: renamed(vgg()), "caffe"),
    "copied": (lambda: keras.models.clone_model(vgg()), "caffe"),
    "read from a config": (lambda: keras.Model.from_config(vgg().get_config()), "caffe"),
    "width": (lambda: small("MobileNetV2", alpha=0.35), "tf"),
    "preprocessing inside": (preprocessed, "raw"),
    "rescaling inside": (
        lambda: with_top(small("MobileNetV2", 40), keras.layers.Rescaling(1 / 127.5, -1)),
        "raw",
    ),
    "half of the preprocessing inside": (
        lambda: with_top(small("MobileNetV2", 40), keras.layers.Rescaling(2, -1)),
        "unit",
    ),
}


@pytest.mark.parametrize("case", few(AROUND_IT, 6))
def test_whatever_is_around_it(case):
    build, mode = AROUND_IT[case]
    assert mode_of(build()) == mode


def resnet20():
    """The ResNet of the paper's CIFAR experiments, under the name of another."""
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(16, 3, padding="same", name="conv1_conv")(inputs)
    x = keras.layers.BatchNormalization(name="conv1_bn")(x)
    for i in range(4):
        y = keras.layers.Conv2D(16, 3, padding="same", name=f"conv2_block{i}_1_conv")(x)
        x = keras.layers.add([x, keras.layers.BatchNormalization()(y)])
    return keras.Model(inputs, x, name="resnet20_cifar10")


def own_vgg(**first):
    layers = [keras.layers.Conv2D(64, 3, padding="same", **first)]
    layers += [keras.layers.Conv2D(64, 3, padding="same"), keras.layers.MaxPooling2D()]
    layers += [keras.layers.Conv2D(128, 3, padding="same"), keras.layers.BatchNormalization()]
    return keras.Sequential([keras.Input((32, 32, 3)), *layers], name="vgg16")


def grey_vgg():
    return keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 1))


@keras.saving.register_keras_serializable(package="tests")
class OneStride(keras.layers.Layer):
    """A block of a user's own, whose attributes are not those of a layer of Keras."""

    def __init__(self, strides=2, **kwargs):
        super().__init__(**kwargs)
        self.strides = strides
        self.convolution = keras.layers.Conv2D(4, 3, strides)

    def call(self, images):
        return self.convolution(images)


UNKNOWN = {
    "resnet20_cifar10": resnet20,
    "vgg16": own_vgg,
    "vgg16 with a layer's name": lambda: own_vgg(name="block1_conv1"),
    "mobilenet": lambda: keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)], name="mobilenet_1.00_224"
    ),
    "dense": lambda: keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Dense(4)]),
    "efficientnet without images": lambda: keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(4)], name="efficientnetb0"
    ),
    "a layer of one stride": lambda: keras.Sequential([keras.Input((8, 8, 3)), OneStride()]),
    "grey": grey_vgg,
    "behind a rescaling of its own": lambda: with_top(vgg(), keras.layers.Rescaling(1 / 255)),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_a_name_decides_nothing(case):
    assert mode_of(UNKNOWN[case]()) is None


def hub_task(scale, offset):
    """What a KerasHub image classifier looks like from outside."""
    model = own_vgg()
    converter = types.SimpleNamespace(scale=scale, offset=offset)
    model.preprocessor = types.SimpleNamespace(image_converter=converter)
    return model


MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.mark.parametrize(
    ("scale", "offset", "mode"),
    [
        (None, None, "raw"),
        (1 / 255, None, "unit"),
        (1 / 127.5, -1.0, "tf"),
        ((1 / 255 / DEVIATION).tolist(), (-MEAN / DEVIATION).tolist(), "torch"),
    ],
)
def test_a_model_of_keras_hub_says_how_its_images_are_made(scale, offset, mode):
    task = hub_task(scale, offset)
    assert mode_of(task) == mode
    assert mode_of(keras.Sequential([task, keras.layers.Flatten()])) == mode
    behind_its_preprocessing = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Rescaling(scale or 1, offset or 0), task]
    )
    assert mode_of(behind_its_preprocessing) == "raw"


def test_any_scale_and_offset_of_keras_hub_is_taken():
    found = preprocessing_of_model(hub_task((0.5, 0.25, 2.0), (1.0, -3.0, 0.0)))
    pixels = np.array([[[[10, 20, 30], [0, 255, 128]]]], "uint8")
    expected = [[[[6, 2, 60], [1, 60.75, 256]]]]
    np.testing.assert_allclose(found.images(pixels), expected)
    np.testing.assert_array_equal(found.pixels(found.images(pixels)), pixels)
