import csv
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasvis as kv
from kerasvis.callbacks import FilterDiagnosis

SIZE = (13, 10)
NUM_IMAGES = 60
NUM_FILTERS = {"conv1": 8, "conv2": 6}
IMAGES = np.random.default_rng(0).uniform(0, 255, (NUM_IMAGES, *SIZE, 3)).astype("float32")
LABELS = np.arange(NUM_IMAGES) % 3


def convnet(learning_rate=0.0):
    """Without a learning rate, what is planted stays."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            layers.Rescaling(1 / 128, offset=-1),
            layers.Conv2D(8, 3, activation="relu", padding="same", name="conv1"),
            layers.MaxPooling2D(2),
            layers.Conv2D(6, 3, bias_initializer=keras.initializers.Constant(3), name="conv2"),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.SGD(learning_rate, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    return model


def fit(model, callbacks, epochs=2, **options):
    options = {"x": IMAGES, "y": LABELS, "batch_size": 20, "verbose": 0} | options
    return model.fit(epochs=epochs, callbacks=callbacks, **options)


def plant(model, layer, *, dead=(), dominant=(), duplicate=(), dead_map=(), broken=()):
    """Faults in filters of a layer, each of another filter."""
    kernel, bias = (weights.numpy() for weights in model.get_layer(layer).weights)
    kernel[..., list(dead)] = 0
    kernel[..., list(dominant)] *= 30
    for number in duplicate:
        kernel[..., number] = 1.7 * kernel[..., 0]
    bias[list(dead_map)] = -1e6
    kernel[0, 0, 0, list(broken)] = np.nan
    model.get_layer(layer).set_weights([kernel, bias])


class PlantAfter(keras.callbacks.Callback):
    """Plants faults at the beginning of the epoch after some."""

    def __init__(self, epoch, layer, **faults):
        super().__init__()
        self.epoch, self.layer, self.faults = epoch, layer, faults

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            plant(self.model, self.layer, **self.faults)


def table(filepath):
    with filepath.open() as file:
        return list(csv.DictReader(file))


FAULTS = {"dead": [5], "dominant": [2, 7], "duplicate": [3], "dead_map": [1, 4, 6]}
COUNTS = {"dead_filters": 1, "dominant_filters": 2, "duplicate_filters": 1}


def test_nothing_is_found_where_nothing_was_planted(capsys):
    history = fit(convnet(), [FilterDiagnosis(IMAGES)]).history
    for name in COUNTS | {"dead_maps": 0}:
        assert history[name] == [0, 0]
    assert capsys.readouterr().out == ""


def test_what_was_planted_is_counted_layer_by_layer(tmp_path, capsys):
    model = convnet()
    plant(model, "conv1", **FAULTS)
    diagnosis = FilterDiagnosis(IMAGES, filepath=tmp_path / "new" / "filters.csv")
    history = fit(model, [diagnosis]).history
    dead_maps = 3 + 1  # a filter of zeros has a map of zeros, too
    for name, count in (COUNTS | {"dead_maps": dead_maps}).items():
        assert history[name] == [count, count]
    rows = table(tmp_path / "new" / "filters.csv")
    assert [(row["epoch"], row["layer"]) for row in rows] == [
        (epoch, layer) for epoch in "12" for layer in NUM_FILTERS
    ]
    for row in rows:
        planted = row["layer"] == "conv1"
        assert int(row["num_filters"]) == NUM_FILTERS[row["layer"]]
        for name, count in (COUNTS | {"dead_maps": dead_maps}).items():
            assert int(row[name]) == count * planted
        kernel = model.get_layer(row["layer"]).kernel.numpy()
        rms = np.sqrt((kernel**2).mean(axis=(0, 1, 2)))
        dominance = rms.max() / np.median(rms[rms > 0])
        np.testing.assert_allclose(float(row["dominance"]), dominance, rtol=1e-5)
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 1  # nothing has become worse in the second epoch
    assert "Epoch 1: conv1 (8 filters) has 1 filter with weights near zero" in told[0]
    assert "2 dominant filters" in told[0]
    assert "conv2" not in told[0]


def test_one_line_when_something_goes_wrong(capsys):
    callbacks = [FilterDiagnosis(IMAGES), PlantAfter(2, "conv2", dead_map=[0, 3])]
    history = fit(convnet(), callbacks, epochs=4).history
    assert history["dead_maps"] == [0, 0, 2, 2]
    assert capsys.readouterr().out == "Epoch 3: conv2 (6 filters) has 2 dead feature maps\n"
    fit(convnet(), [FilterDiagnosis(IMAGES, verbose=0), PlantAfter(0, "conv2", dead=[1])])
    assert capsys.readouterr().out == ""


def test_without_images_filters_alone(tmp_path):
    model = convnet()
    plant(model, "conv2", **FAULTS | {"dominant": [2], "dead_map": [1]})
    diagnosis = FilterDiagnosis(layers="conv2", filepath=tmp_path / "filters.csv", verbose=0)
    history = fit(model, [diagnosis], epochs=1).history
    assert history["dead_filters"] == history["dominant_filters"] == [1]
    assert "dead_maps" not in history
    (row,) = table(tmp_path / "filters.csv")
    assert (row["layer"], row["dead_maps"]) == ("conv2", "")


def test_weights_that_diverge_are_told_and_do_not_stop_the_training(capsys, tmp_path):
    callbacks = [
        FilterDiagnosis(IMAGES, filepath=tmp_path / "filters.csv"),
        PlantAfter(1, "conv1", broken=[2]),
    ]
    history = fit(convnet(), callbacks, epochs=3).history
    assert history["dead_filters"][0] == 0
    assert all(math.isnan(value) for value in history["dead_filters"][1:])
    assert "Epoch 2: conv1 (8 filters) has 1 filter that is NaN" in capsys.readouterr().out
    assert [row["dead_maps"] for row in table(tmp_path / "filters.csv")] == ["0"] * 2 + [""] * 4


def test_training_is_bit_identical_with_and_without(tmp_path):
    def trained(callbacks):
        model = convnet(learning_rate=0.02)
        losses = fit(model, callbacks).history["loss"]
        return losses, [v.numpy() for v in [*model.variables, *model.optimizer.variables]]

    options = {"filepath": tmp_path / "filters.csv", "tensorboard": tmp_path / "events"}
    watched, plain = trained([FilterDiagnosis(IMAGES, **options)]), trained([])
    assert watched[0] == plain[0]
    for actual, expected in zip(watched[1], plain[1], strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.slow
@pytest.mark.parametrize("fits_in_scope", [False, True])
def test_under_a_mirrored_strategy(two_devices, tmp_path, fits_in_scope):
    with two_devices.scope():
        model = convnet()
        plant(model, "conv1", **FAULTS)
    diagnosis = FilterDiagnosis(IMAGES, filepath=tmp_path / "filters.csv", verbose=0)
    if fits_in_scope:
        with two_devices.scope():
            history = fit(model, [diagnosis]).history
    else:
        history = fit(model, [diagnosis]).history
    for name, count in (COUNTS | {"dead_maps": 4}).items():
        assert history[name] == [count, count]
    assert [row["dead_maps"] for row in table(tmp_path / "filters.csv")] == ["4", "0"] * 2


class StoppedError(Exception):
    pass


class StopAfter(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 3:
            raise StoppedError


@pytest.mark.slow
def test_goes_on_after_a_crash(tmp_path, capsys):
    def run(*more):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        diagnosis = FilterDiagnosis(IMAGES, filepath=tmp_path / "filters.csv")
        planted = PlantAfter(1, "conv1", dead=[4])
        return fit(convnet(), [backup, diagnosis, planted, *more], epochs=5).history

    with pytest.raises(StoppedError):
        run(StopAfter())
    before = table(tmp_path / "filters.csv")
    assert [row["epoch"] for row in before] == ["1", "1", "2", "2", "3", "3"]
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert run()["dead_filters"] == [1, 1]
    rows = table(tmp_path / "filters.csv")
    assert rows[:6] == before
    assert [row["epoch"] for row in rows[6:]] == ["4", "4", "5", "5"]
    assert capsys.readouterr().out == ""  # it was told before the crash


def test_a_training_that_begins_anew_begins_a_new_table(tmp_path):
    model, diagnosis = convnet(), FilterDiagnosis(filepath=tmp_path / "filters.csv")
    fit(model, [diagnosis])
    fit(model, [diagnosis], epochs=3, initial_epoch=2)
    assert [row["epoch"] for row in table(tmp_path / "filters.csv")][::2] == ["1", "2", "3"]
    fit(model, [diagnosis], epochs=1)
    assert [row["epoch"] for row in table(tmp_path / "filters.csv")] == ["1", "1"]


def test_curves_in_tensorboard(tmp_path):
    model = convnet()
    plant(model, "conv1", **FAULTS)
    fit(model, [FilterDiagnosis(IMAGES, tensorboard=tmp_path / "events", verbose=0)])
    points = {}
    for path in sorted((tmp_path / "events").iterdir()):
        for record in tf.data.TFRecordDataset([path]):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                points[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    for step in (1, 2):
        assert points["filters/conv1/dominant_filters", step] == 2
        assert points["filters/conv2/dead_maps", step] == 0
    assert len(points) == 2 * 2 * 6


def test_other_callbacks_see_the_counts(tmp_path):
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    fit(convnet(), [FilterDiagnosis(), log, PlantAfter(1, "conv1", dead=[1, 2])])
    assert [float(row["dead_filters"]) for row in table(tmp_path / "log.csv")] == [0, 2]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"layers": ["conv3"]}, "'conv3' is not a convolution layer.*conv1, conv2"),
        ({"images": IMAGES[:20]}, "too few images.*at least 50.*Received: 20 images"),
        ({"images": np.zeros((60, 5, 5, 3))}, "5"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(options, sentence):
    model = convnet(learning_rate=0.1)
    before = model.get_weights()
    with pytest.raises(ValueError, match=sentence):
        fit(model, [FilterDiagnosis(**options)])
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_table_is_left_alone(tmp_path):
    (tmp_path / "log.csv").write_text("epoch,loss\n0,1.5\n")
    with pytest.raises(ValueError, match="not written by FilterDiagnosis"):
        fit(convnet(), [FilterDiagnosis(filepath=tmp_path / "log.csv")])
    assert (tmp_path / "log.csv").read_text() == "epoch,loss\n0,1.5\n"


def test_what_is_found_is_what_diagnose_filters_finds():
    model = convnet()
    plant(model, "conv1", **FAULTS)
    found = kv.diagnose_filters(model, IMAGES, verbose=0)
    history = fit(model, [FilterDiagnosis(IMAGES, "conv1", verbose=0)], epochs=1).history
    assert history["dead_filters"] == [found.first.is_weak.sum()]
    assert history["dead_maps"] == [found.first.is_rare.sum()]
