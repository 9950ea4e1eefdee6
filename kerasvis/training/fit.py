"""Trains a convnet by a recipe, with plain Keras `compile` and `fit`, interruptible at any time."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from kerasvis.data.labelled.sub_crops import ten_crops
from kerasvis.layers.filter_constraint import limit_filters
from kerasvis.layers.pixel_mean import PixelMean
from kerasvis.storage.counted import counted
from kerasvis.storage.files import write_text
from kerasvis.training.annealing import AnnealOnPlateau
from kerasvis.training.batches import (
    num_steps,
    training_batches,
    validation_batches,
)
from kerasvis.training.checkpoint import Checkpoint, describe_run
from kerasvis.training.replicated_model import replicated, spread
from kerasvis.training.strategies import is_chief
from kerasvis.training.waiting import WaitingForData

if TYPE_CHECKING:
    from kerasvis.data.labelled.labelled_data import LabelledSet
    from kerasvis.training.recipe import Recipe


def fit(
    model: keras.Model,
    train: "LabelledSet",
    validation: "LabelledSet",
    recipe: "Recipe",
    *,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    directory: str | os.PathLike | None = None,
    verbose: str | int = 2,
) -> keras.callbacks.History:
    """Trains `model`, which ends in class probabilities, by `recipe`.

    With a `directory`, a run that was interrupted at any point, even by SIGKILL, resumes after its
    last completed epoch with the same weights, optimiser, learning rate, history, order and crops
    of the images, and seeds of dropout. The results are the same as without the interruption if the
    device is deterministic, as CPUs are, and the model was built after
    `keras.utils.set_random_seed`. Callbacks must save their own state. On several devices, each has
    its own moving statistics of batch normalisation; only those of the first are saved, so metrics
    on the validation images can differ slightly afterwards.

    Args:
        model: takes raw pixels `(images, rows, columns, 3)` of the recipe's crop size. Its
            `PixelMean` layer is set to the mean of the training images, its convolutions get the
            recipe's filter RMS constraint, and its `Dropout` layers the recipe's probability.
        train: `LabelledImages` to train on, of the recipe's image size, or a set of
            `kerasvis.data.load_labelled(..., image_size=recipe.image_size)`.
        validation: the same, for evaluation after every epoch, at the centre crop.
        recipe: a `Recipe`.
        callbacks: Keras callbacks, which are called before an epoch is saved.
        directory: folder for `checkpoint/` and `history.csv`, or None.
        verbose: as in `keras.Model.fit`.

    Returns:
        The `keras.callbacks.History` of all epochs, including those of earlier processes. Besides
        the metrics it contains `learning_rate` at the beginning of the epoch, `seconds` of its
        training steps, and `waiting_for_data`, the share of these seconds (`WaitingForData`).

    Raises:
        ValueError: if model, images, labels and recipe do not fit together, or `directory` contains
            another run.
        OSError: if `directory` cannot be written to; existing files stay intact.
    """
    _check(model, train, validation, recipe)
    keras.utils.set_random_seed(recipe.seed)
    prepare(model, recipe)
    run = describe_run(model, recipe, train, validation)
    devices = _Devices(model)
    model = devices.replicated(model)
    with _EpochRecord(directory, run, devices.may_write) as record:
        with devices.scope():
            compile_for(model, recipe, train.num_images)
            record.begin(model)
        if record.num_epochs == 0:
            adapt_mean(model, recipe, train)
        if record.num_epochs < recipe.epochs:
            waiting = WaitingForData()
            batches = waiting.watch(training_batches(train, recipe, record.num_epochs))
            model.fit(
                devices.spread(batches),
                steps_per_epoch=num_steps(train, recipe),
                validation_data=devices.spread(validation_batches(validation, recipe)),
                validation_steps=num_steps(validation, recipe),
                initial_epoch=record.num_epochs,
                epochs=recipe.epochs,
                callbacks=[waiting, *_annealing(recipe, record), *callbacks, record],
                shuffle=False,  # the batches are shuffled already
                verbose=verbose,
            )
        return record.as_history()


def prepare(model: keras.Model, recipe: "Recipe") -> None:
    """Applies the recipe's settings of layers to a built model.

    Args:
        model: a built `keras.Model`. Its convolutions get the filter RMS constraint, its `Dropout`
            layers the probability. The builder sets the initial weights:
            `ZFNet(kernel_initializer=recipe.kernel_initializer)`.
        recipe: a `Recipe`.
    """
    if recipe.filter_rms_limit is not None:
        limit_filters(model, recipe.filter_rms_limit)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = recipe.dropout


def adapt_mean(model, recipe, train):
    """Sets the `PixelMean` layers of a model to the mean of their inputs in training.

    Deviation: the paper subtracts the mean of the whole image before cropping. Here the mean is
    part of the model, which takes crops, so it is the mean over the ten sub-crops.

    Args:
        model: a built `keras.Model`.
        recipe: a `Recipe`.
        train: the training images, as in `fit`.
    """
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, PixelMean)]
    if layers:
        mean = _mean_image(train)[None]
        crops = np.concatenate(ten_crops(mean, (recipe.crop_size, recipe.crop_size)))
    for layer in layers:
        layer.adapt(crops)


def compile_for(model: keras.Model, recipe: "Recipe", num_images: int) -> None:
    """Compiles `model` with the recipe's optimiser, cross-entropy and top-1/top-5 accuracy.

    Args:
        model: `keras.Model` that ends in class probabilities.
        recipe: a `Recipe`.
        num_images: number of training images, which determines the length of a cosine decay.
    """
    learning_rate = recipe.learning_rate
    if recipe.annealing == "cosine":
        num_steps = recipe.epochs * -(-num_images // recipe.batch_size)
        learning_rate = keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
    model.compile(
        optimizer=keras.optimizers.SGD(
            learning_rate,
            recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay or None,
        ),
        loss="sparse_categorical_crossentropy",
        metrics=[
            keras.metrics.SparseCategoricalAccuracy(name="top_1"),
            keras.metrics.SparseTopKCategoricalAccuracy(5, name="top_5"),
        ],
    )


class _EpochRecord(keras.callbacks.Callback):
    """Records the history of all epochs; with a directory, saves it and the model's state.

    Several processes that train together all read the files, and one writes them.
    """

    def __init__(self, directory, run, may_write):
        super().__init__()
        self.directory = None if directory is None else Path(directory)
        self.checkpoint = None if directory is None else Checkpoint(directory, run, may_write)
        self.writes = may_write and directory is not None
        self.history = {}

    def __enter__(self):
        if self.checkpoint is not None:
            self.checkpoint.__enter__()
        return self

    def __exit__(self, *exception):
        if self.checkpoint is not None:
            self.checkpoint.__exit__(*exception)

    @property
    def num_epochs(self):
        return len(self.history.get("loss", ()))

    def begin(self, model):
        """Resumes the run in the folder, if there is one: restores the state of `model`."""
        self.set_model(model)
        if self.checkpoint is not None:
            self.history = self.checkpoint.restore(model)
        if self.writes:
            write_history(self.history, self.directory)

    def learning_rate(self):
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def on_epoch_begin(self, epoch, logs=None):
        self._learning_rate = self.learning_rate()

    def on_epoch_end(self, epoch, logs=None):
        logs["learning_rate"] = self._learning_rate
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        if self.writes:
            self.checkpoint.save(self.model, self.history)
            write_history(self.history, self.directory)

    def as_history(self):
        history = keras.callbacks.History()
        history.set_model(self.model)
        history.epoch = list(range(self.num_epochs))
        history.history = self.history
        return history


def write_history(history, directory):
    """Writes `history.csv`: one row per epoch; losses in nats, accuracies in [0, 1]."""
    lines = [",".join(["epoch", *history])]
    lines += [
        ",".join([str(epoch), *(f"{value:.6g}" for value in row)])
        for epoch, row in enumerate(zip(*history.values(), strict=True), start=1)
    ]
    write_text(Path(directory) / "history.csv", "\n".join(lines) + "\n")


class _Devices:
    """The devices for which a model was built; Keras' other backends have no strategy."""

    def __init__(self, model):
        self.strategy = getattr(model, "distribute_strategy", None)

    @property
    def may_write(self):
        return self.strategy is None or is_chief(self.strategy)

    def scope(self):
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()

    def replicated(self, model):
        return model if self.strategy is None else replicated(model)

    def spread(self, batches):
        return batches if self.strategy is None else spread(batches, self.strategy)


