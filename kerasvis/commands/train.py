"""`kerasvis train`: trains a convnet of the paper."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import Parameter

import kerasvis as kv
from kerasvis.commands.argument_types import Devices, FilePath
from kerasvis.commands.model_card import model_card
from kerasvis.commands.output import OutputFolder
from kerasvis.commands.quiet_start import start_keras
from kerasvis.commands.training_options import (
    ConvnetOptions,
    RecipeOptions,
    RecordOptions,
    TrainingSetup,
    load_data,
)
from kerasvis.storage.counted import counted

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from kerasvis.data.labelled.labelled_data import LabelledData, LabelledSet
    from kerasvis.storage.parts import Parts
    from kerasvis.training import Recipe

MODEL = "model.keras"
RESULTS = (MODEL, "recipe.json", "classes.json", "history.csv", "README.md", "evolution")
CONVOLUTIONS = ["conv1", "conv2", "conv3", "conv4", "conv5"]


@Parameter(name="*", group="Devices")
@dataclass(frozen=True, kw_only=True)
class DeviceOptions:
    """The devices to train on.

    Attributes:
        strategy: mirrored trains on several devices, multiworker on several machines.
        devices: for mirrored: 2, or GPU:0,GPU:1; all by default.
    """

    strategy: Literal["none", "mirrored", "multiworker"] = "none"
    devices: Devices | None = None

    def make_strategy(self) -> "tf.distribute.Strategy":
        """The `tf.distribute.Strategy`, made before anything else touches TensorFlow's devices."""
        from kerasvis.training.strategies import strategy_for

        return strategy_for(self.strategy, self.devices)


def train(
    *,
    training: RecipeOptions,
    convnet: ConvnetOptions = ConvnetOptions(),
    records: RecordOptions = RecordOptions(),
    devices: DeviceOptions = DeviceOptions(),
    out: FilePath,
) -> None:
    """Train a convnet of the paper by a recipe, and save it with its history and model card.

    An interrupted run resumes when it is started again with the same options.

    Args:
        out: folder for the model, or the folder of a run to resume.
    """
    from kerasvis.storage.parts import Parts

    records.check()
    output = OutputFolder(out, inputs=[training.data])
    start_keras()
    strategy = devices.make_strategy()
    setup = TrainingSetup(training, convnet.suited_to(training.recipe), training.load(), records)
    check_no_other_model(out)
    data = load_data(training.data, setup.recipe)
    with strategy.scope():
        model = build(setup, len(data.class_names), out.name)
    if not kv.training.strategies.is_chief(strategy):  # only the chief writes files
        fit(model, data, setup.recipe, out)
        return
    run = run_of(model, data, setup.recipe)
    with output.made(*RESULTS), Parts(out, lambda: run) as parts:
        if parts.is_complete(MODEL):
            check_recorded(records, out)
            history = kv.training.Checkpoint(out).history
            print(f"{out} is finished: {summary(history)}." if history else f"{out} is finished.")
        else:
            if parts.is_damaged(MODEL):
                print(f"{out / MODEL} is damaged: it is trained again.", flush=True)
            train_and_save(model, data, setup, out, parts)
        with kv.training.Checkpoint(out, run) as checkpoint:
            checkpoint.drop_variables()
        write_description(data, setup.recipe, out)
        if records.export:
            export_model(parts)


def check_no_other_model(folder: Path) -> None:
    """Raises a ValueError for a folder with a model but no record of its training."""
    from kerasvis.storage.parts import JOURNAL

    is_known = (folder / JOURNAL).exists() or (folder / "checkpoint" / JOURNAL).exists()
    if (folder / MODEL).exists() and not is_known:
        raise ValueError(
            "The folder contains a model, but no record of its training: give another --out. "
            f"Received: --out={folder}"
        )


def build(setup: TrainingSetup, num_classes: int, name: str) -> "keras.Model":
    """The convnet, with initial weights determined by the recipe's seed."""
    import keras

    recipe, convnet = setup.recipe, setup.convnet
    keras.utils.set_random_seed(recipe.seed)
    return convnet.builder(
        (recipe.crop_size, recipe.crop_size, 3),
        num_classes,
        dense_units=convnet.dense_units,
        kernel_initializer=recipe.kernel_initializer,
        name=name.replace("-", "_"),
        **convnet.keywords,
    )


