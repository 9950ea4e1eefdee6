"""Calls every function that needs no TensorFlow, and writes the numbers that come out.

    python every_function.py [--divided] FILE [NAME ...]

With `--divided`, batches are divided among the devices by `keras.distribution.DataParallel`. On
backends other than TensorFlow its import is blocked, so that a function that needs it all the
same fails. Weights, images and the random weights of copies come from NumPy, so that backends can
be compared number by number.
"""

# ruff: noqa: E402 -- the import of TensorFlow is blocked before Keras is imported

import contextlib
import importlib.abc
import importlib.machinery
import io
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")


class Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Lets the import of TensorFlow fail, wherever it is installed."""

    def find_spec(self, name, path=None, target=None):
        if name in ("tensorflow", "tensorflow_datasets", "tensorboard"):
            return importlib.machinery.ModuleSpec(name, self)
        return None

    def create_module(self, spec):
        raise ModuleNotFoundError(f"No module named {spec.name!r}", name=spec.name)

    def exec_module(self, module):
        pass


if os.environ["KERAS_BACKEND"] != "tensorflow":
    sys.meta_path.insert(0, Absent())

import keras
import numpy as np
from keras import layers
from PIL import Image

import kerasvis as kv

SIZE = (40, 36)
LAYERS = ["conv1", "conv2", "scores"]


@keras.saving.register_keras_serializable("every_function")
class NumpyNormal(keras.initializers.Initializer):
    """Normal values that are the same on every backend, as those of Keras are not."""

    def __init__(self, seed=0):
        self.seed = seed

    def __call__(self, shape, dtype=None):
        fan_in = int(np.prod(shape[:-1]))
        values = np.random.default_rng(self.seed).standard_normal(shape) / fan_in**0.5
        return keras.ops.convert_to_tensor(values.astype("float32"))

    def get_config(self):
        return {"seed": self.seed}


def small_convnet():
    """Strides, overlapping pools, a branch, batch and contrast normalisation, a softmax."""
    options = {"padding": "same", "activation": "relu"}
    image = keras.Input((*SIZE, 3), name="image")
    x = layers.Rescaling(1 / 64, offset=-2)(image)
    x = layers.Conv2D(6, 5, 2, kernel_initializer=NumpyNormal(1), name="conv1", **options)(x)
    x = layers.MaxPooling2D(3, 2, name="pool1")(x)
    x = kv.layers.LocalResponseNormalization(name="contrast")(x)
    y = layers.Conv2D(6, 3, kernel_initializer=NumpyNormal(2), name="conv2", **options)(x)
    y = layers.BatchNormalization(name="batch")(y)
    x = layers.Add(name="sum")([x, y])
    x = layers.MaxPooling2D(2, padding="same", name="pool2")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(8, "softmax", kernel_initializer=NumpyNormal(3), name="scores")(x)
    return keras.Model(image, x)


class Setup:
    """What the functions are called with."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.planted = kv.data.PlantedObjects(6, SIZE)
        self.images = self.planted[:].astype("float32")
        self.model = small_convnet()
        self.units = kv.targets.Unit(list(range(6)), [2] * 6, [3] * 6)
        self.scores = kv.targets.Unit(self.planted.labels.tolist())


def projection(setup):
    deconv = kv.DeconvModel(setup.model, "conv2")
    yield "strongest", deconv.project(setup.images, kv.targets.Strongest(1))
    yield "unit", deconv.project(setup.images, setup.units)
    yield "whole", deconv.project(setup.images, kv.targets.WholeMap(0))
    strongest, positions = deconv.locate(setup.images, 2)
    yield from {"strongest value": strongest, "positions": positions}.items()
    unit = kv.targets.Unit([0, 1, 2], [1, 2, 3], [3, 2, 1])
    yield "units of one image", deconv.project_units(setup.images, unit, [0, 0, 1])[0]


def scan(setup):
    yield from found(kv.find_top_activations(setup.model, LAYERS, setup.images, 3, verbose=0))


def occlusion(setup):
    for method in ("incremental", "full"):
        result = kv.occlusion_sensitivity(
            setup.model,
            setup.images[0],
            2,
            layer="conv2",
            patch_size=8,
            strides=5,
            method=method,
            verbose=0,
        )
        yield from found(result, method)


def occlusion_of_another_image(setup):
    """What was compiled for one image serves for the next."""
    analysis = kv.analyses.OcclusionAnalysis(
        setup.model, SIZE, layer="conv2", patch_size=8, strides=5, preprocessing="raw", verbose=0
    )
    analysis(setup.images[0], 2)
    with compilations() as compiled:
        yield from found(analysis(setup.images[1], 3))
    assert not compiled, compiled


