"""Figure 5 of the paper, monitored: dead, dominant and duplicate filters after each epoch."""

import csv
import importlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tqdm

from kerasvis.analyses.filters.filter_counts import FilterCounter, FilterCounts
from kerasvis.arguments import standardize_images, standardize_layers
from kerasvis.callbacks.new_thread import run_in_thread
from kerasvis.data import Preprocessing
from kerasvis.storage.files import write_text
from kerasvis.storage.text_files import read_text

FAULTS = {
    "dead_filters": ("filter with weights near zero", "filters with weights near zero"),
    "dominant_filters": ("dominant filter", "dominant filters"),
    "duplicate_filters": ("duplicate filter", "duplicate filters"),
    "dead_maps": ("dead feature map", "dead feature maps"),
    "not_finite": ("filter that is NaN or infinite", "filters that are NaN or infinite"),
}
COLUMNS = ("epoch", *FilterCounts._fields)
LOGGED = ("dead_filters", "dominant_filters", "duplicate_filters", "dead_maps")


class FilterDiagnosis(keras.callbacks.Callback):
    """Counts dead, dominant and duplicate filters and dead feature maps at the end of each epoch.

    The totals over all layers are added to `logs`, and so reach the `History` and the callbacks
    further down the list: `dead_filters`, `dominant_filters`, `duplicate_filters` and, if images
    are given, `dead_maps`. The counts of each layer are written to a CSV file and to TensorBoard on
    request. When a count has risen in any layer since the previous epoch, one line is printed.

    The callback does not change the training. It works under a `tf.distribute.MirroredStrategy`; if
    several processes train together, give it to the first one only. When interrupted training
    resumes (`keras.callbacks.BackupAndRestore`, or `initial_epoch`), the CSV file is continued;
    training from the start begins a new file.

    Args:
        images: images for finding dead feature maps, at least 50; 100 are enough. Anything that
            `kerasvis.arguments.standardize_images` takes and that can be read again in each epoch.
            A feature map that is active in at most 1 % of them is dead. None to examine the filters
            alone.
        layers: names of convolution layers, or one name; all by default.
        filepath: CSV file with a row for each epoch and layer; none by default.
        tensorboard: folder for TensorBoard event files, with a curve for each count and layer; none
            by default.
        preprocessing, steps: see `FeatureEvolution`.
        batch_size: images per step.
        verbose: 1 to print a line when a count has risen, 0 for silence.

    Raises:
        ValueError: at the start of training, if the model has no convolution, a named layer is not
            one, the images do not fit the model or are too few, or the file contains something
            else or cannot be written to.

    Reference:
        Zeiler & Fergus 2013, Sections 3 and 4.1 and Figure 5. Deviation: all convolution layers are
        examined, not only the first. The thresholds are those of `kerasvis.diagnose_filters`.

    Example:
        >>> import keras
        >>> from keras import layers
        >>> import kerasvis as kv
        >>> planted = kv.data.PlantedObjects(60, (32, 32))
        >>> model = keras.Sequential(
        ...     [keras.Input((32, 32, 3)), layers.Conv2D(4, 5, 4, activation="relu", name="a")]
        ...     + [layers.Flatten(), layers.Dense(8, activation="softmax")]
        ... )
        >>> model.compile("sgd", "sparse_categorical_crossentropy")
        >>> diagnosis = kv.callbacks.FilterDiagnosis(planted[:], filepath="filters.csv", verbose=0)
        >>> history = model.fit(planted[:], planted.labels, callbacks=[diagnosis], verbose=0)
        >>> sorted(history.history)[:3]
        ['dead_filters', 'dead_maps', 'dominant_filters']
    """

    def __init__(
        self,
        images: Any = None,
        layers: str | Sequence[str] | None = None,
        *,
        filepath: str | os.PathLike | None = None,
        tensorboard: str | os.PathLike | None = None,
        preprocessing: Any = None,
        batch_size: int = 16,
        steps: int | None = None,
        verbose: int = 1,
    ):
        super().__init__()
        self.images = images
        self.layers = None if layers is None else standardize_layers(layers)
        self.filepath = None if filepath is None else Path(filepath)
        self.tensorboard = tensorboard
        self.preprocessing = None if preprocessing is None else Preprocessing.of(preprocessing)
        self.batch_size = batch_size
        self.steps = steps
        self.verbose = verbose
        self._trained_model = None  # the model that `_counter` and `_source` were made for
        self._counter = self._source = None
        self._rows: list[dict[str, str]] = []  # of the CSV file
        self._epoch_is_first = True

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self.tensorboard is not None:  # TensorBoard may not be installed: fail early
            importlib.import_module("kerasvis.reports.tensorboard")
        if self._trained_model is not self.model:
            self._counter = run_in_thread(self._build, interrupt=lambda: None)
            self._count()  # compiles, and raises for images that do not fit
            self._trained_model = self.model
        self._rows = self._read()
        self._epoch_is_first = True

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if self._epoch_is_first:  # only now is it known at which epoch the training resumes
            self._epoch_is_first = False
            self._rows = [row for row in self._rows if int(row["epoch"]) <= epoch]
            self._write()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        counts = self._count()
        if logs is not None:
            logs.update(totals(counts))
        previous = self._previous_counts()
        self._rows += [_as_row(epoch + 1, each) for each in counts]
        self._write()
        if self.tensorboard is not None:
            from kerasvis.reports.tensorboard import write_scalars

            write_scalars(self.tensorboard, scalars(counts), epoch + 1)
        risen = risen_counts(counts, previous)
        if risen and self.verbose:
            tqdm.tqdm.write(f"Epoch {epoch + 1}: {risen}")

    def _build(self):
        if self.images is not None:
            options = {"batch_size": self.batch_size, "steps": self.steps}
            self._source = standardize_images(
                self.model, self.images, self.preprocessing, **options
            )
        return FilterCounter(self.model, self.layers, with_maps=self.images is not None)

    def _count(self):
        count, interrupt = self._counter.count, self._counter.interrupt
        return run_in_thread(count, self._source, interrupt=interrupt)

    def _previous_counts(self):
        """`{layer: row}` of the previous epoch."""
        last = max((int(row["epoch"]) for row in self._rows), default=0)
        return {row["layer"]: row for row in self._rows if int(row["epoch"]) == last}

    def _read(self):
        """The rows that the training wrote before it was interrupted."""
        if self.filepath is None or not self.filepath.exists():
            return self._rows if self.filepath is None else []
        try:
            reader = csv.DictReader(io.StringIO(read_text(self.filepath)))
            rows = list(reader)
            is_ours = tuple(reader.fieldnames or ()) == COLUMNS
            is_ours = is_ours and all(row["epoch"].isdigit() for row in rows)
        except (csv.Error, AttributeError):
            is_ours = False
        if not is_ours:
            raise ValueError(
                "The file was not written by FilterDiagnosis: give another path. Received: "
                f"filepath={str(self.filepath)!r}"
            )
        return rows

    def _write(self):
        if self.filepath is None:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        self.filepath.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.filepath, text.getvalue())


