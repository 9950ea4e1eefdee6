import dataclasses
import re

import keras
import numpy as np
import pytest

import kerasvis as kv
from kerasvis.activations import NotFiniteError
from kerasvis.analyses import Evolution, convergence, evolution_of_models, load_evolution
from kerasvis.analyses.evolution.evolution_result import LayerEvolution, evolution_of_snapshots
from kerasvis.analyses.evolution.feature_snapshot import FeatureSnapshots
from kerasvis.analyses.evolution.snapshot_files import Snapshot, SnapshotFiles
from kerasvis.analyses.feature_visualization import FeatureVisualization
from kerasvis.storage.fields import names_of
from kerasvis.storage.files import TEMPORARY

SIZE = (9, 11)
PARTS = [name for name in names_of(LayerEvolution) if name != "layer"]
IMAGES = np.random.default_rng(0).uniform(-1, 1, (10, *SIZE, 3)).astype("float32")


def convnet(seed=0, filters=4):
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            layers.Conv2D(filters, 3, activation="relu", name="conv"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(3, name="scores"),
        ]
    )


def noise(layer="conv", num_maps=3, size=(4, 5), seed=0):
    """A snapshot of one layer, of noise."""
    rng = np.random.default_rng(seed)
    shape = (num_maps, 1, *size, 3)
    return FeatureVisualization(
        layer=layer,
        feature_indices=np.arange(num_maps) * 2,
        activations=rng.random((num_maps, 1)).astype("float32"),
        image_indices=rng.integers(0, 9, (num_maps, 1)),
        positions=rng.integers(0, 4, (num_maps, 1, 2)).astype("int32"),
        projections=rng.normal(size=shape).astype("float32"),
        patches=rng.integers(0, 256, shape).astype("uint8"),
        boxes=np.tile(np.array([0, 0, *size], "int32"), (num_maps, 1, 1)),
    )


def noise_evolution(num_epochs=4, layers=("conv", "scores")):
    snapshots = [
        {name: noise(name, seed=10 * epoch + n) for n, name in enumerate(layers)}
        for epoch in range(num_epochs)
    ]
    return evolution_of_snapshots(range(1, num_epochs + 1), snapshots), snapshots


def assert_same(actual, expected):
    np.testing.assert_array_equal(actual.epochs, expected.epochs)
    assert actual.layers == expected.layers
    for name in expected:
        assert actual[name] == expected[name]


def test_snapshots_become_columns():
    evolution, snapshots = noise_evolution()
    assert evolution.epochs.tolist() == [1, 2, 3, 4]
    for name in ("conv", "scores"):
        assert evolution[name].feature_indices.tolist() == [0, 2, 4]
        for column, snapshot in enumerate(snapshots):
            for part in set(PARTS) - {"feature_indices"}:
                expected = getattr(snapshot[name], part)[:, 0]
                np.testing.assert_array_equal(getattr(evolution[name], part)[:, column], expected)


