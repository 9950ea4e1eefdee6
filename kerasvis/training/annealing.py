"""Lowers the learning rate when the validation error stops improving."""

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path

import keras

from kerasvis.storage.counted import counted
from kerasvis.storage.results import Result


@dataclasses.dataclass(frozen=True, eq=False)
class AnnealingRecord(Result):
    """The record of `AnnealOnPlateau`.

    Attributes:
        values: the metric's values, one per epoch.
        learning_rates: the learning rate after each of these epochs.
    """

    values: tuple[float, ...]
    learning_rates: tuple[float, ...]


class AnnealOnPlateau(keras.callbacks.Callback):
    """Multiplies the learning rate by `factor` when a metric has not improved for some epochs.

    The callback depends on the metric's values alone, so an interrupted run resumes without a
    difference: give a `filepath`, and place the callback before `BackupAndRestore` or another
    callback that saves the model. `kerasvis.training.fit` needs no file.

    Args:
        monitor: name of the metric in the logs of an epoch.
        mode: `"max"` if larger values are better, `"min"` if smaller ones are.
        factor: multiplier of the learning rate, in (0, 1).
        patience: epochs without improvement before it is lowered; the count then starts again.
        min_change: an improvement must exceed the best value by more than this.
        min_learning_rate: lower bound of the learning rate.
        filepath: `.npz` file for the values, or None.

    Raises:
        ValueError: if an argument is out of range, the optimiser has a learning rate schedule, the
            metric is missing from the logs, or the file does not fit the run.

    Reference:
        Zeiler & Fergus 2013, Section 3. Deviation: the paper lowers the rate by hand and states
        no factor; a rule makes runs repeatable.

    Example:
        >>> import keras, numpy as np
        >>> import kerasvis as kv
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> annealing = kv.training.AnnealOnPlateau(
        ...     "val_loss", "min", patience=3, filepath="annealing.npz"
        ... )
        >>> x, y = np.zeros((8, 4)), np.zeros((8, 1))  # nothing to improve
        >>> _ = model.fit(x, y, validation_split=0.5, epochs=5, callbacks=[annealing], verbose=0)
        >>> round(float(model.optimizer.learning_rate), 6)
        0.001
    """

    def __init__(
        self,
        monitor: str = "val_top_1",
        mode: str = "max",
        factor: float = 0.1,
        patience: int = 5,
        min_change: float = 0.0,
        min_learning_rate: float = 0.0,
        filepath: str | os.PathLike | None = None,
    ):
        super().__init__()
        if mode not in ("max", "min"):
            raise ValueError(f"Give 'max' or 'min'. Received: mode={mode!r}")
        if not 0 < factor < 1:
            raise ValueError(f"Give a factor above 0 and below 1. Received: factor={factor}")
        if patience < 1:
            raise ValueError(f"Give a number of epochs, 1 or more. Received: patience={patience}")
        self.monitor = monitor
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.min_change = min_change
        self.min_learning_rate = min_learning_rate
        self.filepath = None if filepath is None else Path(filepath)
        self.values: list[float] = []
        self.learning_rates: list[float] = []

    @property
    def best(self) -> float:
        """The best value so far; the worst possible value before the first epoch."""
        return self._best_and_wait()[0]

    @property
    def wait(self) -> int:
        """Epochs since the last improvement or change of the learning rate."""
        return self._best_and_wait()[1]

    def resume(self, values: Sequence[float], learning_rates: Sequence[float]) -> None:
        """Resumes an earlier run.

        Args:
            values: the metric's values, one per epoch.
            learning_rates: the learning rate after each of these epochs; the last one becomes the
                optimiser's when the next epoch begins.
        """
        self.values = [float(value) for value in values]
        self.learning_rates = [float(rate) for rate in learning_rates]

    def on_train_begin(self, logs: dict | None = None) -> None:
        if isinstance(
            self.model.optimizer._learning_rate, keras.optimizers.schedules.LearningRateSchedule
        ):
            raise ValueError(
                "AnnealOnPlateau cannot change a learning rate schedule: give the optimiser a "
                "number, or leave out AnnealOnPlateau. Received: a learning rate of type "
                f"{type(self.model.optimizer._learning_rate).__name__}"
            )
        if self.filepath is not None and self.filepath.exists():
            self._read()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Drops epochs that are repeated, and continues with the learning rate of this one."""
        if epoch > len(self.values):
            raise ValueError(
                f"AnnealOnPlateau has no record of the epochs before epoch {epoch + 1}: place it "
                "before the callback that saves the model, with a filepath. "
                f"Received: a record of {counted(len(self.values), 'epoch')}"
            )
        self.resume(self.values[:epoch], self.learning_rates[:epoch])
        if self.learning_rates:
            self.model.optimizer.learning_rate = self.learning_rates[-1]

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.values.append(self._measured(logs or {}))
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        if self._is_plateau():
            rate = max(rate * self.factor, self.min_learning_rate)
            self.model.optimizer.learning_rate = rate
        self.learning_rates.append(rate)
        if self.filepath is not None:
            AnnealingRecord(tuple(self.values), tuple(self.learning_rates)).save(self.filepath)

    def _read(self):
        try:
            record = AnnealingRecord.load(self.filepath)
        except ValueError as error:
            raise ValueError(
                "The file is not a record of AnnealOnPlateau: delete it, or give another "
                f"filepath. {error}"
            ) from error
        self.resume(record.values, record.learning_rates)

    def _measured(self, logs):
        if self.monitor not in logs:
            raise ValueError(
                f"The logs of the epoch contain {', '.join(sorted(logs)) or 'nothing'}: monitor "
                f"one of these, or pass fit validation data. Received: monitor={self.monitor!r}"
            )
        return float(logs[self.monitor])

    def _is_plateau(self):
        return self.values != [] and self._replay()[2]

    def _best_and_wait(self):
        return self._replay()[:2]

    def _replay(self):
        """Best value, epochs waited, and whether the last epoch lowered the rate."""
        sign = 1 if self.mode == "max" else -1
        best, wait, lowered = -math.inf, 0, False
        for value in self.values:
            improved = sign * value > best + self.min_change
            best = sign * value if improved else best
            wait = 0 if improved else wait + 1
            lowered = wait == self.patience
            wait = 0 if lowered else wait
        return sign * best, wait, lowered
