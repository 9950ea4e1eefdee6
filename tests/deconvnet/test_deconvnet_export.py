"""The SavedModel of the deconvnet: what plain TensorFlow is served, and what it refuses."""

import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import kerasvis as kv
from kerasvis.deconvnet.targets import Strongest, Unit, WholeMap

SIZE = (45, 38)
MAP_SIZE = (23, 19)


def images(number=5, size=SIZE):
    return np.random.default_rng(0).normal(size=(number, *size, 3)).astype("float32")


def convnet(size=SIZE):
    """Two stages whose conv2 sees a small part of the image, and a classifier."""
    inputs = keras.Input((*size, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv1")(inputs)
    x = layers.MaxPooling2D(3, 2, padding="same", name="pool1")(x)
    x = layers.BatchNormalization(name="norm1")(x)
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="conv2")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(5, activation="softmax", name="classes")(x)
    return keras.Model(inputs, x, name="convnet")


@pytest.fixture(scope="module")
def deconv():
    keras.utils.set_random_seed(0)
    return kv.DeconvModel(convnet(), "conv2")


@pytest.fixture(scope="module")
def exported(deconv, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "serving"
    deconv.export(folder, verbose=False)
    return folder


@pytest.fixture(scope="module")
def served(exported):
    return tf.saved_model.load(str(exported))


def export_and_load(deconv, folder):
    deconv.export(folder, verbose=False)
    return tf.saved_model.load(str(folder))


SERVE_WITHOUT_KERASVIS = """
import sys
sys.modules["keras"] = sys.modules["kerasvis"] = None  # importing them fails
import numpy as np, tensorflow as tf
exported = tf.saved_model.load(sys.argv[1])
given = dict(np.load(sys.argv[2]))
strongest = exported.serve(given["images"], given["feature"])
unit = exported.serve_unit(given["images"], given["feature"], given["position"])
np.savez(sys.argv[3], unit=unit["projection"], **strongest)
"""


@pytest.mark.slow
def test_served_where_kerasvis_is_missing(deconv, exported, tmp_path):
    given = {
        "images": images(4),
        "feature": np.array([0, 1, 2, 1], "int32"),
        "position": np.array([[3, 4], [0, 0], [22, 18], [9, 9]], "int32"),
    }
    np.savez(tmp_path / "given.npz", **given)
    paths = [str(exported), *(str(tmp_path / name) for name in ("given.npz", "outputs.npz"))]
    subprocess.run([sys.executable, "-c", SERVE_WITHOUT_KERASVIS, *paths], check=True)
    outputs = dict(np.load(paths[2]))
    activation, position = deconv.locate(given["images"], given["feature"])
    np.testing.assert_array_equal(outputs["position"], position)
    np.testing.assert_allclose(outputs["activation"], activation, rtol=1e-5)
    expected = deconv.project(given["images"], Strongest(given["feature"]))
    np.testing.assert_allclose(outputs["projection"], expected, rtol=1e-4, atol=1e-6)
    expected = deconv.project(given["images"], Unit(given["feature"], *given["position"].T))
    np.testing.assert_allclose(outputs["unit"], expected, rtol=1e-4, atol=1e-6)


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys() == {"projection", "activation", "position"}
    for name, expected in theirs.items():
        scale = np.abs(expected).max()
        np.testing.assert_allclose(ours[name], expected, rtol=1e-5, atol=1e-5 * scale)


def concatenated(outputs):
    return {name: np.concatenate([output[name] for output in outputs]) for name in outputs[0]}


def test_one_call_with_pairs_is_a_call_for_each(served):
    pixels = images()[[0, 1, 1, 2, 0, 4, 1]]
    feature = np.array([5, 0, 3, 3, 1, 2, 4], "int32")
    together = served.serve(pixels, feature)
    singles = [served.serve(pixels[i : i + 1], feature[i : i + 1]) for i in range(7)]
    assert_same(together, concatenated(singles))
    assert len(np.unique(together["projection"], axis=0)) == 7  # each pair has its own


@pytest.mark.slow
def test_one_call_with_positions_is_a_call_for_each(deconv, served):
    pixels, feature = images(), np.array([5, 0, 3, 3, 1], "int32")
    position = np.array([[0, 0], [22, 18], [7, 2], [-1, -1], [-2, -2]], "int32")
    together = served.serve_unit(pixels, feature, position)
    singles = [
        served.serve_unit(pixels[i : i + 1], feature[i : i + 1], position[i : i + 1])
        for i in range(5)
    ]
    assert_same(together, concatenated(singles))
    expected = [
        deconv.project(pixels[:3], Unit(feature[:3], *position[:3].T)),
        deconv.project(pixels[3:4], Strongest(3)),
        deconv.project(pixels[4:], WholeMap(1)),
    ]
    np.testing.assert_allclose(
        together["projection"], np.concatenate(expected), rtol=1e-4, atol=1e-6
    )


def test_signatures_as_a_server_calls_them(served):
    given = {"images": tf.constant(images()), "feature": tf.constant([0, 1, 2, 3, 4])}
    assert {"serve", "serve_unit", "serving_default"} <= set(served.signatures)
    assert_same(served.signatures["serving_default"](**given), served.serve(*given.values()))
    position = tf.fill([5, 2], 2)
    ours = served.signatures["serve_unit"](**given, position=position)
    assert_same(ours, served.serve_unit(*given.values(), position))


def test_only_the_weights_up_to_the_layer_are_written(deconv, exported):
    written = tf.train.list_variables(str(exported / "variables" / "variables"))
    num_written = sum(
        int(np.prod(shape)) for name, shape in written if name.endswith("VARIABLE_VALUE")
    )
    below = ("conv1", "norm1", "conv2")
    num_below = sum(deconv.convnet.get_layer(name).count_params() for name in below)
    assert num_below <= num_written <= num_below + 1  # TensorFlow counts its saves


@pytest.mark.slow
def test_images_of_any_size(tmp_path):
    deconv = kv.DeconvModel(convnet((None, None)), "conv2")
    served = export_and_load(deconv, tmp_path / "serving")
    for size in ((20, 31), (17, 12)):
        ours = served.serve(images(2, size), [1, 2])["projection"]
        expected = deconv.project(images(2, size), Strongest([1, 2]))
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_class_scores(tmp_path):
    deconv = kv.DeconvModel(convnet(), "classes")
    served = export_and_load(deconv, tmp_path / "serving")
    outputs = served.serve_unit(images(3), [0, 4, 2], np.zeros((3, 2), "int32"))
    expected = deconv.project(images(3), Unit([0, 4, 2]))
    np.testing.assert_allclose(outputs["projection"], expected, rtol=1e-4, atol=1e-6)
    assert_same(served.serve(images(3), [0, 4, 2]), outputs)


@pytest.mark.parametrize(
    ("feature", "position"),
    [(6, (0, 0)), (-1, (0, 0)), (0, (23, 0)), (0, (0, 19)), (0, (-1, 3)), (0, (-1, -2))],
)
def test_units_that_the_layer_does_not_have_are_refused(served, feature, position):
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="Layer conv2 has 23×19×6 units, but others"
    ):
        served.serve_unit(images(2), [0, feature], [(0, 0), position])


def test_as_many_features_as_images(served):
    with pytest.raises(tf.errors.InvalidArgumentError, match="Give as many features as images"):
        served.serve(images(1), [0, 1])


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_saved_model_is_replaced(deconv, exported, tmp_path):
    folder = shutil.copytree(exported, tmp_path / "serving")
    other = kv.DeconvModel(deconv.convnet, "conv1")
    served = export_and_load(other, folder)
    ours = served.serve(images(1), [3])["projection"]
    np.testing.assert_allclose(ours, other.project(images(1), Strongest(3)), rtol=1e-4, atol=1e-6)
    assert names_in(tmp_path) == ["serving"]


@pytest.mark.slow
def test_an_export_that_fails_leaves_what_was_there(deconv, exported, tmp_path, monkeypatch):
    shutil.copytree(exported, tmp_path / "serving")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def failing(archive, filepath, **options):
        Path(filepath).mkdir()
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", failing)
    with pytest.raises(OSError, match=r"serving cannot be written \(No space left .* another"):
        deconv.export(tmp_path / "serving", verbose=False)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_other_files_are_left_alone(deconv, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for folder in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(ValueError, match="something other than a SavedModel: give a new"):
            deconv.export(folder)
    assert names_in(tmp_path) == ["notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"