def _annealing(recipe, record):
    """The callback that lowers the learning rate, resumed at the last epoch of the record."""
    if recipe.annealing == "cosine":
        return []
    annealing = AnnealOnPlateau(factor=recipe.annealing_factor, patience=recipe.annealing_patience)
    if record.num_epochs:
        after = [*record.history["learning_rate"][1:], record.learning_rate()]
        annealing.resume(record.history[annealing.monitor], after)
    return [annealing]


def _mean_image(data):
    """float64 `(rows, columns, channels)`."""
    total, num_images = 0.0, 0
    for pixels, _ in data.batches(1024).as_numpy_iterator():
        total, num_images = total + pixels.sum(axis=0, dtype="float64"), num_images + len(pixels)
    return total / num_images


def _check(model, train, validation, recipe):
    size = (recipe.crop_size, recipe.crop_size)
    if tuple(model.inputs[0].shape[1:3]) != size:
        raise ValueError(
            f"The recipe's crops are {_times(size)}: build the model for these, or change "
            f"crop_size. Received: a model {model.name!r} that takes images of "
            f"{_times(model.inputs[0].shape[1:3])}"
        )
    num_classes = model.outputs[0].shape[-1]
    for name, data in (("training", train), ("validation", validation)):
        labels = np.asarray(data.labels)
        if len(labels) == 0:
            raise ValueError(f"Give at least one {name} image. Received: 0 images")
        if not 0 <= labels.min() <= labels.max() < num_classes:
            raise ValueError(
                f"The model has {counted(num_classes, 'class', 'classes')}: give {name} labels "
                f"from 0 to {num_classes - 1}. Received: labels from {labels.min()} to "
                f"{labels.max()}"
            )
        image_size = tuple(data.batches(1).element_spec[0].shape[1:3])
        if image_size != (recipe.image_size, recipe.image_size):
            raise ValueError(
                f"The recipe's image_size is {recipe.image_size}: resize the {name} images, or "
                f"change image_size. Received: images of {_times(image_size)}"
            )


def _times(size):
    return "×".join(str(side) for side in size)
