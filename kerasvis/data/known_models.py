"""Models whose preprocessing is known by what they are, never by what they are called.

A model of `keras.applications` is known by its stem: the names, types, kernels and strides of its
first layers, as `application_stems.json` lists them. Other weights, another size of image, another
top, or none, leave it the same model; so does a model of the user's around it. What lies in front
of the stem is run on a few pixels, so that a model that preprocesses by itself is seen to take them
as they are.
"""

import functools
import json
from importlib import resources
from typing import Any

import keras
import numpy as np

from kerasvis.data.preprocessing import MODES, Preprocessing
from kerasvis.graph import image_shape, read_graph, replay

STEM_LENGTH = 10  # layers
# Not part of a stem: a normalization belongs to what lies in front, dense layers to the top.
_NOT_IN_STEMS = (keras.layers.Dense, keras.layers.Normalization)
_TOLERANCE = 0.02  # of the range; some families scale by 1/128, their preprocess_input by 1/127.5


def preprocessing_of_model(model: keras.Model) -> Preprocessing | None:
    """The `Preprocessing` of a model of `keras.applications` or KerasHub; None for any other.

    Args:
        model: a `keras.Model`. It may hold the known model as a part of itself, behind
            preprocessing or augmentation of its own; or be cut off above some layer.

    Returns:
        What makes images for the model of pixels; with `include_preprocessing=False`, what the
        model would have done by itself.
    """
    if not isinstance(model, keras.Model):
        return None
    if converter := _image_converter(model):
        return _of_converter(converter)
    try:
        graph, (*_, num_channels) = read_graph(model), image_shape(model)
    except ValueError:  # neither of them builds models without a graph, or without an image
        return None
    nodes = _weighted_nodes(graph)
    if not nodes or num_channels != 3:
        return None
    if converter := next(filter(None, map(_image_converter, model.layers)), None):
        return _completing(model, graph, nodes[0], _of_converter(converter))
    known = _known_stem([stem_layer(node.layer) for node in nodes])
    if known is None:
        return None
    if known["at_convolution"] is None:
        return Preprocessing("raw")  # it always preprocesses by itself
    return _completing(model, graph, nodes[0], Preprocessing(known["at_convolution"]))


def stem(model: keras.Model) -> list[str]:
    """The first layers of a model that hold weights, each as a line of `application_stems.json`."""
    return [stem_layer(node.layer) for node in _weighted_nodes(read_graph(model))]


def stem_layer(layer: keras.Layer) -> str:
    """`"name Type weight shapes/strides"`; the name is left out where Keras gave it by itself."""
    type_name = type(layer).__name__
    is_automatic = layer.name.rstrip("_0123456789").replace("_", "") == type_name.lower()
    shapes = ["×".join(map(str, weight.shape)) for weight in layer.weights]
    strides = getattr(layer, "strides", ())
    name = "" if is_automatic else layer.name
    return f"{name} {type_name} {' '.join(shapes)}/{'×'.join(map(str, strides))}"


def _weighted_nodes(graph):
    found = [
        node
        for node in graph.nodes
        if getattr(node.layer, "weights", None) and not isinstance(node.layer, _NOT_IN_STEMS)
    ]
    return found[:STEM_LENGTH]


def _known_stem(layers):
    """The entry of `application_stems.json` that the layers begin like, or None.

    A model that was cut off lower has to hold two layers of it at least, and no others.
    """
    if len(layers) < 2:
        return None
    for known in _known_stems():
        if all(map(_is_same_layer, layers, known["stem"])):
            return known
    return None


def _is_same_layer(layer, known):
    """Whether all but a prefix of the name is the same: the model's name, or one of the user's."""
    name, _, rest = layer.partition(" ")
    known_name, _, known_rest = known.partition(" ")
    return rest == known_rest and name.endswith(known_name)


@functools.cache
def _known_stems():
    file = resources.files("kerasvis.data").joinpath("application_stems.json")
    return json.loads(file.read_text("utf-8"))


def _completing(model, graph, node, at_convolution):
    """The preprocessing after which what lies in front of `node` hands on what it was trained on.

    None if there is none: the model does something else to its images.
    """
    front = graph.ancestors(node.inputs[:1])
    pixels = _probe_pixels(model)
    wanted = _centres(at_convolution.images(pixels))
    tolerance = _TOLERANCE * np.ptp(wanted)
    for preprocessing in (at_convolution, *map(Preprocessing, MODES)):
        images = keras.ops.convert_to_tensor(preprocessing.images(pixels))
        images = keras.ops.cast(images, model.inputs[0].dtype)
        handed_on = replay(front, {graph.inputs[0]: images})[node.inputs[0]]
        found = _centres(keras.ops.convert_to_numpy(handed_on))
        if found.shape == wanted.shape and np.abs(found - wanted).max() < tolerance:
            return preprocessing
    return None


def _probe_pixels(model):
    """Photographs of one colour each: uint8 `(images, rows, columns, 3)`."""
    size = [32 if length is None else length for length in image_shape(model)[:2]]
    colours = np.array([[0, 0, 0], [255, 255, 255], [200, 100, 50], [10, 60, 220]], "uint8")
    return np.broadcast_to(colours[:, None, None], (len(colours), *size, 3))


def _centres(images):
    """The colours in the middle, away from any padding: `(images, channels)`."""
    images = np.asarray(images, "float32")
    return images[:, images.shape[1] // 2, images.shape[2] // 2]


def _image_converter(model: Any) -> Any:
    """The image converter of a KerasHub task; None of anything else."""
    return getattr(getattr(model, "preprocessor", None), "image_converter", None)


def _of_converter(converter):
    """That of pixels · scale + offset, each a number, one for each channel, or None."""
    scale = np.asarray(1.0 if converter.scale is None else converter.scale, "float32")
    offset = np.asarray(0.0 if converter.offset is None else converter.offset, "float32")
    own = Preprocessing.of_functions(
        lambda pixels: pixels * scale + offset, lambda images: (images - offset) / scale
    )
    pixels = np.arange(256, dtype="uint8")[:, None].repeat(3, axis=1)
    for mode in MODES:
        named = Preprocessing(mode)
        if np.allclose(named.images(pixels), own.images(pixels), atol=1e-3 * np.max(scale) * 255):
            return named
    return own
