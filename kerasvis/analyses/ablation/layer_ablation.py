"""How much each layer contributes: trains a model with layers left out or resized."""

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import keras
import numpy as np
import tqdm

from kerasvis.storage.fields import Array, names_of
from kerasvis.storage.html_table import html_table
from kerasvis.storage.parts import Parts
from kerasvis.storage.results import Result
from kerasvis.training import Checkpoint, describe_run, fit, prepare
from kerasvis.training.batches import num_steps, validation_batches

if TYPE_CHECKING:
    from kerasvis.data.labelled.labelled_data import LabelledData
    from kerasvis.training.recipe import Recipe


RESULT = "result.npz"


@dataclasses.dataclass(frozen=True, eq=False)
class LayerAblation(Result):
    """Errors of the variants of a model, all trained by one recipe with one seed.

    An error is the percentage of images whose class is not the most probable one (top-1), or not
    among the five most probable (top-5).

    Attributes:
        variants: tuple of their names.
        train_errors: float64 `(variants, 2)`, top-1 and top-5, of the final weights on the
            training images, without dropout or augmentation.
        validation_errors: float64 `(variants, 2)`, the same on the validation images.
        num_parameters: int64 `(variants,)`: number of trainable weights.
        seconds: float64 `(variants,)`: duration of the training steps.
        num_images: int64 `(2,)`: number of training and validation images.
        num_classes: number of classes in the data.
        num_epochs: number of epochs of the recipe.
    """

    variants: tuple[str, ...]
    train_errors: Annotated[np.ndarray, Array("float64", "variants", 2)]
    validation_errors: Annotated[np.ndarray, Array("float64", "variants", 2)]
    num_parameters: Annotated[np.ndarray, Array("int64", "variants")]
    seconds: Annotated[np.ndarray, Array("float64", "variants")]
    num_images: Annotated[np.ndarray, Array("int64", 2)]
    num_classes: int
    num_epochs: int

    def _repr_html_(self):
        epochs = "1 epoch" if self.num_epochs == 1 else f"{self.num_epochs} epochs"
        caption = f"Errors in % after {epochs}, {self.num_classes} classes"
        header = ["variant", "parameters", "train top-1", "validation top-1", "validation top-5"]
        errors = np.column_stack([self.train_errors[:, 0], self.validation_errors])
        rows = [
            [name, f"{number:,}", *(f"{error:.1f}" for error in of_variant)]
            for name, number, of_variant in zip(
                self.variants, self.num_parameters, errors, strict=True
            )
        ]
        return html_table(caption, header, rows)


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedVariant(Result):
    """The cached result of one trained variant; the names are those of `LayerAblation`."""

    train_errors: Annotated[np.ndarray, Array("float64", 2)]
    validation_errors: Annotated[np.ndarray, Array("float64", 2)]
    num_parameters: int
    seconds: float