def totals(counts: Sequence[FilterCounts]) -> dict[str, float]:
    """`{name: sum over layers}` for `logs`, for the counts that at least one layer has.

    All sums are NaN if a layer has weights that are NaN or infinite.
    """
    is_finite = not any(each.not_finite for each in counts)
    found = {}
    for name in LOGGED:
        known = [value for each in counts if (value := getattr(each, name)) is not None]
        if known:
            found[name] = float(sum(known)) if is_finite else np.nan
    return found


def scalars(counts: Sequence[FilterCounts]) -> dict[str, float]:
    """`{"filters/<layer>/<name of the count>": value}` for TensorBoard."""
    return {
        f"filters/{each.layer}/{name}": float(getattr(each, name))
        for each in counts
        for name in (*LOGGED, "dominance", "not_finite")
        if getattr(each, name) is not None
    }


def risen_counts(counts: Sequence[FilterCounts], previous: dict[str, dict]) -> str:
    """The counts that have risen since the previous epoch, in one line; "" if none has.

    Args:
        counts: the counts of all layers.
        previous: `{layer: row of the CSV file}` of the previous epoch.
    """
    of_layers = []
    for each in counts:
        row = previous.get(each.layer, {})
        found = [
            f"{value} {names[value != 1]}"
            for name, names in FAULTS.items()
            if (value := getattr(each, name)) and value > int(row.get(name) or 0)
        ]
        if found:
            of_layers.append(f"{each.layer} ({each.num_filters} filters) has {', '.join(found)}")
    return "; ".join(of_layers)


def _as_row(epoch, counts):
    """A row of the CSV file: strings, empty for unknown values."""
    values = {"epoch": epoch, **counts._asdict()}
    return {name: "" if value is None else str(value) for name, value in values.items()}