def run_of(model: "keras.Model", data: "LabelledData", recipe: "Recipe") -> dict[str, Any]:
    """The settings that identify this training run."""
    kv.training.prepare(model, recipe)
    return kv.training.describe_run(model, recipe, data.train, data.validation)


def check_recorded(records: RecordOptions, folder: Path) -> None:
    """Raises a ValueError for recordings that are only possible during training."""
    if records.evolution and not (folder / "evolution").exists():
        raise ValueError(
            "The training is finished, and its evolution was not recorded: give another --out to "
            f"train again, or leave out --evolution. Received: --out={folder}"
        )


def fit(
    model: "keras.Model",
    data: "LabelledData",
    recipe: "Recipe",
    folder: Path,
    callbacks: Sequence["keras.callbacks.Callback"] = (),
) -> dict[str, list[float]]:
    """Trains, or resumes; returns the history of all epochs."""
    return kv.training.fit(
        model, data.train, data.validation, recipe, callbacks=callbacks, directory=folder
    ).history


def train_and_save(
    model: "keras.Model",
    data: "LabelledData",
    setup: TrainingSetup,
    folder: Path,
    parts: "Parts",
) -> None:
    """Trains, and writes the card and then the model, which marks a finished run."""
    from kerasvis.storage.files import write_text

    history = fit(model, data, setup.recipe, folder, callbacks_of(data, setup, folder))
    accuracy = None
    if setup.recipe.crops == "ten":
        accuracy = kv.training.ten_crop_evaluate(model, data.validation)
    write_text(folder / "README.md", model_card(model, data, setup, history, accuracy))
    with parts.writing(MODEL) as temporary:
        without_training(model).save(temporary)
    print(f"Saved {folder / MODEL}: {summary(history)}.")


def write_description(data: "LabelledData", recipe: "Recipe", folder: Path) -> None:
    """Writes the recipe, the history and the classes of the model."""
    from kerasvis.storage.files import write_text
    from kerasvis.training.fit import write_history

    if history := kv.training.Checkpoint(folder).history:
        write_history(history, folder)
    recipe.save(folder / "recipe.json")
    write_text(folder / "classes.json", json.dumps(data.class_names, indent=1) + "\n")


def without_training(model: "keras.Model") -> "keras.Model":
    """The model without constraints and its optimiser, whose state is as large as the weights."""
    import keras

    kv.training.limit_filters(model, None)
    return keras.Model(model.inputs, model.outputs, name=model.name)


def callbacks_of(
    data: "LabelledData", setup: TrainingSetup, folder: Path
) -> list["keras.callbacks.Callback"]:
    """The callbacks that record more than the history."""
    import keras

    records, callbacks = setup.records, []
    if records.tensorboard is not None:
        callbacks.append(keras.callbacks.TensorBoard(records.tensorboard, write_graph=False))
    if records.evolution:
        evolution = kv.callbacks.FeatureEvolution(
            CONVOLUTIONS,
            probe_images(data.train, setup.recipe, records.evolution_images),
            directory=folder / "evolution",
            with_patches=not records.without_patches,
            seed=setup.recipe.seed,
            tensorboard=records.tensorboard,
        )
        callbacks.append(evolution)
    return callbacks


def probe_images(images: "LabelledSet", recipe: "Recipe", number: int) -> "np.ndarray":
    """The centre crops of the first `number` images, in an order determined by the seed.

    Returns:
        float32 `(images, crop_size, crop_size, 3)`.
    """
    from kerasvis.data.labelled.sub_crops import center_crop

    number = min(number, images.num_images)
    pixels, _ = next(images.batches(number, seed=(recipe.seed, 0)).as_numpy_iterator())
    return center_crop(pixels, (recipe.crop_size, recipe.crop_size)).astype("float32")


def export_model(parts: "Parts") -> None:
    """Writes a SavedModel, unless there is an intact one."""
    import keras

    folder = parts.path("saved_model")
    files = list(parts.names("saved_model/"))
    if not files or any(map(parts.is_damaged, files)):
        model = keras.saving.load_model(parts.path(MODEL))
        kv.training.export(model, folder)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                parts.record(path.relative_to(folder.parent).as_posix())
    print(f"{folder} takes uint8 pixels and returns probabilities.")


def summary(history: dict[str, list[float]]) -> str:
    """The last epoch in words."""
    number = len(history["loss"])
    epochs = counted(number, "epoch")
    return f"validation top-1 {history['val_top_1'][-1]:.1%} after {epochs}"
