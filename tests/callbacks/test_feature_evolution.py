import dataclasses
import json
import random
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

import kerasvis as kv
from kerasvis.analyses.evolution.feature_snapshot import FeatureSnapshots
from kerasvis.analyses.evolution.snapshot_files import SnapshotFiles
from kerasvis.callbacks import FeatureEvolution
from kerasvis.callbacks.tensorboard_export import export_features
from kerasvis.figures import feature_grid
from tests.marks import slow

SIZE = (13, 10)
NUM_IMAGES = 21
LAYERS = ("conv1", "conv2")
FEATURES = {"conv1": [3, 0], "conv2": [4, 1, 2]}


def pixels():
    shape = (NUM_IMAGES, *SIZE, 3)
    return np.random.default_rng(0).integers(0, 256, shape).astype("uint8")


IMAGES = pixels().astype("float32")
LABELS = np.arange(NUM_IMAGES) % 3


def convnet(seed=0):
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            layers.Rescaling(1 / 128, offset=-1),
            layers.Conv2D(4, 3, activation="relu", padding="same", name="conv1"),
            layers.MaxPooling2D(2),
            layers.BatchNormalization(),
            layers.Conv2D(5, 3, name="conv2"),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.SGD(0.02, momentum=0.9)
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=False)
    return model


def fit(model, callbacks, epochs=2, **options):
    options = {"x": IMAGES, "y": LABELS, "batch_size": 7, "verbose": 0} | options
    return model.fit(epochs=epochs, callbacks=callbacks, **options)


@pytest.fixture
def evolution(tmp_path):
    """Makes the callback for a folder of the test's."""

    def evolution(images=IMAGES, layers=LAYERS, features=FEATURES, epochs=(1, 2), **options):
        options = {"directory": tmp_path / "evolution"} | options
        return FeatureEvolution(layers, images, features, epochs, **options)

    return evolution


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """`(folder, weights)`: snapshots of two epochs of `convnet()`, and its weights then."""
    folder, model = tmp_path_factory.mktemp("recording"), convnet()
    fit(model, [FeatureEvolution(LAYERS, IMAGES, FEATURES, (1, 2), directory=folder)])
    return folder, model.get_weights()


@pytest.fixture
def recorded(recording, tmp_path):
    """The folder of the test's, with these snapshots; returns the model after two epochs."""
    folder, weights = recording
    shutil.copytree(folder, tmp_path / "evolution")
    model = convnet()
    model.set_weights(weights)
    return model


def begin(callback, model, epoch):
    """What `fit` does before it trains, going on after `epoch`."""
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_begin(epoch)


class Weights(keras.callbacks.Callback):
    """Keeps the weights at the end of every epoch."""

    def on_train_begin(self, logs=None):
        self.of_epochs = getattr(self, "of_epochs", {})

    def on_epoch_end(self, epoch, logs=None):
        self.of_epochs[epoch + 1] = self.model.get_weights()


class StoppedError(Exception):
    pass


