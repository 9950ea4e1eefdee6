"""Models whose preprocessing is known from their architecture, not their name.

A model of `keras.applications` is recognised by its stem: the names, types, kernels and strides of
its first layers, as listed in `application_stems.json`. Weights, image size and top may differ, and
the model may be part of a user's model. The layers before the stem are run on a few pixels, to
detect models that preprocess by themselves.
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
# Not part of a stem: a normalization belongs to the layers before it, dense layers to the top.
_NOT_IN_STEMS = (keras.layers.Dense, keras.layers.Normalization)
_TOLERANCE = 0.02  # of the range; some families scale by 1/128, their preprocess_input by 1/127.5


def preprocessing_of_model(model: keras.Model) -> Preprocessing | None:
    """The `Preprocessing` of a model of `keras.applications` or KerasHub; None for any other.

    Args:
        model: a `keras.Model`. It may contain the known model after its own preprocessing or
            augmentation, or end at an intermediate layer.

    Returns:
        The `Preprocessing` from pixels to the model's images; for `include_preprocessing=False`,
        the one that the model would otherwise include.
    """
    if not isinstance(model, keras.Model):
        return None
    if converter := _image_converter(model):
        return _of_converter(converter)
    try:
        graph, (*_, num_channels) = read_graph(model), image_shape(model)
    except ValueError:  # a model without a graph or an image input is from neither library
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
    """The first layers of a model with weights, each as a line of `application_stems.json`."""
    return [stem_layer(node.layer) for node in _weighted_nodes(read_graph(model))]


def stem_layer(layer: keras.Layer) -> str:
    """`"name Type weight shapes/strides"`, without the name if Keras chose it."""
    type_name = type(layer).__name__
    is_automatic = layer.name.rstrip("_0123456789").replace("_", "") == type_name.lower()
    shapes = ["×".join(map(str, weight.shape)) for weight in layer.weights]
    strides = getattr(layer, "strides", ())
    strides = strides if isinstance(strides, tuple | list) else (strides,)  # custom layers
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
    """The entry of `application_stems.json` that matches the first layers, or None.

    A model with fewer layers than the stem must have at least two of them, and no others.
    """
    if len(layers) < 2:
        return None
    for known in _known_stems():
        if all(map(_is_same_layer, layers, known["stem"])):
            return known
    return None


def _is_same_layer(layer, known):
    """Whether layers are equal up to a prefix of the name, such as that of a nested model."""
    name, _, rest = layer.partition(" ")
    known_name, _, known_rest = known.partition(" ")
    return rest == known_rest and name.endswith(known_name)


@functools.cache
def _known_stems():
    file = resources.files("kerasvis.data").joinpath("application_stems.json")
    return json.loads(file.read_text("utf-8"))


def _completing(model, graph, node, at_convolution):
    """The preprocessing for which `node` gets the inputs that it was trained on.

    None if there is none, because the layers before it do something else to images.
    """
    front = graph.ancestors(node.inputs[:1])
    pixels = _probe_pixels(model)
    wanted = _centres(at_convolution.images(pixels))
    tolerance = _TOLERANCE * np.ptp(wanted)
    for preprocessing in (at_convolution, *map(Preprocessing, MODES)):
        images = keras.ops.convert_to_tensor(preprocessing.images(pixels))
        images = keras.ops.cast(images, model.inputs[0].dtype)
        inputs = replay(front, {graph.inputs[0]: images})[node.inputs[0]]
        found = _centres(keras.ops.convert_to_numpy(inputs))
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
    """The image converter of a KerasHub task; None for anything else."""
    return getattr(getattr(model, "preprocessor", None), "image_converter", None)


def _of_converter(converter):
    """The `Preprocessing` pixels · scale + offset; each is a number, one per channel, or None."""
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
