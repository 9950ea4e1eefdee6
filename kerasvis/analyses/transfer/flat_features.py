"""The outputs of layers as one vector per image; large feature maps are averaged first."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from kerasvis.graph import FeatureExtractor, read_graph
from kerasvis.graph.batch_function import BatchFunction
from kerasvis.graph.shapes import infer_shapes

LARGEST_MAP = (6, 6)  # that of the paper's pool5 (Figure 3)


def flat_features(
    model: keras.Model,
    layers: Sequence[str],
    image_size: tuple[int, int],
    largest_map: tuple[int, int] | None = LARGEST_MAP,
) -> BatchFunction:
    """Maps images to one vector of features for each layer.

    Deviation: the paper takes feature maps as they are. Here a feature map larger than
    `largest_map` is averaged down to that size, because those of lower layers have too many
    elements to train on: 1.2 million for layer 1 of the paper's convnet. As in adaptive average
    pooling, element i of n averages the rows (and columns) from floor(i · length / n) to
    ceil((i + 1) · length / n).

    Args:
        model: a functional or Sequential `keras.Model`; it is not changed.
        layers: names of layers with outputs `(batch, rows, columns, feature maps)` or
            `(batch, units)`.
        image_size: `(height, width)` of the images in pixels.
        largest_map: maximum `(rows, columns)` of feature maps; None leaves all as they are.

    Returns:
        A `BatchFunction` from images `(images, height, width, channels)`, as the model takes them,
        to a list of float32 `(images, features)`, one for each layer: rows, columns and feature
        maps in row-major order.

    Raises:
        ValueError: if a layer is unknown, its output has another shape, or `largest_map` is not a
            size.

    Reference:
        Zeiler & Fergus 2013, Section 5.
    """
    if largest_map is not None and (len(largest_map) != 2 or min(largest_map) < 1):
        raise ValueError(
            f"Give (rows, columns) of 1 or more, or None. Received: largest_map={largest_map!r}"
        )
    extractor = FeatureExtractor(model, layers)
    shapes = _shapes(model, layers, image_size)
    averaging = [_averaging(shape[1:-1], largest_map) for shape in shapes]

    def flat(images):
        pairs = zip(extractor(images), averaging, strict=True)
        return [_flat(_averaged(ops.cast(x, "float32"), matrices)) for x, matrices in pairs]

    return BatchFunction(flat, [extractor])


def averaging_matrix(length, new_length):
    """Averages `length` rows down to `new_length`: float32 `(new_length, length)`."""
    edges = np.arange(new_length + 1) * length
    begins, ends = edges[:-1] // new_length, -(-edges[1:] // new_length)
    rows = np.arange(length)
    is_inside = (begins[:, None] <= rows) & (rows < ends[:, None])
    return (is_inside / is_inside.sum(axis=1, keepdims=True)).astype("float32")


def _averaging(map_size, largest_map):
    """The matrices for rows and columns; None where no averaging is needed."""
    if not map_size or largest_map is None:
        return (None, None)
    return tuple(
        averaging_matrix(length, largest) if length > largest else None
        for length, largest in zip(map_size, largest_map, strict=True)
    )


def _averaged(maps, matrices):
    of_rows, of_columns = matrices
    if of_rows is not None:
        maps = ops.einsum("ir,brcf->bicf", of_rows, maps)
    if of_columns is not None:
        maps = ops.einsum("jc,brcf->brjf", of_columns, maps)
    return maps


def _flat(features):
    return ops.reshape(features, (-1, int(np.prod(features.shape[1:]))))


def _shapes(model, layers, image_size):
    graph = read_graph(model)
    outputs = [graph.node(name).outputs[0] for name in layers]
    shapes = infer_shapes(graph, graph.ancestors(outputs), model, image_size)
    shapes = [shapes[output] for output in outputs]
    for name, shape in zip(layers, shapes, strict=True):
        if len(shape) not in (2, 4) or None in shape[1:]:
            raise ValueError(
                "Choose a layer with an output of shape (batch, rows, columns, feature maps) or "
                f"(batch, units). Received: layer {name!r} with an output of shape {shape}"
            )
    return shapes
