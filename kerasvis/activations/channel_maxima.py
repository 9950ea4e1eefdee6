"""The strongest activation of every feature map of a batch, worked out where the maps are."""

import keras
from keras import ops

from kerasvis.graph import FeatureExtractor, read_graph
from kerasvis.graph.nodes import nodes_up_to
from kerasvis.graph.replicas import num_replicas, predict_on_replicas
from kerasvis.graph.shapes import infer_shapes


class ChannelMaxima(keras.Model):
    """From images to the strongest activation of each feature map of some layers.

    The maps of all layers stand side by side along one axis, so that little leaves the device.

    Args:
        model: a functional or Sequential `keras.Model`; left as it is.
        layers: names of layers with outputs `(batch, rows, columns, feature maps)`, or
            `(batch, units)`, whose units count as maps of one cell.

    Call arguments:
        images: `(images, rows, columns, channels)`.

    Returns:
        `(values, rows, columns)`, each `(images, feature maps of all layers)`: float32, int32,
        int32. The first position in row-major order wins a tie. The value is NaN or infinite if
        any activation of the map is.
    """

    def __init__(self, model, layers):
        super().__init__(autocast=False)  # the layers cast as they do inside `model`
        self.extractor = FeatureExtractor(model, layers)
        self.num_maps = _num_maps(model, layers)
        nodes = [read_graph(model).node(name) for name in layers]
        self.may_fall_to_minus_infinity = [not _is_bounded_below(node.layer) for node in nodes]
        self.built = True

    def call(self, images):
        maxima = [
            _strongest(maps, check_below)
            for maps, check_below in zip(
                self.extractor(images), self.may_fall_to_minus_infinity, strict=True
            )
        ]
        return tuple(ops.concatenate(parts, axis=1) for parts in zip(*maxima, strict=True))

    def predict_batches(self, batches):
        """The maxima of each batch; where there are replicas, each of them takes a whole one.

        A batch is never divided: its values can depend, in the last bit, on how large it is.

        Args:
            batches: list of `(images, rows, columns, channels)`, at most `num_replicas` of them.

        Returns:
            List of `(values, rows, columns)` as of a call, in NumPy.
        """
        return predict_on_replicas(self, batches, [len(batch) for batch in batches])

    @property
    def num_replicas(self):
        """Devices that compute at the same time: more than one within a strategy's scope."""
        return num_replicas(self)


def _num_maps(model, layers):
    graph = read_graph(model)
    shapes = infer_shapes(graph, nodes_up_to(model, layers), model)
    shapes = [shapes[graph.node(name).outputs[0]] for name in layers]
    for name, shape in zip(layers, shapes, strict=True):
        if len(shape) not in (2, 4) or shape[-1] is None:
            raise ValueError(
                f"The output of layer {name!r} has the shape {shape}, but (batch, rows, columns, "
                "feature maps) or (batch, units) was expected: choose another layer."
            )
    return tuple(shape[-1] for shape in shapes)


def _is_bounded_below(layer):
    if isinstance(layer, keras.layers.ReLU):
        return layer.negative_slope == 0
    bounded = (keras.activations.relu, keras.activations.relu6, keras.activations.softmax)
    return getattr(layer, "activation", None) in bounded


def _strongest(maps, check_below):
    """Value, row and column of each map's first maximum, in one pass over the maps.

    The maximum over columns is as large as one column; the row is found in it, the column in that
    row alone. Equality and `min` rather than `argmax`, which promises nothing about ties.
    """
    if len(maps.shape) == 2:
        maps = maps[:, None, None, :]
    num_maps = maps.shape[3]
    num_rows, num_columns = ops.shape(maps)[1:3]
    row_maxima = ops.max(maps, axis=2)
    values = ops.max(row_maxima, axis=1)
    rows = _first_true(row_maxima == values[:, None, :], num_rows)
    row_size = num_columns * num_maps
    cells = ops.reshape(ops.arange(row_size, dtype="int32"), (1, num_columns, num_maps))
    cells = ops.reshape(rows[:, None, :] * row_size + cells, (-1, row_size))
    images = ops.reshape(maps, (-1, num_rows * row_size))
    winning_rows = ops.take_along_axis(images, cells, axis=1)
    winning_rows = ops.reshape(winning_rows, (-1, num_columns, num_maps))
    columns = _first_true(winning_rows == values[:, None, :], num_columns)
    if check_below:  # a maximum hides -inf elsewhere in the map; this is a second pass
        minima = ops.min(maps, axis=(1, 2))
        values = ops.where(ops.isfinite(minima), values, minima)
    return ops.cast(values, "float32"), rows, columns


def _first_true(condition, length):
    """The first place along axis 1 that is true; the last place where none is (NaN)."""
    places = ops.reshape(ops.arange(length, dtype="int32"), (1, -1, 1))
    return ops.min(ops.where(condition, places, length - 1), axis=1)
