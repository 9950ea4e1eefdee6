"""What a training run needs to go on after an interruption."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import keras
from keras import ops

from kerasvis.storage.files import read_npz, write_npz, write_text

if TYPE_CHECKING:
    from kerasvis.data.labelled.labelled_images import LabelledImages
    from kerasvis.training.recipe import Recipe


class Checkpoint:
    """The state of a run after its last whole epoch, in the folder `checkpoint` of a directory.

    `run.json` tells what is trained, on what, by which recipe. `state.json` holds the history and
    names the file with all variables of the model, its optimiser and its random seeds. A new
    state is valid from the moment in which `state.json` is replaced; before it, everything it
    names is there in full.

    Why not Keras' `BackupAndRestore`: it keeps neither the history nor the seeds of dropout, and
    it writes the weights and the number of the epoch in two steps, between which they do not
    belong together.

    Args:
        directory: path of the directory; made when something is written.
    """

    def __init__(self, directory: str | os.PathLike):
        self.directory = Path(directory)
        self.folder = self.directory / "checkpoint"

    @property
    def has_begun(self) -> bool:
        """Whether there is a run."""
        return (self.folder / "run.json").exists()

    @property
    def history(self) -> dict[str, list]:
        """`{name: list with one value per finished epoch}`; empty before the first."""
        return self._state()["history"]

    def begin(self, run: dict, writes: bool = True) -> None:
        """Takes up the run that is described, or begins it.

        Args:
            run: what distinguishes runs, `{part: JSON object}`; see `describe_run`.
            writes: whether this process writes; of those that train together one does.

        Raises:
            ValueError: if the folder holds another run.
            OSError: if the folder cannot be written to.
        """
        filepath = self.folder / "run.json"
        if self.has_begun:
            _check_same(_read_json(filepath), run, self.directory)
        elif writes:
            _make(self.folder)
            write_text(filepath, json.dumps(run, indent=2) + "\n")

    def save(self, model: keras.Model, history: Mapping[str, list]) -> None:
        """Keeps the state after an epoch; the one before stays valid until this one is whole.

        Raises:
            OSError: if it cannot be written; the state before is still there.
        """
        name = f"epoch-{len(next(iter(history.values()))):04}.npz"
        arrays = {key: ops.convert_to_numpy(value) for key, value in _variables(model).items()}
        write_npz(self.folder / name, arrays)
        state = {"variables": name, "history": history}
        write_text(self.folder / "state.json", json.dumps(state, indent=1) + "\n")
        self._remove_variables(but=name)

    def restore(self, model: keras.Model) -> dict[str, list]:
        """Gives `model`, which is compiled, the state that was saved last, if there is one.

        Returns:
            The history.

        Raises:
            ValueError: if what was saved is gone, damaged, or of another model.
        """
        state = self._state()
        if state["variables"] is None:
            return {}
        model.optimizer.build(model.trainable_variables)
        variables = _variables(model)
        arrays = _read_arrays(self.folder / state["variables"], variables)
        for key, variable in variables.items():
            variable.assign(arrays[key])
        return state["history"]

    def drop_variables(self) -> None:
        """Removes the variables when a finished run needs them no more; the history stays."""
        self._remove_variables()

    def _remove_variables(self, but=None):
        for filepath in self.folder.glob("*epoch-*.npz"):  # and what a kill left half-written
            if filepath.name != but:
                filepath.unlink()

    def _state(self):
        filepath = self.folder / "state.json"
        if not filepath.exists():
            return {"variables": None, "history": {}}
        return _read_json(filepath)


def _variables(model):
    """`{key: variable}` of all that training changes.

    The keys are numbers, as Keras may name the same layer otherwise in another process.
    """
    owners = {"model": model, "optimizer": model.optimizer}
    return {
        f"{name}-{number:04}": variable
        for name, owner in owners.items()
        for number, variable in enumerate(owner.variables)
    }


def _read_arrays(filepath, names):
    try:
        return read_npz(filepath, "the variables of a training run", names)
    except ValueError as error:
        raise ValueError(
            f"The saved state {filepath} cannot be read ({error}): give another folder to begin "
            "anew."
        ) from error


def describe_run(
    model: keras.Model, recipe: "Recipe", train: "LabelledImages", validation: "LabelledImages"
) -> dict:
    """What distinguishes one run from another, for `Checkpoint.begin`.

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
            f"layer {number}, a {type(layer).__name__},": _describe_layer(layer)
            for number, layer in enumerate(model._flatten_layers(include_self=False))
        },
        "training data": _describe_data(train),
        "validation data": _describe_data(validation),
    }


def _describe_layer(layer):
    """Its configuration, but the name, which Keras may choose otherwise another time."""
    config = {name: value for name, value in layer.get_config().items() if name != "name"}
    shapes = [list(weight.shape) for weight in layer.weights]
    text = json.dumps([config, shapes], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _describe_data(data):
    return {"images": data.num_images, "digest": data.digest}


def _check_same(there, here, directory):
    for part, described in here.items():
        if there.get(part) != described:
            raise ValueError(
                f"The folder {directory} holds a run with another {part} "
                f"({_difference(there.get(part), described)}): give another folder, or what that "
                "run was begun with."
            )


def _difference(there, here):
    """The first entry that differs, with its values, but for digests."""
    there = there if isinstance(there, dict) else {}
    name = next(name for name in {**here, **there} if there.get(name) != here.get(name))
    values = (there.get(name), here.get(name))
    if any(isinstance(value, str) and len(value) >= 32 for value in values):
        return f"{name} differs"
    return f"{name} {values[0]} there, {values[1]} here"


def _read_json(filepath):
    try:
        return json.loads(filepath.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{filepath} cannot be read ({error}): give another folder to begin anew."
        ) from error


def _make(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"The folder {folder} cannot be made ({error.strerror}): give another one."
        ) from error
