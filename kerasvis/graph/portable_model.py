"""A model as bytes that can be sent to other machines and loaded there."""

import json
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras

FILE = "model.keras"


class PortableModel:
    """A functional model that can be pickled, in Keras' own format with the user's own classes.

    The optimizer and the loss are not sent. The model is loaded in Keras' safe mode, so that its
    file runs no code; the user's own classes and functions are sent with it by pickle.

    Args:
        model: a functional or Sequential `keras.Model`; it does not change.
        layers: names of the layers whose outputs are needed; layers above all of them are left out
            if possible. None for the whole model.

    Raises:
        ValueError: if it cannot be saved.
    """

    def __init__(self, model: keras.Model, layers: Sequence[str] | None = None):
        self._name = model.name
        outputs = _outputs_of(model, layers) or model.outputs
        bare = keras.Model(model.inputs, outputs, name=model.name)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / FILE
            try:
                bare.save(path)
            except Exception as error:  # a layer's get_config may raise anything
                raise ValueError(self._refusal("saved", error)) from error
            self._content = path.read_bytes()
            with zipfile.ZipFile(path) as archive:
                config = archive.read("config.json").decode()
        # Only those that the model uses: others may come from modules that the workers lack.
        own = _custom_objects(model).items()
        self._custom_objects = {name: value for name, value in own if json.dumps(name) in config}

    def load(self) -> keras.Model:
        """The model.

        Raises:
            ValueError: if it cannot be loaded.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / FILE
            with open(path, "wb") as file:
                file.write(self._content)
            try:
                return keras.saving.load_model(
                    path, custom_objects=self._custom_objects, compile=False, safe_mode=True
                )
            except Exception as error:  # so may its from_config
                raise ValueError(self._refusal("loaded", error)) from error

    def _refusal(self, what, error):
        return (
            f"The model {self._name!r} cannot be {what}, so it cannot be sent to workers: give its "
            "own layers a get_config(), and write a Lambda as such a layer. Received: "
            f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
        )


def _outputs_of(model, layers):
    """The outputs of layers; None if one is in a nested model, or called more than once."""
    by_name = {layer.name: layer for layer in model.layers}
    found = [by_name.get(name) for name in layers or ()]
    if any(layer is None or len(layer._inbound_nodes) != 1 for layer in found):
        return None
    return [layer.output for layer in found]


def _custom_objects(model):
    """The user's own classes and functions: those that are registered, and those in the model.

    Each is given by both names under which Keras may look it up.
    """
    found = dict(keras.saving.get_custom_objects())
    for layer in model._flatten_layers():
        # Functions such as an activation, but not methods, which Keras wraps in each layer.
        own = [v for k, v in vars(layer).items() if callable(v) and not hasattr(type(layer), k)]
        for value in (type(layer), *own):
            name = getattr(value, "__name__", None)
            module = str(getattr(value, "__module__", "keras"))
            if name is not None and module.partition(".")[0] not in ("keras", "kerasvis"):
                found.setdefault(name, value)
                found.setdefault(keras.saving.get_registered_name(value), value)
    return {name: v for name, v in found.items() if not _is_of_kerasvis(v)}


def _is_of_kerasvis(value):
    return str(getattr(value, "__module__", "")).partition(".")[0] == "kerasvis"
