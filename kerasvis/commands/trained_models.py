"""The trained model that a user names: a file of their own, or a model of keras.applications."""

import difflib
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasvis.commands.quiet_start import start_keras
from kerasvis.storage.archives import check_archive, read_json
from kerasvis.storage.layer_names import check_layer_names

if TYPE_CHECKING:
    import keras

SUFFIXES = (".keras", ".h5", ".hdf5")


def is_file_name(name: str) -> bool:
    """Whether it is a file, rather than a model of keras.applications."""
    path = Path(name)
    return path.exists() or path.suffix in SUFFIXES or len(path.parts) > 1


def check_model_name(name: str, weights: str | None = None) -> None:
    """Checks a model's name or file, and its weights, without starting Keras.

    Raises:
        ValueError: if there is no such file, or Keras did not save it.
    """
    if not is_file_name(name):
        if weights not in (None, "imagenet", "random") and not Path(weights).is_file():
            raise ValueError(
                "There is no such weights file: give one, or --weights imagenet or random. "
                f"Received: --weights={weights}"
            )
        return
    path = Path(name)
    if weights is not None:
        raise ValueError(
            "The model's file has weights of its own: leave out --weights, which is for models of "
            f"keras.applications. Received: --model={path} --weights={weights}"
        )
    if not path.exists():
        raise ValueError(
            "There is no such model file: give a file that model.save() wrote, or the name of a "
            f"model of keras.applications. Received: --model={path}"
        )
    if path.is_dir():
        raise ValueError(f"The model is a folder: give a .keras file. Received: --model={path}")
    is_known = path.is_file() and path.suffix in SUFFIXES
    if not is_known or (path.suffix == ".keras" and not zipfile.is_zipfile(path)):
        raise ValueError(
            "The model is not a file that Keras saved, or is damaged: give a .keras file that "
            f"model.save() wrote. Received: --model={path}"
        )
    if path.suffix == ".keras":
        try:
            check_archive(path)
            read_json(path, "config.json")
        except (OSError, ValueError) as error:
            raise ValueError(
                f"The model's file cannot be loaded, since {error}: give a .keras file that "
                f"model.save() wrote. Received: --model={path}"
            ) from error


def check_layers(name: str, layers: Mapping[str, str | Sequence[str] | None]) -> None:
    """Checks that a model has the layers, as far as its file tells without starting Keras.

    Args:
        name: the model's name or file.
        layers: the layer or layers of each option, by the option's name in Python; None for an
            option that was not given.

    Raises:
        ValueError: if there is no such layer.
    """
    if is_file_name(name) and Path(name).suffix == ".keras":
        config = read_json(name, "config.json")
        for argument, given in layers.items():
            asked = (given,) if isinstance(given, str) else given or ()
            check_layer_names(config, asked, f"--{argument.replace('_', '-')}")


def load_model(
    name: str, weights: str | None = None, image_size: tuple[int, int] | None = None
) -> "keras.Model":
    """Loads a `keras.Model`.

    Args:
        name: path of a file that Keras saved, or the name of a model of keras.applications.
        weights: of such a model: "imagenet" (the default), "random", or the path of a file.
        image_size: `(height, width)` of the images for such a model without its dense layers.

    Raises:
        ValueError: if there is no such model, or it cannot be loaded.
    """
    check_model_name(name, weights)
    start_keras()
    if is_file_name(name):
        return load_file(Path(name))
    return load_application(name, weights or "imagenet", image_size)


def load_file(path: Path) -> "keras.Model":
    """The `keras.Model` in a file."""
    import keras

    import kerasvis  # noqa: F401 - registers its layers, so that Keras can load them

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged or foreign file makes Keras raise nearly anything
        raise ValueError(
            f"The model cannot be loaded: {why(error)} Received: --model={path}"
        ) from error


def why(error: Exception) -> str:
    """What to do about a file that Keras cannot load, as the end of a sentence."""
    text = str(error)
    if "Python lambda" in text:
        return (
            "it contains a Lambda layer, whose code would run unchecked; replace it by a layer "
            "class, and save the model again."
        )
    if unknown := re.search(r"Could not locate (?:class|function) '([^']+)'", text):
        return (
            f"it contains {unknown[1]!r}, which is not part of Keras; load it in Python, with "
            "custom_objects, and call kerasvis.visualize_features there."
        )
    return f"{reason_of(error)}; give a .keras file that model.save() wrote."


def reason_of(error: Exception) -> str:
    """The first sentence of an error of Keras', without the configuration that it may quote."""
    text = str(error).rpartition("Exception encountered: ")[2].strip()
    line = text.splitlines()[0] if text else type(error).__name__
    return line[:200].rstrip(". ")


def load_application(name: str, weights: str, image_size: tuple[int, int] | None) -> "keras.Model":
    """A `keras.Model` of keras.applications."""
    import keras

    builder = getattr(keras.applications, application_name(name))
    options: dict[str, Any] = {"weights": None if weights == "random" else weights}
    if image_size is not None:
        options |= {"include_top": False, "input_shape": (*image_size, 3)}
    try:
        return builder(**options)
    except Exception as error:  # no network, a file for another model, images that are too small
        raise ValueError(
            f"{builder.__name__} cannot be created with these weights ({reason_of(error)}): give a "
            f"weights file with --weights, or --weights random. Received: --weights={weights}"
        ) from error


def application_name(name: str) -> str:
    """The model of keras.applications that is called `name`, ignoring case."""
    import keras

    names = [n for n in dir(keras.applications) if n[0].isupper()]
    by_letters = {n.lower(): n for n in names}
    if name.lower() in by_letters:
        return by_letters[name.lower()]
    near = [by_letters[n] for n in difflib.get_close_matches(name.lower(), by_letters, cutoff=0.5)]
    hint = f"did you mean {' or '.join(near)}?" if near else "give the path of a .keras file."
    raise ValueError(
        "There is neither a model file of that name nor a model of keras.applications: "
        f"{hint} Received: --model={name}"
    )


def image_size_of(model: "keras.Model", image_size: tuple[int, int] | None) -> tuple[int, int]:
    """`(height, width)` of the images that the model takes.

    Raises:
        ValueError: if it takes any size and none was given, or if it takes another size.
    """
    from kerasvis.graph import image_shape

    own_height, own_width, channels = image_shape(model)
    if channels not in (None, 1, 3, 4):
        raise ValueError(
            f"The model {model.name!r} takes images of {channels} channels, but photographs have "
            "1, 3 or 4: call kerasvis.visualize_features in Python, with your own arrays."
        )
    if image_size is None:
        if own_height is None or own_width is None:
            raise ValueError(
                f"The model {model.name!r} takes images of any size: give --image-size HEIGHT "
                "WIDTH."
            )
        return own_height, own_width
    height, width = image_size
    if own_height not in (None, height) or own_width not in (None, width):
        raise ValueError(
            f"The model {model.name!r} takes images of {own_height}×{own_width} pixels only: "
            f"leave out --image-size. Received: --image-size={height} {width}"
        )
    return height, width


def convolution_layers(model: "keras.Model") -> list[str]:
    """Names of all convolution layers, from the input to the output.

    Raises:
        ValueError: if there are none.
    """
    from keras import layers

    from kerasvis.graph import read_graph

    types = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
    names = [node.name for node in read_graph(model).nodes if isinstance(node.layer, types)]
    if not names:
        raise ValueError(f"The model {model.name!r} has no convolution layers: give --layers.")
    return names
