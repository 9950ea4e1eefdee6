"""The state from which an interrupted training run resumes."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import keras
import numpy as np
from keras import ops

from kerasvis.storage.fingerprints import digest
from kerasvis.storage.parts import Parts

if TYPE_CHECKING:
    from kerasvis.data.labelled.labelled_data import LabelledSet
    from kerasvis.training.recipe import Recipe

STATE = "state.npz"
HISTORY = "history"  # name of the array that contains it as JSON


class Checkpoint:
    """The state of a run after its last completed epoch, in the folder `checkpoint` of a directory.

    One file contains the history and all variables of the model, its optimizer and its random
    seeds. `kerasvis.storage.parts.Parts` stores it, and defines what happens with other runs,
    damaged files and simultaneous runs. `history` can be read at any time; for everything else,
    enter the checkpoint as a context manager.

    Keras' `BackupAndRestore` saves neither the history nor the seeds of dropout. It writes the
    weights and the number of the epoch in two steps, so that an interruption between them leaves an
    inconsistent state.

    Args:
        directory: path of the directory; created when something is written.
        run: what distinguishes runs, `{part: JSON object}`; see `describe_run`.
        is_writer: whether this process writes; exactly one of several that train together does.

    Raises:
        ValueError: on entering, if the folder contains another run.
        OSError: on entering, if it cannot be written to, or another run is writing to it.

    Example:
        >>> import keras
        >>> import kerasvis as kv
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> with kv.training.Checkpoint("run", {"model": {"name": model.name}}) as checkpoint:
        ...     checkpoint.save(model, {"loss": [0.5]})
        >>> kv.training.Checkpoint("run").history
        {'loss': [0.5]}
    """

    def __init__(
        self, directory: str | os.PathLike, run: dict | None = None, is_writer: bool = True
    ):
        self.folder = Path(directory) / "checkpoint"
        self._parts = Parts(self.folder, lambda: run or {}, is_writer=is_writer)

    def __enter__(self) -> Self:
        self._parts.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._parts.__exit__(*exception)

    @property
    def history(self) -> dict[str, list]:
        """`{name: list with one value per finished epoch}`; empty before the first.

        Raises:
            ValueError: if the file is damaged.
        """
        with Parts(self.folder, None, is_writer=False) as parts:
            return _history(self._state_of(parts))

    def save(self, model: keras.Model, history: Mapping[str, list]) -> None:
        """Saves the state after an epoch, atomically.

        Raises:
            OSError: if it cannot be written; the previous state stays intact.
        """
        arrays = {key: ops.convert_to_numpy(value) for key, value in _variables(model).items()}
        self._parts.save(STATE, {HISTORY: np.array(json.dumps(history)), **arrays})

    def restore(self, model: keras.Model) -> dict[str, list]:
        """Sets a compiled `model` to the last saved state, if there is one.

        Returns:
            The history; empty if there is no state, or its variables were dropped.

        Raises:
            ValueError: if the file is damaged.
        """
        arrays = self._state_of(self._parts)
        if arrays is None or len(arrays) == 1:
            return {}
        model.optimizer.build(model.trainable_variables)
        for key, variable in _variables(model).items():
            variable.assign(arrays[key])
        return _history(arrays)

    def drop_variables(self) -> None:
        """Removes the variables of a finished run; the history stays."""
        self._parts.save(STATE, {HISTORY: np.array(json.dumps(self.history))})

    def _state_of(self, parts):
        arrays = parts.load(STATE)
        if arrays is None and parts.path(STATE).exists():
            raise ValueError(
                f"The saved state {parts.path(STATE)} is damaged: delete the folder {self.folder} "
                f"to begin anew, or give another directory. Received: directory="
                f"{str(self.folder.parent)!r}"
            )
        return arrays


def _history(arrays):
    return {} if arrays is None else json.loads(str(arrays[HISTORY]))


def _variables(model):
    """`{key: variable}` of everything that training changes.

    The keys are numbers, because Keras may name the same layer differently in another process.
    """
    owners = {"model": model, "optimizer": model.optimizer}
    return {
        f"{name}-{number:04}": variable
        for name, owner in owners.items()
        for number, variable in enumerate(owner.variables)
    }


def describe_run(
    model: keras.Model, recipe: "Recipe", train: "LabelledSet", validation: "LabelledSet"
) -> dict:
    """What distinguishes one run from another, for a `Checkpoint`.

    Args:
        model: a built `keras.Model`.
        recipe: the `Recipe` by which it is trained.
        train: `LabelledImages`, or a set of `LabelledData`.
        validation: likewise.

    Returns:
        `{"recipe": ..., "model": ..., "training data": ..., "validation data": ...}`.
    """
    return {
        "recipe": recipe.to_dict(),
        "model": {
            f"layer {number}, a {type(layer).__name__}": _describe_layer(layer)
            for number, layer in enumerate(model._flatten_layers(include_self=False))
        },
        "training data": _describe_data(train),
        "validation data": _describe_data(validation),
    }


def _describe_layer(layer):
    """A digest of its configuration without the name, which may differ in another process."""
    config = {name: value for name, value in layer.get_config().items() if name != "name"}
    shapes = [list(weight.shape) for weight in layer.weights]
    return digest([json.dumps([config, shapes], sort_keys=True, default=str)])


def _describe_data(data):
    return {"images": data.num_images, "digest": data.digest}
