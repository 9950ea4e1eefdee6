import re

import keras
import numpy as np
import pytest

from kerasvis.callbacks import FeatureEvolution
from kerasvis.data.labelled.sub_crops import ten_crops
from kerasvis.storage.files import read_npz
from kerasvis.storage.parts import JOURNAL
from kerasvis.training import Checkpoint, Recipe, RMSLimit, describe_run, filter_rms, fit
from tests.marks import slow
from tests.training.small_runs import (
    CROP_SIZE,
    IMAGE_SIZE,
    small_convnet,
    small_images,
    small_recipe,
)

TIMES = ("seconds", "waiting_for_data")
TRAIN, VALIDATION = small_images(37), small_images(11, seed=1)


class Interrupt(keras.callbacks.Callback):
    """Ends the process, as far as Python can, within step `step` of epoch `epoch` (from 0)."""

    def __init__(self, epoch, step):
        super().__init__()
        self.at = (epoch, step)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise KeyboardInterrupt


def train(recipe=None, directory=None, callbacks=(), model=None):
    model = model or small_convnet()
    recipe = recipe or small_recipe()
    options = {"directory": directory, "callbacks": callbacks, "verbose": 0}
    history = fit(model, TRAIN, VALIDATION, recipe, **options)
    return model, history


def measures(history):
    return {name: values for name, values in history.history.items() if name not in TIMES}


def assert_same_weights(model, other):
    for array, other_array in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(array, other_array)


@pytest.fixture(scope="module")
def uninterrupted():
    return train()


def test_history_of_a_run(uninterrupted):
    model, history = uninterrupted
    assert history.epoch == [0, 1, 2, 3, 4]
    assert {len(values) for values in history.history.values()} == {5}
    names = {"loss", "top_1", "top_5", "learning_rate", *TIMES}
    assert set(history.history) == names | {"val_loss", "val_top_1", "val_top_5"}
    assert history.history["learning_rate"][0] == pytest.approx(0.005)
    assert history.history["learning_rate"][-1] < 0.005  # there was a plateau
    assert history.model.name == model.name


def test_the_recipe_is_put_into_the_model(uninterrupted):
    model, _ = uninterrupted
    assert model.get_layer("conv1").kernel_constraint.limit == 0.1
    assert float(np.max(filter_rms(model.get_layer("conv1").kernel))) <= 0.1 * (1 + 1e-6)
    assert model.get_layer("dropout6").rate == 0.5
    seen = np.concatenate(ten_crops(TRAIN.pixels, (CROP_SIZE, CROP_SIZE)))
    mean = np.array(model.get_layer("pixel_mean").mean)
    np.testing.assert_allclose(mean, seen.mean(axis=0, dtype="float64"), rtol=1e-5)


def test_is_a_plain_keras_fit(uninterrupted):
    """The same, written out with Keras alone, on the same batches."""
    from kerasvis.training.batches import training_batches

    model = small_convnet()
    recipe = small_recipe()
    seen = np.concatenate(ten_crops(TRAIN.pixels, (CROP_SIZE, CROP_SIZE)))
    model.get_layer("pixel_mean").adapt(seen)
    model.get_layer("conv1").kernel.constraint = RMSLimit(0.1)
    model.get_layer("dropout6").rate = 0.5
    model.compile(keras.optimizers.SGD(0.005, 0.9), "sparse_categorical_crossentropy")
    history = model.fit(
        training_batches(TRAIN, recipe), steps_per_epoch=3, epochs=1, shuffle=False, verbose=0
    )
    expected = uninterrupted[1].history["loss"][0]
    assert history.history["loss"][0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("epoch", "step"), [(1, 0), slow(0, 1), slow(4, 2)])
def test_interrupted_it_ends_where_it_would_have_ended(uninterrupted, tmp_path, epoch, step):
    """To the bit: weights, measures and learning rates."""
    with pytest.raises(KeyboardInterrupt):
        train(directory=tmp_path, callbacks=[Interrupt(epoch, step)])
    seen = []
    counter = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    model, history = train(directory=tmp_path, callbacks=[counter])
    assert seen == list(range(epoch, 5))  # none is lost but the one that was running
    assert measures(history) == measures(uninterrupted[1])
    assert_same_weights(model, uninterrupted[0])
    rows = [line.split(",") for line in (tmp_path / "history.csv").read_text().splitlines()]
    assert rows[0][:3] == ["epoch", "loss", "top_1"]
    assert [row[0] for row in rows[1:]] == ["1", "2", "3", "4", "5"]
    losses = [float(row[1]) for row in rows[1:]]
    assert losses == pytest.approx(measures(history)["loss"], rel=1e-5)


@pytest.mark.slow
def test_cosine_goes_on(tmp_path):
    recipe = small_recipe(annealing="cosine", nesterov=True, weight_decay=5e-3)
    model, history = train(recipe)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path, [Interrupt(2, 1)])
    again, history_again = train(recipe, tmp_path)
    assert measures(history_again) == measures(history)
    assert_same_weights(model, again)
    expected = 0.005 * (1 + np.cos(np.pi * np.arange(5) / 5)) / 2
    np.testing.assert_allclose(history.history["learning_rate"], expected, rtol=1e-5)