def test_jumps_are_where_the_image_changes():
    evolution, _ = noise_evolution()
    images = np.array([[3, 3, 5, 5], [1, 2, 1, 1], [0, 0, 0, 0]])
    layer = dataclasses.replace(evolution["conv"], image_indices=images)
    assert layer.jumps.astype(int).tolist() == [[0, 0, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


def test_save_and_load(tmp_path):
    evolution, _ = noise_evolution()
    evolution.save(tmp_path / "evolution.npz")
    assert_same(Evolution.load(tmp_path / "evolution.npz"), evolution)
    assert [path.name for path in tmp_path.iterdir()] == ["evolution.npz"]


def test_a_file_of_something_else(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.ones(2))
    with pytest.raises(ValueError, match=r"not an \.npz file.*: it has no .*other\.npz"):
        Evolution.load(tmp_path / "other.npz")


def test_a_layer_that_was_not_recorded():
    evolution, _ = noise_evolution()
    sentence = "layer 'fc' was not recorded: choose one of conv, scores"
    with pytest.raises(ValueError, match=sentence):
        evolution["fc"]


@pytest.fixture
def write(tmp_path):
    """Writes a snapshot of an epoch into the test's folder."""
    files = SnapshotFiles(tmp_path)

    def write(epoch, settings=None, run="run"):
        snapshot = {"conv": noise(seed=epoch)}
        files.save(Snapshot(epoch, snapshot, settings or {"layers": ["conv"]}, run, "weights"))
        return snapshot

    return write


def test_files_of_a_folder_are_put_in_order_of_epochs(write, tmp_path):
    snapshots = {epoch: write(epoch) for epoch in (10, 2, 12345)}
    (tmp_path / f".epoch_0003.a1.{TEMPORARY}.npz").touch()
    (tmp_path / "notes.txt").touch()
    expected = evolution_of_snapshots(sorted(snapshots), [snapshots[e] for e in sorted(snapshots)])
    assert_same(load_evolution(tmp_path), expected)


def test_files_that_do_not_belong_together(write, tmp_path):
    write(1)
    write(2, run="another")
    sentence = r"epoch_0002\.npz was made with other initial weights than .*epoch_0001\.npz: give"
    with pytest.raises(ValueError, match=sentence):
        load_evolution(tmp_path)
    write(2, settings={"layers": ["conv"], "images": "other"})
    with pytest.raises(ValueError, match=r"epoch_0002\.npz was made with other images than"):
        load_evolution(tmp_path)


@pytest.mark.parametrize("name", ["", "missing"])
def test_a_folder_without_snapshots(tmp_path, name):
    sentence = f"no snapshots .* Received: directory={re.escape(repr(str(tmp_path / name)))}"
    with pytest.raises(ValueError, match=sentence):
        load_evolution(tmp_path / name)


@pytest.mark.slow
def test_models_of_several_epochs_give_what_each_gives_alone():
    models = [convnet(seed) for seed in range(3)]
    before = models[0].get_weights()
    layers, features = ["conv", "scores"], {"conv": [2, 0], "scores": [1]}
    evolution = evolution_of_models(iter(models), layers, IMAGES, [1, 5, 9], features)
    alone = [FeatureSnapshots(model, layers, features).take(IMAGES) for model in models]
    assert_same(evolution, evolution_of_snapshots([1, 5, 9], alone))
    assert len(np.unique(evolution["conv"].activations)) == 6
    for actual, expected in zip(models[0].get_weights(), before, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_models_of_another_architecture():
    models = [convnet(), convnet(filters=5)]
    with pytest.raises(ValueError, match="The model of epoch 5 differs in architecture"):
        evolution_of_models(models, ["conv"], IMAGES, [1, 5])


@pytest.mark.parametrize(
    ("num_models", "epochs", "sentence"),
    [
        (0, [], "one model or more"),
        (0, [1], "1 epochs for 0 models"),
        (1, [1, 5], "2 epochs for 1 models"),
        (2, [1], "1 epochs for more than 1 models"),
    ],
)
def test_an_epoch_for_each_model(num_models, epochs, sentence):
    models = [convnet()] * num_models
    with pytest.raises(ValueError, match=sentence):
        evolution_of_models(models, ["conv"], IMAGES, epochs)


def test_a_snapshot_is_the_strongest_of_visualize_features():
    model = convnet()
    snapshot = FeatureSnapshots(model, "conv", {"conv": [3, 1]}, batch_size=4).take(IMAGES)
    top = kv.find_top_activations(model, ["conv"], IMAGES, 1, verbose=0)
    expected = kv.visualize_features(model, "conv", IMAGES, [3, 1], top=top)
    for part in PARTS:
        actual = getattr(snapshot["conv"], part)
        np.testing.assert_allclose(actual, getattr(expected, part), rtol=1e-5, atol=1e-6)


def test_activations_that_are_not_finite():
    images = IMAGES.copy()
    images[6, 0, 0, 0] = np.inf
    with pytest.raises(NotFiniteError, match="Image 6 contains NaN or infinity"):
        FeatureSnapshots(convnet(), ["scores"]).take(images)


def test_images_of_different_sizes():
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(6, 3, name="a")])
    batches = [np.full((1, 8, 8, 3), -1.0), np.full((1, 9, 8, 3), 1.0)]
    with pytest.raises(ValueError, match=r"different sizes: .* Received: images of \(8, 8\) and "):
        FeatureSnapshots(model, ["a"]).take(batches)


def test_images_that_do_not_fit():
    with pytest.raises(ValueError, match=r"images of shape \(8, 8, 3\)"):
        FeatureSnapshots(convnet(), ["conv"]).take(np.ones((2, 8, 8, 3)))


def angle_cosine(a, b):
    dot = norm_a = norm_b = 0.0
    for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True):
        dot, norm_a, norm_b = dot + x * y, norm_a + x * x, norm_b + y * y
    return dot / (norm_a * norm_b) ** 0.5


