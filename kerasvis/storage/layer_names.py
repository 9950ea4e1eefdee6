"""Names of a model's layers: those in its configuration, and what is said of an unknown one.

Nothing here starts Keras, so that a command can refuse a misspelt name at once.
"""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

OWN = "kerasvis>"  # how the registered names of this package's layers begin


def unknown_layer(name: str, names: Sequence[str]) -> str:
    """The sentence on a layer that a model lacks, with similar names or all that it has."""
    near = near_names(name, names)
    hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(names)}."
    return f"The model has no layer {name!r}: {hint}"


def near_names(name: str, names: Sequence[str]) -> list[str]:
    """Up to three of `names`: layers of nested models with this name, or similar names."""
    inside = [full for full in names if full.endswith(f"/{name}")]
    last_inside = [full for full in names if full.startswith(f"{name}/")][-1:]
    alike = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    return (inside or last_inside or alike)[:3]


def check_layer_names(config: Any, asked: Iterable[str]) -> None:
    """Refuses layers that a model lacks, as far as its configuration alone tells.

    It tells of a functional or Sequential model of layers of Keras and of this package, each called
    once. Of others, nested models among them, and where no name is near, nothing is refused.

    Args:
        config: of a `.keras` file, as its `config.json` says.
        asked: names of layers.

    Raises:
        ValueError: if there is no such layer.
    """
    names = plain_names(config)
    for name in asked:
        if name not in names and near_names(name, names):
            raise ValueError(unknown_layer(name, names))


def plain_names(config: Any) -> tuple[str, ...]:
    """Names of the layers, without inputs; none where the configuration alone does not tell."""
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
