"""The trained convnet that a user names: a file of their own, or a net of keras.applications."""

import difflib
import re
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from command import UserError, as_user_errors

SUFFIXES = (".keras", ".h5", ".hdf5")


class TrainedConvnet(NamedTuple):
    """A `keras.Model`, and the mode of `Preprocessing` by which it was trained."""

    model: Any
    preprocessing: str


class OpenConvnet(NamedTuple):
    """A `keras.Model`, what it takes: `(height, width)`, and the mode of `Preprocessing`."""

    model: Any
    image_size: tuple[int, int]
    preprocessing: str


def open_convnet(arguments):
    """The convnet of `shared_arguments.add_convnet_arguments`.

    Raises:
        UserError: if it cannot be loaded, or takes no images of that size.
    """
    model, preprocessing = load_convnet(arguments.model, arguments.weights, arguments.image_size)
    with as_user_errors(ValueError):
        size = image_size_of(model, arguments.image_size)
    return OpenConvnet(model, size, arguments.preprocessing or preprocessing)


def load_convnet(name, weights=None, image_size=None):
    """Loads a convnet.

    Args:
        name: path of a file that Keras saved, or the name of a net of keras.applications.
        weights: of such a net: "imagenet" (the default), "random", or the path of a weights file.
        image_size: `(height, width)` of the images for such a net without its dense layers.

    Raises:
        UserError: if there is no such model, or it cannot be loaded.
    """
    path = Path(name)
    if path.exists() or path.suffix in SUFFIXES or len(path.parts) > 1:
        if weights is not None:
            raise UserError(
                f"The file {path} has weights of its own: leave out --weights, which is for nets "
                "of keras.applications."
            )
        return TrainedConvnet(load_file(path), "raw")
    return load_application(name, weights or "imagenet", image_size)


def load_file(path):
    import keras

    import kerasvis  # noqa: F401 - registers its layers, so that Keras can load them

    check_file(path)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged or foreign file makes Keras raise nearly anything
        raise UserError(f"{path} cannot be loaded: {why(error)}") from error


def check_file(path):
    if not path.exists():
        raise UserError(
            f"There is no model file {path}: give a file that model.save() wrote, or the name of "
            "a net of keras.applications."
        )
    if path.is_dir():
        raise UserError(f"{path} is a folder: give a .keras file.")
    is_keras_file = path.suffix != ".keras" or zipfile.is_zipfile(path)
    if path.suffix not in SUFFIXES or not is_keras_file:
        raise UserError(
            f"{path} is no model that Keras saved, or is damaged: give a .keras file that "
            "model.save() wrote."
        )


def why(error):
    """What to do about a file that Keras cannot load, as the end of a sentence."""
    text = str(error)
    if "Python lambda" in text:
        return (
            "it holds a Lambda layer, whose code would be run unseen; replace it by a layer of a "
            "class, and save the model again."
        )
    if unknown := re.search(r"Could not locate (?:class|function) '([^']+)'", text):
        return (
            f"it holds {unknown[1]!r}, which is no part of Keras; load it in Python, with "
            "custom_objects, and call kerasvis.visualize_features there."
        )
    return f"{reason_of(error)}; give a .keras file that model.save() wrote."


def reason_of(error):
    """The first sentence of an error of Keras', without the configuration that it may quote."""
    text = str(error).rpartition("Exception encountered: ")[2].strip()
    line = text.splitlines()[0] if text else type(error).__name__
    return line[:200].rstrip(". ")


def load_application(name, weights, image_size):
    import keras

    from kerasvis.data import Preprocessing

    builder = getattr(keras.applications, application_name(name))
    if weights not in ("imagenet", "random") and not Path(weights).is_file():
        raise UserError(
            f"There is no weights file {weights}: give one, or --weights imagenet or random."
        )
    options = {"weights": None if weights == "random" else weights}
    if image_size is not None:
        options |= {"include_top": False, "input_shape": (*image_size, 3)}
    try:
        model = builder(**options)
    except Exception as error:  # no network, a file for another net, images that are too small
        raise UserError(
            f"{builder.__name__} cannot be had with weights {weights} ({reason_of(error)}): give a "
            "weights file with --weights, or --weights random."
        ) from error
    return TrainedConvnet(model, Preprocessing.of_application(builder.__name__).mode)


def application_name(name):
    """The net of keras.applications whose name is `name` in lower or upper case."""
    import keras

    names = [n for n in dir(keras.applications) if n[0].isupper()]
    by_letters = {n.lower(): n for n in names}
    if name.lower() in by_letters:
        return by_letters[name.lower()]
    near = [by_letters[n] for n in difflib.get_close_matches(name.lower(), by_letters, cutoff=0.5)]
    hint = f"did you mean {' or '.join(near)}?" if near else "give the path of a .keras file."
    raise UserError(
        f"There is neither a model file {name} nor a net of that name in keras.applications: {hint}"
    )


def image_size_of(model, image_size):
    """`(height, width)` of the images that the model takes."""
    from kerasvis.graph import image_shape

    *own_size, channels = image_shape(model)
    if channels != 3:
        raise UserError(
            f"The model {model.name!r} takes images of {channels} channels, but photographs have "
            "3: call kerasvis.visualize_features in Python, with arrays of yours."
        )
    if image_size is None and None in own_size:
        raise UserError(
            f"The model {model.name!r} takes images of any size: give --image-size HEIGHT WIDTH."
        )
    size = tuple(image_size or own_size)
    if any(own not in (None, given) for own, given in zip(own_size, size, strict=True)):
        raise UserError(
            f"The model {model.name!r} takes images of {own_size[0]}×{own_size[1]} pixels only: "
            "leave out --image-size."
        )
    return size


def convolution_layers(model):
    """Names of all convolution layers, from the image up."""
    from keras import layers

    from kerasvis.graph import read_graph

    types = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
    names = [node.name for node in read_graph(model).nodes if isinstance(node.layer, types)]
    if not names:
        raise UserError(f"The model {model.name!r} has no convolution layers: give --layers.")
    return names