def test_similarity_is_the_cosine_of_the_angle_to_the_last_projection():
    evolution, _ = noise_evolution()
    measured = convergence(evolution)
    np.testing.assert_array_equal(measured.epochs, evolution.epochs)
    assert [layer.layer for layer in measured.layers] == ["conv", "scores"]
    for layer in measured.layers:
        projections = evolution[layer.layer].projections
        expected = [[angle_cosine(p, row[-1]) for p in row] for row in projections]
        np.testing.assert_allclose(layer.similarities, expected, rtol=1e-5, atol=1e-6)
        assert layer.similarities.dtype == "float32"
        np.testing.assert_allclose(layer.similarities[:, -1], 1, rtol=1e-6)
        last = projections[:, -1]
        pairs = [angle_cosine(last[i], last[j]) for i, j in [(0, 1), (0, 2), (1, 2)]]
        np.testing.assert_allclose(layer.between_maps, sorted(pairs)[1], rtol=1e-5)


def test_silent_feature_maps():
    evolution, _ = noise_evolution(layers=("conv",))
    projections = evolution["conv"].projections.copy()
    projections[0, 1] = 0  # silent for one epoch
    projections[1, -1] = 0  # silent in the end
    projections[2] = 0  # silent all along
    layer = dataclasses.replace(evolution["conv"], projections=projections)
    (measured,) = convergence(Evolution(evolution.epochs, {"conv": layer})).layers
    assert measured.similarities[0, 1] == 0
    assert measured.similarities[0, -1] == pytest.approx(1)
    assert np.isnan(measured.similarities[1:]).all()
    assert np.isnan(measured.between_maps)  # one map is left


def test_which_images_are_final():
    evolution, _ = noise_evolution(layers=("conv",))
    images = np.array([[3, 3, 5, 5], [1, 2, 1, 1], [0, 0, 0, 0]])
    layer = dataclasses.replace(evolution["conv"], image_indices=images)
    (measured,) = convergence(Evolution(evolution.epochs, {"conv": layer})).layers
    expected = [[0, 0, 1, 1], [1, 0, 1, 1], [1, 1, 1, 1]]
    assert measured.is_final_image.astype(int).tolist() == expected


def test_similarity_does_not_depend_on_the_strength_of_projections():
    evolution, _ = noise_evolution(layers=("conv",))
    scales = np.array([1e-20, 1, 1e3, 7], "float32")[:, None, None, None]
    layer = evolution["conv"]
    scaled = dataclasses.replace(layer, projections=layer.projections * scales)
    assert isinstance(scaled, LayerEvolution)
    (expected,) = convergence(evolution).layers
    (actual,) = convergence(Evolution(evolution.epochs, {"conv": scaled})).layers
    np.testing.assert_allclose(actual.similarities, expected.similarities, rtol=1e-4, atol=1e-6)
