import re

import keras
import numpy as np
import pytest

from kerasvis.training import AnnealOnPlateau


class Stub:
    """Stands for a model: only its optimiser's learning rate counts."""

    def __init__(self, learning_rate=1.0):
        self.optimizer = keras.optimizers.SGD(learning_rate)


def rates_after(annealing, values, model=None, first_epoch=0):
    """The learning rate after each epoch that ends with these values."""
    model = model or Stub()
    annealing.set_model(model)
    annealing.on_train_begin()
    rates = []
    for epoch, value in enumerate(values, start=first_epoch):
        annealing.on_epoch_begin(epoch)
        annealing.on_epoch_end(epoch, {annealing.monitor: value})
        rates.append(float(np.array(model.optimizer.learning_rate)))
    return rates


def rates_oracle(values, factor, patience):
    """Written forward, with a state; larger is better."""
    best, since, rate, rates = -1e9, 0, 1.0, []
    for value in values:
        if value > best:
            best, since = value, 0
        else:
            since += 1
        if since == patience:
            rate, since = rate * factor, 0
        rates.append(rate)
    return rates


VALUES = [0.1, 0.3, 0.3, 0.2, 0.4, 0.35, 0.4, 0.39, 0.1, 0.2, 0.41, 0.3]


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_against_the_oracle(patience):
    rates = rates_after(AnnealOnPlateau(factor=0.5, patience=patience), VALUES)
    assert rates == rates_oracle(VALUES, 0.5, patience)
    assert len(set(rates)) > 1


def test_smaller_is_better():
    annealing = AnnealOnPlateau("val_loss", "min", factor=0.5, patience=2)
    losses = [1 - value for value in VALUES]
    assert rates_after(annealing, losses) == rates_oracle(VALUES, 0.5, 2)
    assert annealing.best == min(losses)


def test_min_change_and_min_learning_rate():
    annealing = AnnealOnPlateau(factor=0.1, patience=1, min_change=0.125, min_learning_rate=0.05)
    assert rates_after(annealing, [0.5, 0.6, 0.75, 0.875, 0.9]) == pytest.approx(
        [1, 0.1, 0.1, 0.05, 0.05]
    )


def test_survives_restarts_at_any_epoch(tmp_path):
    whole = rates_after(AnnealOnPlateau(factor=0.5, patience=2), VALUES)
    for stop in range(1, len(VALUES)):
        filepath = tmp_path / f"annealing-{stop}.json"

        def annealing(filepath=filepath):
            return AnnealOnPlateau(factor=0.5, patience=2, filepath=filepath)

        model = Stub()
        before = rates_after(annealing(), VALUES[:stop], model)
        after = annealing()
        # The model's own rate is wrong on purpose: the callback knows better.
        assert before + rates_after(after, VALUES[stop:], Stub(7.0), stop) == whole
        assert after.best == max(VALUES)


def test_an_epoch_that_is_run_again_counts_once(tmp_path):
    options = {"factor": 0.5, "patience": 2, "filepath": tmp_path / "annealing.json"}
    whole = rates_after(AnnealOnPlateau(factor=0.5, patience=2), VALUES)
    rates_after(AnnealOnPlateau(**options), VALUES[:7])
    assert rates_after(AnnealOnPlateau(**options), VALUES[4:], first_epoch=4) == whole[4:]


@pytest.mark.slow
def test_in_a_plain_fit_that_is_backed_up(tmp_path):
    """Interrupted and restarted, the learning rates are those of one run."""
    images, labels = np.ones((8, 3), "float32"), np.zeros(8)

    def fit(folder, stop_at=None):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.5), "mse", metrics=["mae"])
        annealing = AnnealOnPlateau(
            "noise", "min", patience=1, factor=0.5, filepath=folder / "annealing.json"
        )
        rates = {}

        class Noise(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                logs["noise"] = VALUES[epoch]

        class Interrupt(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                rates[epoch] = float(np.array(self.model.optimizer.learning_rate))
                if epoch == stop_at:
                    raise KeyboardInterrupt

        backup = keras.callbacks.BackupAndRestore(folder / "backup")
        callbacks = [Noise(), annealing, Interrupt(), backup]
        model.fit(images, labels, epochs=6, callbacks=callbacks, verbose=0)
        return rates

    (tmp_path / "whole").mkdir(), (tmp_path / "parts").mkdir()
    whole = fit(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "parts", stop_at=4)
    assert fit(tmp_path / "parts") == {epoch: whole[epoch] for epoch in (4, 5)}
    assert whole[5] < whole[0]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mode": "auto"}, "Give 'max' or 'min'. Received: mode='auto'"),
        ({"factor": 1}, "above 0 and below 1. Received: factor=1"),
        ({"patience": 0}, "1 or more. Received: patience=0"),
    ],
)
def test_refused_arguments(options, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        AnnealOnPlateau(**options)


def test_a_metric_that_is_missing():
    annealing = AnnealOnPlateau("val_acuracy")
    annealing.set_model(Stub())
    annealing.on_epoch_begin(0)
    with pytest.raises(
        ValueError, match=r"contain loss, val_loss: .* Received: monitor='val_acuracy'"
    ):
        annealing.on_epoch_end(0, {"val_loss": 1.0, "loss": 1.0})


def test_a_schedule_of_the_optimisers_own():
    model = Stub(keras.optimizers.schedules.CosineDecay(0.1, 10))
    with pytest.raises(ValueError, match="cannot change a learning rate schedule"):
        rates_after(AnnealOnPlateau(), [0.1], model)


def test_a_beginning_that_is_not_known():
    with pytest.raises(ValueError, match=r"before epoch 4: .* Received: a record of 0 epochs"):
        rates_after(AnnealOnPlateau(), [0.1], first_epoch=3)


def test_a_damaged_file(tmp_path):
    filepath = tmp_path / "annealing.json"
    filepath.write_text('{"values": [1')
    with pytest.raises(ValueError, match=r"not a record of AnnealOnPlateau: .*annealing\.json"):
        rates_after(AnnealOnPlateau(filepath=filepath), [0.1])
