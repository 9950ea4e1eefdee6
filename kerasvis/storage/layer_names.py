"""Names of a model's layers, read from its configuration, and the error for an unknown name.

Nothing here imports Keras, so that a command can reject a misspelt name at once.
"""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

OWN = "kerasvis>"  # prefix of the registered names of this package's layers


def unknown_layer(name: str, names: Sequence[str], received: str) -> str:
    """The error message for a layer that a model lacks, with similar names, or else all names.

    Args:
        name: of the layer.
        names: of the layers of the model.
        received: the user's argument, as `layer='conv9'` or `--layer=conv9`.
    """
    near = near_names(name, names)
    hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(names)}."
    return f"The model has no layer {name!r}: {hint} Received: {received}"


def near_names(name: str, names: Sequence[str]) -> list[str]:
    """Up to three of `names`: layers of nested models with this name, or similar names."""
    inside = [full for full in names if full.endswith(f"/{name}")]
    last_inside = [full for full in names if full.startswith(f"{name}/")][-1:]
    alike = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    return (inside or last_inside or alike)[:3]


def check_layer_names(config: Any, asked: Iterable[str], option: str) -> None:
    """Rejects layers that a model lacks, as far as its configuration alone shows.

    A name is rejected only if it resembles a name of the model, and the model is a functional or
    Sequential one of layers of Keras and this package, each called once and none of them a model.

    Args:
        config: the model's configuration, from `config.json` in its `.keras` file.
        asked: names of layers.
        option: by which they were asked for, as `--layers`.

    Raises:
        ValueError: if there is no such layer.
    """
    names = plain_names(config)
    for name in asked:
        if name not in names and near_names(name, names):
            raise ValueError(unknown_layer(name, names, f"{option}={name}"))


def plain_names(config: Any) -> tuple[str, ...]:
    """Names of the layers, without inputs; empty if the configuration alone does not show them."""
    try:
        kind = (config["module"], config["class_name"])
        if kind not in (("keras", "Sequential"), ("keras.src.models.functional", "Functional")):
            return ()
        first, *others = config["config"]["layers"]
        layers = [each for each in (first, *others) if each["class_name"] != "InputLayer"]
        is_plain = first["class_name"] == "InputLayer" and all(map(_is_plain, layers))
        return tuple(str(each["config"]["name"]) for each in layers) if is_plain else ()
    except (KeyError, TypeError, ValueError):
        return ()


def _is_plain(layer):
    is_known = layer["module"] == "keras.layers" or str(layer["registered_name"]).startswith(OWN)
    return is_known and len(layer.get("inbound_nodes", [None])) == 1