def ablate(
    builder: Callable[..., keras.Model],
    variants: Mapping[str, dict],
    recipe: "Recipe",
    data: "LabelledData",
    directory: str | os.PathLike,
    *,
    verbose: str | int = 2,
) -> LayerAblation:
    """Trains the variants of a model from scratch, one after the other, and measures their errors.

    Each variant has a folder of its name in `directory`, with the record of its training and
    `result.npz`. To resume an interrupted run, call it again with the same arguments: a variant
    with a result is not trained again, and an interrupted one resumes after its last completed
    epoch.

    Args:
        builder: function that returns a new `keras.Model` for the options of a variant, ending in
            class probabilities: `ZFNet`, with its other arguments bound by `functools.partial`.
            The seed is set before each call.
        variants: `{name: options of builder}`, such as `paper_variants` returns.
        recipe: the `kerasvis.training.Recipe` for all variants.
        data: a `kerasvis.data.LabelledData` of the recipe's image size, or an object with the same
            `train`, `validation` and `class_names`.
        directory: folder of the runs; created if necessary.
        verbose: 0, or as in `keras.Model.fit`, below a progress bar of the variants.

    Returns:
        A `LayerAblation`, variants in the order given.

    Raises:
        ValueError: if there is no variant, two names give the same folder, a model cannot be built,
            or the directory contains a variant that was trained differently.
        OSError: if `directory` cannot be written to; existing files stay intact.

    Reference:
        Zeiler & Fergus 2013, Section 5.1, Table 3. Deviation: errors are measured at the centre
        crop, not averaged over ten crops, so that the training images take seconds.

    Example:
        >>> import keras
        >>> import kerasvis as kv
        >>> planted = kv.data.PlantedObjects(16, (37, 37))
        >>> images = kv.data.LabelledImages(planted[:].astype("uint8"), planted.labels)
        >>> data = kv.data.LabelledData(images, images, planted.class_names, (37, 37))
        >>> def build(filters=16):
        ...     convolution = keras.layers.Conv2D(filters, 5, 4, activation="relu")
        ...     top = [keras.layers.Flatten(), keras.layers.Dense(8, activation="softmax")]
        ...     return keras.Sequential([keras.Input((32, 32, 3)), convolution, *top])
        >>> recipe = kv.training.Recipe.scaled(32, epochs=1, batch_size=8)
        >>> variants = {"the model itself": {}, "8 filters": {"filters": 8}}
        >>> ablation = kv.analyses.ablate(build, variants, recipe, data, "ablation", verbose=0)
        >>> ablation.validation_errors.shape
        (2, 2)
    """
    folders = _folders(variants, directory)
    before = {
        name: _trained_before(_new_model(builder, options, recipe), folders[name], recipe, data)
        for name, options in variants.items()  # all of them, to fail early
    }
    results = []
    with tqdm.tqdm(variants.items(), "Variants", disable=not verbose) as bar:
        for name, options in bar:
            bar.set_postfix_str(name)
            result = before[name]
            if result is None:
                model = _new_model(builder, options, recipe)
                result = _train(model, folders[name], recipe, data, verbose)
            results.append(result)
    columns = {
        name: np.array([getattr(result, name) for result in results])
        for name in names_of(TrainedVariant)
    }
    return LayerAblation(
        variants=tuple(variants),
        **columns,
        num_images=np.array([data.train.num_images, data.validation.num_images]),
        num_classes=len(data.class_names),
        num_epochs=recipe.epochs,
    )


def _folders(variants, directory):
    """`{name: folder}`, named after the letters and digits of the variant's name."""
    if not variants:
        raise ValueError(
            f"There is no variant to train: give at least one. Received: variants={variants!r}"
        )
    folders = {name: Path(directory) / re.sub(r"\W+", "_", name) for name in variants}
    names = {}
    for name, folder in folders.items():
        if folder in names:
            raise ValueError(
                f"The variants {names[folder]!r} and {name!r} would share the folder {folder}: "
                f"give names that differ in a letter or digit. Received: variants={list(variants)}"
            )
        names[folder] = name
    return folders


def _new_model(builder, options, recipe):
    keras.utils.set_random_seed(recipe.seed)
    model = builder(**options)
    prepare(model, recipe)
    return model


def _trained_before(model, folder, recipe, data):
    """The `TrainedVariant` in the folder, or None; an error if it was trained differently."""
    run = describe_run(model, recipe, data.train, data.validation)
    with Checkpoint(folder, run, is_writer=False):
        pass
    with Parts(folder, lambda: run, is_writer=False) as parts:
        arrays = parts.load(RESULT)
    return None if arrays is None else TrainedVariant.from_arrays(arrays)


def _train(model, folder, recipe, data, verbose):
    """Trains a variant, or resumes. The run's record and the result are kept, weights are not."""
    run = describe_run(model, recipe, data.train, data.validation)
    with Parts(folder, lambda: run) as parts:
        history = fit(
            model, data.train, data.validation, recipe, directory=folder, verbose=verbose
        ).history
        result = TrainedVariant(
            _errors(model, data.train, recipe),
            _errors(model, data.validation, recipe),
            sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
            sum(history["seconds"]),
        )
        parts.save(RESULT, result.to_arrays())
    with Checkpoint(folder, run) as checkpoint:
        checkpoint.drop_variables()
    return result


def _errors(model, images, recipe):
    """Top-1 and top-5 error in %, at the centre crop."""
    metrics = model.evaluate(
        validation_batches(images, recipe),
        steps=num_steps(images, recipe),
        return_dict=True,
        verbose=0,
    )
    return np.array([100 * (1 - metrics[name]) for name in ("top_1", "top_5")])