@contextlib.contextmanager
def compilations():
    """A list of what JAX compiles within the context; other backends do not tell."""
    compiled = []
    if keras.backend.backend() != "jax":
        yield compiled
        return
    import jax

    def note(event, seconds, **options):
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(note)
    yield compiled
    jax.monitoring.clear_event_listeners()


def attributions(setup):
    for name in kv.attributions.METHODS:
        options = {"num_samples": 4} if name == "smoothgrad" else {}
        maps = kv.attribute(
            setup.model, "scores", setup.images, setup.scores, name, rules="relaxed", **options
        )
        yield name, maps


def diagnosis(setup):
    options = {"rules": "relaxed", "preprocessing": "raw", "verbose": 0}
    options |= {"first_layer": "conv1", "second_layer": "conv2"}
    images = np.concatenate([setup.images] * 9)  # 50 are the least
    result = kv.diagnose_filters(setup.model, images, **options)
    yield from found(result)
    yield "figure", drawn(kv.figures.filter_diagnosis_grid(result))


def fidelity(setup):
    report = kv.fidelity_report(
        setup.model,
        "conv2",
        setup.images[:2],
        checks=["weight_randomization"],
        preprocessing="raw",
        rules="relaxed",
        verbose=0,
    )
    yield from found(report)


def explanation(setup):
    result = kv.explain(
        setup.model,
        setup.images[0],
        preprocessing="raw",
        num_features=2,
        rules="relaxed",
        verbose=0,
    )
    yield from found(result)


def figures(setup):
    features = kv.visualize_features(
        setup.model, ["conv1", "conv2"], setup.images, k=2, preprocessing="raw", verbose=0
    )
    for layer, result in features.items():
        yield from found(result, layer)
        yield f"{layer} figure", drawn(kv.figures.feature_grid(result))


def gallery(setup):
    folder = setup.folder / "gallery"
    kv.write_gallery(
        setup.model,
        ["conv1", "conv2"],
        setup.images,
        folder,
        k=2,
        preprocessing="raw",
        rules="relaxed",
        verbose=0,
    )
    files = sorted(path for path in folder.rglob("*") if path.suffix in {".html", ".png", ".jpg"})
    for path in files:
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".html":
            yield name, np.array(len(path.read_text(encoding="utf-8").split("<")))
        else:
            yield name, np.asarray(Image.open(path))


def evolution(setup):
    model = small_convnet()
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    callback = kv.callbacks.FeatureEvolution(
        ["conv1", "conv2"],
        setup.images,
        epochs=[1, 2, 3],
        directory=setup.folder / "evolution",
        preprocessing="raw",
        num_features=3,
    )
    labels = np.asarray(setup.planted.labels)
    options = {"batch_size": 2, "shuffle": False, "verbose": 0}
    model.fit(setup.images, labels, epochs=3, callbacks=[callback], **options)
    recorded = kv.analyses.load_evolution(setup.folder / "evolution")
    yield from found(recorded)
    # The last snapshot has to show the weights of that moment, not those that were compiled.
    deconv = kv.DeconvModel(model, "conv2")
    maps = np.stack([deconv.locate(setup.images, feature)[0] for feature in range(6)])
    yield "after training", maps


def comparison(setup):
    result = kv.compare_methods(
        setup.model, "conv2", setup.images[:2], kv.targets.Strongest(1), preprocessing="raw"
    )
    yield from found(result)


def found(result, name=""):
    """The arrays of a result that hold numbers, by their names."""
    for key, array in result.to_arrays().items():
        if np.asarray(array).dtype.kind in "biuf":
            yield f"{name} {key}".strip(), np.asarray(array)


def drawn(figure):
    """The pixels of a figure."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=60)
    return np.asarray(Image.open(file))


FUNCTIONS = {
    function.__name__: function
    for function in (
        *(projection, scan, occlusion, occlusion_of_another_image, attributions, diagnosis),
        *(fidelity, explanation, figures, gallery, evolution, comparison),
    )
}


def main(filepath, *names):
    arrays = {}
    if filepath == "--divided":
        filepath, *names = names
        keras.distribution.set_distribution(keras.distribution.DataParallel())
        print(len(keras.distribution.list_devices()), "devices")
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(folder)
        for name in names or FUNCTIONS:
            begin = time.perf_counter()
            arrays |= {f"{name}: {key}": value for key, value in FUNCTIONS[name](setup)}
            print(f"{name}: {time.perf_counter() - begin:.1f} s", flush=True)
    np.savez(filepath, **arrays)
    print("TensorFlow is", "imported" if "tensorflow" in sys.modules else "absent")


if __name__ == "__main__":
    main(*sys.argv[1:])