def test_a_finished_run_is_not_trained_again(tmp_path):
    model, history = train(directory=tmp_path)
    again, history_again = train(directory=tmp_path, callbacks=[Interrupt(0, 0)])
    assert history_again.history == history.history
    assert_same_weights(model, again)


def test_another_run_is_refused(tmp_path):
    train(small_recipe(epochs=1), tmp_path)

    def sentence(model=None, train_on=TRAIN, validation=VALIDATION, **changes):
        recipe = small_recipe(**{"epochs": 1} | changes)
        with pytest.raises(ValueError, match=re.escape(str(tmp_path))) as error:
            fit(model or small_convnet(), train_on, validation, recipe, directory=tmp_path)
        return str(error.value)

    assert "other recipe, learning_rate (0.005 there, 0.1 here)" in sentence(learning_rate=0.1)
    assert "other training data, images (37 there, 36 here)" in sentence(train_on=small_images(36))
    assert "other training data, digest" in sentence(train_on=small_images(37, seed=2))
    assert "other validation data, digest" in sentence(validation=small_images(11))
    model = small_convnet()
    model.get_layer("fc6").activation = keras.activations.tanh
    assert "other model, layer 5, a Dense:" in sentence(model)


def test_damaged_state_is_refused(tmp_path):
    train(small_recipe(epochs=1), tmp_path)
    state, journal = (tmp_path / "checkpoint" / name for name in ("state.npz", JOURNAL))
    state.write_bytes(state.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"state\.npz is damaged: delete .*give another directory"):
        train(small_recipe(epochs=1), tmp_path)
    journal.write_text("{")
    with pytest.raises(ValueError, match=rf"{JOURNAL} is damaged.*: delete the folder"):
        train(small_recipe(epochs=1), tmp_path)


@pytest.mark.slow
def test_two_devices_go_on_too(tmp_path, two_devices):
    def model():
        with two_devices.scope():
            return small_convnet(has_norm=False)

    recipe = small_recipe(epochs=2)
    whole, history = train(recipe, model=model())
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path, [Interrupt(1, 1)], model())
    again, history_again = train(recipe, tmp_path, model=model())
    for name, values in measures(history).items():
        assert history_again.history[name] == pytest.approx(values, rel=1e-5)
    for array, other in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-4, atol=1e-6)


def test_small_images_recipe():
    recipe = Recipe.for_small_images(IMAGE_SIZE, epochs=2, batch_size=16)
    model = keras.Sequential(
        [
            keras.Input((IMAGE_SIZE, IMAGE_SIZE, 3)),
            keras.layers.Conv2D(2, 3, kernel_initializer=recipe.kernel_initializer),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    history = fit(model, TRAIN, VALIDATION, recipe, verbose=0)
    assert len(history.history["loss"]) == 2
    assert model.layers[0].kernel_constraint is None
    assert model.optimizer.nesterov
    assert model.optimizer.weight_decay == 5e-3


def test_what_does_not_fit_together_is_refused():
    model, shifted = small_convnet(), TRAIN._replace(labels=TRAIN.labels + 1)
    cases = [
        (TRAIN, VALIDATION, {"crop_size": 13}, "Received: a model .* takes images of 12×12"),
        (TRAIN, VALIDATION, {"image_size": 16}, "training images, .* Received: images of 14×14"),
        (TRAIN, small_images(0), {}, "at least one validation image. Received: 0 images"),
        (shifted, VALIDATION, {}, "3 classes: give training labels .* Received: labels from 1 to"),
    ]
    for train_on, validation, changes, sentence in cases:
        with pytest.raises(ValueError, match=sentence):
            fit(model, train_on, validation, small_recipe(**changes))


@pytest.mark.slow
def test_drop_variables(tmp_path):
    recipe = small_recipe(epochs=1)
    model, history = train(recipe, tmp_path)
    run = describe_run(model, recipe, TRAIN, VALIDATION)
    with Checkpoint(tmp_path, run) as checkpoint:
        checkpoint.drop_variables()
    assert Checkpoint(tmp_path).history == history.history
    assert read_npz(tmp_path / "checkpoint" / "state.npz", "a history").keys() == {"history"}


@pytest.mark.slow
@pytest.mark.parametrize("while_saving", [True, slow(False)])
def test_the_evolution_of_features_has_no_gap(tmp_path, while_saving):
    """Killed within an epoch, or between the epoch's snapshot and its state."""
    recipe = small_recipe(epochs=3)

    def evolution():
        probe = TRAIN.pixels[:9, :CROP_SIZE, :CROP_SIZE].astype("float32")
        return FeatureEvolution(
            ["conv1"], probe, epochs=(1, 2, 3), directory=tmp_path / "evolution"
        )

    class Interrupted(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    interrupt = Interrupted() if while_saving else Interrupt(1, 1)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path, [evolution(), interrupt])
    train(recipe, tmp_path, [evolution()])
    names = sorted(path.name for path in (tmp_path / "evolution").iterdir())
    assert names == ["epoch_0001.npz", "epoch_0002.npz", "epoch_0003.npz"]