class StopAfter(keras.callbacks.Callback):
    """Ends training like a crash, in the middle of the epoch after `epoch`."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise StoppedError


def assert_same_features(actual, expected):
    assert list(actual) == list(expected)
    for layer in actual:
        a, b = actual[layer], expected[layer]
        for part in ("feature_indices", "image_indices", "positions", "patches", "boxes"):
            np.testing.assert_array_equal(getattr(a, part), getattr(b, part))
        np.testing.assert_allclose(a.activations, b.activations, rtol=1e-5)
        scale = max(np.abs(b.projections).max(), 1e-9)
        np.testing.assert_allclose(a.projections / scale, b.projections / scale, atol=1e-5)


def test_by_default_the_last_epoch_is_recorded_too(tmp_path):
    callback = FeatureEvolution("conv1", IMAGES, directory=tmp_path / "evolution", num_features=1)
    fit(convnet(), [callback], epochs=3)
    assert kv.analyses.load_evolution(tmp_path / "evolution").epochs.tolist() == [1, 2, 3]


def test_snapshots_show_the_weights_of_their_epochs(evolution, tmp_path):
    model, weights = convnet(), Weights()
    fit(model, [evolution(epochs=(3, 1)), weights], epochs=3)
    recorded = kv.analyses.load_evolution(tmp_path / "evolution")
    assert recorded.epochs.tolist() == [1, 3]
    assert recorded.layers == LAYERS
    then = convnet()
    for layer in LAYERS:
        below = keras.Model(then.inputs, then.get_layer(layer).output)
        deconv = kv.DeconvModel(then, layer)
        for column, epoch in enumerate(recorded.epochs):
            then.set_weights(weights.of_epochs[epoch])
            maps = below.predict(IMAGES, verbose=0)[..., FEATURES[layer]]
            seen = recorded[layer]
            assert seen.feature_indices.tolist() == FEATURES[layer]
            for row, feature in enumerate(FEATURES[layer]):
                place = np.unravel_index(maps[..., row].argmax(), maps.shape[:3])
                number, position = place[0], list(map(int, place[1:]))
                assert seen.image_indices[row, column] == number
                assert seen.positions[row, column].tolist() == position
                strongest = maps[..., row].max()
                np.testing.assert_allclose(seen.activations[row, column], strongest, rtol=1e-5)
                unit = kv.targets.Unit(feature, *position)
                whole = deconv.project(IMAGES[number][None], unit)[0]
                inside = kv.receptive_field(then, layer).box(*position)
                expected, patch = (window(a, inside) for a in (whole, pixels()[number]))
                actual = seen.projections[row, column]
                scale = np.abs(expected).max() or 1
                np.testing.assert_allclose(actual / scale, expected / scale, atol=1e-5)
                np.testing.assert_array_equal(seen.patches[row, column], patch)


def window(image, box):
    """The part of an image in a box (top, left, bottom, right), 0 outside the image."""
    top, left, bottom, right = box
    cut = np.zeros((bottom - top, right - left, 3), image.dtype)
    for row in range(top, bottom):
        for column in range(left, right):
            if 0 <= row < SIZE[0] and 0 <= column < SIZE[1]:
                cut[row - top, column - left] = image[row, column]
    return cut


@pytest.mark.slow
def test_training_is_bit_identical_with_and_without(evolution, tmp_path):
    def trained(callbacks):
        model = convnet()
        history = fit(model, callbacks, validation_data=(IMAGES, LABELS)).history
        states = [random.getstate()[1], *np.random.get_state()[1:3], tf.random.uniform([3]).numpy()]
        variables = [v.numpy() for v in [*model.variables, *model.optimizer.variables]]
        return history, states, variables, model.stop_training

    callback = evolution(tensorboard=tmp_path / "events")
    watched, plain = trained([callback]), trained([])
    assert len(callback.files.epochs()) == 2
    assert watched[0] == plain[0]
    assert watched[3] is plain[3] is False
    for actual, expected in zip([*watched[1], *watched[2]], [*plain[1], *plain[2]], strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.slow
def test_nothing_is_traced_after_the_first_snapshot(evolution, convolutions):
    class Count(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            counts.append(len(convolutions.calls))
            functions.append((self.model.train_function, self.model.predict_function))

    counts, functions = [], []
    callback = evolution(epochs=(1, 2, 3, 4), batch_size=8)  # 21 images: an uneven last batch
    fit(convnet(), [callback, Count()], epochs=4)
    assert callback.files.epochs() == [1, 2, 3, 4]
    assert counts == [counts[0]] * 4
    assert len(set(functions)) == 1
    assert functions[0][1] is None  # the model itself has predicted nothing


def test_goes_on_after_a_crash(evolution, tmp_path):
    def run(*more):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        options = {"layers": ["conv2"], "features": {"conv2": [4, 1]}}
        callback = evolution(epochs=(1, 2, 4, 5), **options)
        fit(convnet(), [backup, callback, *more], epochs=5)
        return options

    with pytest.raises(StoppedError):
        run(StopAfter(3))
    files = SnapshotFiles(tmp_path / "evolution")
    assert files.epochs() == [1, 2]
    before = [files.filepath(epoch).read_bytes() for epoch in (1, 2)]
    weights = Weights()
    options = run(weights)
    assert files.epochs() == [1, 2, 4, 5]
    assert [files.filepath(epoch).read_bytes() for epoch in (1, 2)] == before
    assert list(weights.of_epochs) == [4, 5]
    then = convnet()
    then.set_weights(weights.of_epochs[4])
    assert_same_features(files.load(4).features, FeatureSnapshots(then, **options).take(IMAGES))
    assert kv.analyses.load_evolution(tmp_path / "evolution").epochs.tolist() == [1, 2, 4, 5]


@pytest.mark.slow
def test_an_epoch_whose_file_is_there_is_not_done_again(recorded, evolution, convolutions):
    callback = evolution(epochs=(1, 2, 4))
    begin(callback, convnet(), 0)  # from the same start: no backup was written before the crash
    callback.on_epoch_end(0)
    callback.on_epoch_end(1)
    assert convolutions.num_new() == 0
    assert callback.files.epochs() == [1, 2]
    callback.on_epoch_end(3)
    assert convolutions.num_new() > 0
    assert callback.files.epochs() == [1, 2, 4]


@pytest.mark.slow
def test_goes_on_in_a_second_fit_but_does_not_begin_again(evolution):
    model, callback = convnet(), evolution(layers=["conv1"], features=None)
    fit(model, [callback], epochs=1)
    fit(model, [callback], epochs=2, initial_epoch=1)
    assert callback.files.epochs() == [1, 2]
    assert callback.files.load(1).run == callback.files.load(2).run
    with pytest.raises(ValueError, match=r"epoch_0001\.npz was made in a training run that began "):
        fit(model, [callback])


def test_snapshots_of_another_run_are_refused(recorded, evolution):
    other = convnet(seed=1)
    sentence = r"epoch_0001\.npz was made in a training run that began with other weights: give"
    with pytest.raises(ValueError, match=sentence):
        fit(other, [evolution()])
    sentence = r"epoch_0002\.npz was made in a training run that had other weights then: give"
    with pytest.raises(ValueError, match=sentence):
        fit(other, [evolution()], epochs=4, initial_epoch=2)
    begin(evolution(), recorded, 2)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"layers": ["conv1"], "features": {"conv1": [3, 0]}}, "layers and feature maps"),
        ({"features": {"conv1": [1], "conv2": [4, 1, 2]}}, "feature maps"),
        ({"rectification": "guided"}, "rectification"),
        ({"preprocessing": "caffe"}, "preprocessing"),
        ({"images": IMAGES[:-1]}, "images"),
    ],
)
def test_snapshots_of_other_settings_are_refused(recorded, evolution, changed, what):
    weights = Weights()
    with pytest.raises(ValueError, match=rf"epoch_0001\.npz was made with other {what}: give"):
        fit(convnet(), [evolution(**changed), weights], epochs=1)
    assert getattr(weights, "of_epochs", {}) == {}


@pytest.mark.parametrize("fits_in_scope", [slow(False), True])
def test_under_a_mirrored_strategy(evolution, fits_in_scope, two_devices):
    with two_devices.scope():
        model = convnet()
    options = {"layers": ["conv2"], "features": {"conv2": [4, 1]}}
    weights, callback = Weights(), evolution(**options)
    if fits_in_scope:
        with two_devices.scope():
            fit(model, [callback, weights], batch_size=6)
    else:
        fit(model, [callback, weights], batch_size=6)
    then = convnet()
    snapshots = FeatureSnapshots(then, **options)
    for epoch in (1, 2):
        then.set_weights(weights.of_epochs[epoch])
        assert_same_features(callback.files.load(epoch).features, snapshots.take(IMAGES))


def test_every_kind_of_images_gives_the_same(evolution, tmp_path):
    for number, photograph in enumerate(pixels()):
        Image.fromarray(photograph).save(tmp_path / f"{number:02}.png")
    kinds = {
        "array": IMAGES,
        "folder": kv.data.ImageFolder(tmp_path, SIZE),
        "dataset": tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(8),
        "list": [IMAGES[:4], IMAGES[4:]],
    }
    snapshots = FeatureSnapshots(convnet(), LAYERS, FEATURES)
    expected = snapshots.take(IMAGES)
    for images in kinds.values():
        assert_same_features(snapshots.take(evolution(images=images).images), expected)


def test_features_are_drawn_where_none_are_given(evolution):
    callback = evolution(features={"conv2": [1]}, num_features=2)
    begin(callback, convnet(), 0)
    features = callback._snapshots.feature_indices
    assert len(set(features["conv1"].tolist())) == 2
    assert features["conv2"].tolist() == [1]


def test_a_run_that_diverges_is_not_stopped(evolution):
    class Diverge(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            kernel = self.model.get_layer("conv1").kernel
            kernel.assign(np.full(kernel.shape, np.nan))

    callback = evolution(epochs=(1,))
    sentence = "No snapshot was taken after epoch 1: The weights of layer 'conv1' contain NaN"
    with pytest.warns(UserWarning, match=sentence):
        history = fit(convnet(), [callback, Diverge()])
    assert len(history.epoch) == 2
    assert callback.files.epochs() == []


def test_tensorboard_gets_the_figure_of_every_layer(recorded, tmp_path):
    snapshot = SnapshotFiles(tmp_path / "evolution").load(2)
    export_features(snapshot.features, 2, tmp_path / "events")
    (path,) = (tmp_path / "events").iterdir()
    events = [
        tf.compat.v1.Event.FromString(record.numpy()) for record in tf.data.TFRecordDataset([path])
    ]
    shown = {value.tag: (event.step, value) for event in events for value in event.summary.value}
    assert set(shown) == {"features/conv1", "features/conv2"}
    step, value = shown["features/conv2"]
    assert step == 2
    assert value.metadata.plugin_data.plugin_name == "images"
    width, height, png = tf.make_ndarray(value.tensor)
    pixels = tf.io.decode_png(png).numpy()
    assert pixels.shape == (int(height), int(width), 4)
    canvas = FigureCanvasAgg(feature_grid(snapshot.features["conv2"]))
    canvas.draw()
    np.testing.assert_array_equal(pixels, canvas.buffer_rgba())


@pytest.mark.slow
def test_snapshots_without_patches_are_the_same_else(recording, evolution, tmp_path):
    log_dir = tmp_path / "events"
    fit(convnet(), [evolution(with_patches=False, tensorboard=log_dir)])
    shown = kv.analyses.load_evolution(tmp_path / "evolution")
    expected = kv.analyses.load_evolution(recording[0])
    for layer in LAYERS:
        for name, array in dataclasses.asdict(shown[layer]).items():
            if name == "patches":
                assert array.shape == (*expected[layer].patches.shape[:2], 0, 0, 3)
            else:
                np.testing.assert_array_equal(array, getattr(expected[layer], name))
    for path in (tmp_path / "evolution").iterdir():
        assert path.stat().st_size < (recording[0] / path.name).stat().st_size
    assert list(log_dir.iterdir())


def test_snapshots_with_and_without_patches_are_not_mixed(evolution, recorded):
    callback = evolution(with_patches=False, epochs=(1, 2, 3))
    with pytest.raises(ValueError, match=r"epoch_0001\.npz was made with other patches: give"):
        fit(recorded, [callback], epochs=3, initial_epoch=2)


@pytest.mark.parametrize("epochs", [(), (0, 1), 5, (1.5,)])
def test_epochs_that_are_none(evolution, epochs):
    with pytest.raises(ValueError, match=r"numbers of epochs, from 1\. Received: epochs="):
        evolution(epochs=epochs)


def test_images_that_can_be_read_once_only(evolution):
    with pytest.raises(ValueError, match=r"read only once|does not say whether it has an end"):
        evolution(images=(batch for batch in [IMAGES]))


def test_images_that_are_shuffled(evolution):
    shuffled = tf.data.Dataset.from_tensor_slices(IMAGES).shuffle(NUM_IMAGES).batch(4)
    with pytest.raises(ValueError, match="or their order change"):
        evolution(images=shuffled)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"layers": ["conv3"], "features": None}, "The model has no layer 'conv3'"),
        ({"layers": [], "features": None}, "layers=\\[\\]"),
        ({"layers": ["conv1"]}, "features contains 'conv2', but the layers are conv1: add it"),
        ({"features": [1, 2]}, r"Give a dict from layers to .* Received: features=\[1, 2\]"),
        ({"features": {"conv1": [4]}}, "Feature 4 is not in the layer, which has 4 "),
    ],
)
def test_what_does_not_fit_is_refused_before_training(evolution, options, sentence):
    weights = Weights()
    with pytest.raises(ValueError, match=sentence):
        fit(convnet(), [weights, evolution(**options)])
    assert getattr(weights, "of_epochs", {}) == {}


def test_a_folder_that_cannot_be_written_to(evolution, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"cannot be written to \(Not a directory\): give another"):
        fit(convnet(), [evolution(directory=tmp_path / "file" / "evolution")])


def test_a_full_disk_leaves_what_was_saved(recorded, evolution, monkeypatch):
    def full(file, **arrays):
        file.write(b"PK")
        raise OSError(28, "No space left on device")

    callback = evolution(epochs=(2, 3))
    before = callback.files.filepath(2).read_bytes()
    begin(callback, recorded, 2)
    monkeypatch.setattr(np, "savez_compressed", full)
    sentence = r"epoch_0003\.npz cannot be written \(No space left on device\): make room"
    with pytest.raises(ValueError, match=sentence):
        callback.on_epoch_end(2)
    names = sorted(path.name for path in callback.files.directory.iterdir())
    assert names == ["epoch_0001.npz", "epoch_0002.npz"]
    assert callback.files.filepath(2).read_bytes() == before


def test_settings_in_the_file_are_plain(recorded, tmp_path):
    with np.load(tmp_path / "evolution" / "epoch_0002.npz", allow_pickle=False) as file:
        settings = json.loads(str(file["settings"]))
        assert file["epoch"] == 2
    assert settings["feature maps"] == FEATURES
    assert settings["layers"] == list(LAYERS)
