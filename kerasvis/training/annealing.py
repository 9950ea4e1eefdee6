"""Lowering the learning rate when the validation error stops improving."""

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path

import keras

from kerasvis.storage.results import Result


@dataclasses.dataclass(frozen=True, eq=False)
class AnnealingRecord(Result):
    """What `AnnealOnPlateau` has measured and done.

    Attributes:
        values: of the measure, one per epoch.
        learning_rates: after each of these epochs.
    """

    values: tuple[float, ...]
    learning_rates: tuple[float, ...]


class AnnealOnPlateau(keras.callbacks.Callback):
    """Multiplies the learning rate by `factor` when a measure has not improved for some epochs.

    What it does follows from the measured values alone, so a run which is interrupted goes on as
    if nothing had happened: give a `filepath`, and place it before `BackupAndRestore` or whatever
    saves the model. `kerasvis.training.fit` needs no file.

    Args:
        monitor: name of the measure among the logs of an epoch.
        mode: `"max"` if larger values are better, `"min"` if smaller ones are.
        factor: on the learning rate, in (0, 1).
        patience: epochs without improvement before it is lowered; afterwards the count begins
            anew.
        min_change: what counts as an improvement has to exceed the best value by more than this.
        min_learning_rate: the learning rate is not lowered below it.
        filepath: `.npz` file to keep the values in, or None.

    Raises:
        ValueError: if an argument is outside its range, the optimiser has a schedule of its own,
            the logs do not hold the measure, or the file does not fit the run.

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
            raise ValueError(f"mode is {mode!r}: give 'max' or 'min'.")
        if not 0 < factor < 1:
            raise ValueError(f"factor is {factor}: give one above 0 and below 1.")
        if patience < 1:
            raise ValueError(f"patience is {patience}: give a number of epochs, 1 or more.")
        self.monitor = monitor
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.min_change = min_change
        self.min_learning_rate = min_learning_rate
        self.filepath = None if filepath is None else Path(filepath)
        self.values = []
        self.learning_rates = []

    @property
    def best(self) -> float:
        """The best value so far; the worst possible one before the first epoch."""
        return self._best_and_wait()[0]

    @property
    def wait(self) -> int:
        """Epochs since the last improvement or lowering."""
        return self._best_and_wait()[1]

    def go_on(self, values: Sequence[float], learning_rates: Sequence[float]) -> None:
        """Takes up an earlier run.

        Args:
            values: of the measure, one per epoch.
            learning_rates: after each of these epochs; the last one becomes the optimiser's when
                the next epoch begins.
        """
        self.values = [float(value) for value in values]
        self.learning_rates = [float(rate) for rate in learning_rates]

    def on_train_begin(self, logs: dict | None = None) -> None:
        if isinstance(
            self.model.optimizer._learning_rate, keras.optimizers.schedules.LearningRateSchedule
        ):
            raise ValueError(
                "The optimiser has a learning rate schedule, which nothing else can change: give "
                "it a number, or leave AnnealOnPlateau out."
            )
        if self.filepath is not None and self.filepath.exists():
            self._read()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Forgets epochs that are run again, and continues with the learning rate of this one."""
        if epoch > len(self.values):
            raise ValueError(
                f"Epoch {epoch + 1} begins, but AnnealOnPlateau knows of {len(self.values)} "
                "epochs: place it before the callback that saves the model, with a filepath."
            )
        self.go_on(self.values[:epoch], self.learning_rates[:epoch])
        if self.learning_rates:
            self.model.optimizer.learning_rate = self.learning_rates[-1]

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.values.append(self._measured(logs or {}))
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        if self._lowers_now():
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
                f"{self.filepath} is not a record of AnnealOnPlateau: delete it, or give another "
                f"filepath. {error}"
            ) from error
        self.go_on(record.values, record.learning_rates)

    def _measured(self, logs):
        if self.monitor not in logs:
            raise ValueError(
                f"The epoch's logs hold {', '.join(sorted(logs)) or 'nothing'}, but not "
                f"{self.monitor!r}: give monitor one of these, or validation data to fit."
            )
        return float(logs[self.monitor])

    def _lowers_now(self):
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
