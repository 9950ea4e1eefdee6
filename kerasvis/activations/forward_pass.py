"""One forward pass of a batch, in which the outputs of layers are measured."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasvis.graph import FeatureExtractor, read_graph
from kerasvis.graph.batch_function import BatchFunction
from kerasvis.graph.reading import nodes_up_to
from kerasvis.graph.replicas import num_replicas, predict_on_replicas
from kerasvis.graph.shapes import infer_shapes


class ForwardPass:
    """Maps images to measurements of some layers' outputs.

    Equal measurements are computed once. All measured values of one dtype leave the device as one
    tensor.

    Args:
        model: a functional or Sequential `keras.Model`; it does not change.
        measurements: pairs of a layer's name and a function `measure(outputs, layer)`, see
            `Reducer.measure`. The layers have outputs `(images, rows, columns, feature maps)` or
            `(images, units)`.
        extractor: function from images to what is measured of each layer, as a `keras.Model`; by
            default, the layers' outputs.

    Attributes:
        num_maps: `{layer: number of feature maps}`.
        function: `BatchFunction` from images to a tuple of tensors `(images, values)`, one for each
            dtype; `measure_batches` splits them.

    Raises:
        ValueError: if a layer is unknown, or has outputs of another shape.
    """

    def __init__(
        self,
        model: keras.Model,
        measurements: Sequence[tuple[str, Callable]],
        extractor: keras.Model | None = None,
    ):
        self.measurements = tuple(dict.fromkeys(measurements))
        names = list(dict.fromkeys(name for name, _ in self.measurements))
        self.num_maps = _num_maps(model, names)
        self._extractor = FeatureExtractor(model, names) if extractor is None else extractor
        graph = read_graph(model)
        self._layers = {name: graph.node(name).layer for name in names}
        self._layout: Layout | None = None
        self.function = BatchFunction(self._joined, [self._extractor])

    def _joined(self, images):
        """Tuple of tensors `(images, values)`, one for each dtype."""
        outputs = dict(zip(self.num_maps, self._extractor(images), strict=True))
        measured = [
            measure(outputs[name], self._layers[name]) for name, measure in self.measurements
        ]
        layout, earlier = Layout(measured), self._layout
        if earlier is not None and layout != earlier:
            raise ValueError(
                "The shape of a measurement depends on the size of the images: reduce over rows "
                "and columns, or resize the images to one size. "
                f"Received: shapes {earlier.shapes} and {layout.shapes}"
            )
        self._layout = layout
        return layout.joined(measured)

    def measure_batches(self, batches: Sequence[np.ndarray]) -> list[dict]:
        """Measures several batches, one on each replica.

        A batch is never divided, since the last bit of its values can depend on its size.

        Args:
            batches: list of `(images, rows, columns, channels)`, at most `num_replicas` of them.

        Returns:
            For each batch, `{(layer, measure): what the function returned, in NumPy}`.
        """
        outputs = predict_on_replicas(self.function, batches, [len(batch) for batch in batches])
        layout: Any = self._layout
        return [
            dict(zip(self.measurements, layout.split(joined), strict=True)) for joined in outputs
        ]

    @property
    def num_replicas(self):
        """Number of devices that compute at the same time, for a model in a strategy's scope."""
        return num_replicas(self.function)


class Layout:
    """How the tensors of a structure are joined by dtype, and split again.

    Args:
        structure: nested structure of tensors `(images, ...)`.
    """

    def __init__(self, structure):
        tensors = keras.tree.flatten(structure)
        self.structure = keras.tree.map_structure(lambda tensor: 0, structure)
        self.shapes = [tuple(tensor.shape[1:]) for tensor in tensors]
        self.dtypes = [keras.backend.standardize_dtype(tensor.dtype) for tensor in tensors]
        if any(None in shape for shape in self.shapes):
            raise ValueError(
                "The shape of a measurement depends on the size of the images: reduce over rows "
                f"and columns. Received: shapes {self.shapes}"
            )

    def __eq__(self, other):  # removes the hash, which is not needed
        return vars(self) == vars(other)

    def joined(self, structure):
        """Tuple of tensors `(images, values)`, one for each dtype."""
        tensors = keras.tree.flatten(structure)
        return tuple(
            ops.concatenate(
                [ops.reshape(tensors[n], (-1, _size(self.shapes[n]))) for n in numbers], axis=1
            )
            for numbers in self._numbers_by_dtype()
        )

    def split(self, joined):
        """The inverse of `joined`: the structure, of arrays."""
        arrays = [None] * len(self.shapes)
        for numbers, array in zip(self._numbers_by_dtype(), joined, strict=True):
            ends = itertools.accumulate(_size(self.shapes[n]) for n in numbers)
            for n, part in zip(numbers, np.split(array, list(ends)[:-1], axis=1), strict=True):
                arrays[n] = part.reshape(len(part), *self.shapes[n])
        return keras.tree.pack_sequence_as(self.structure, arrays)

    def _numbers_by_dtype(self):
        """The tensors' numbers, in a list for each dtype."""
        dtypes = dict.fromkeys(self.dtypes)
        return [[n for n, each in enumerate(self.dtypes) if each == dtype] for dtype in dtypes]


def _size(shape):
    return int(np.prod(shape))


def _num_maps(model, names):
    """`{layer: number of feature maps}`."""
    graph = read_graph(model)
    shapes = infer_shapes(graph, nodes_up_to(model, names), model)
    shapes = {name: shapes[graph.node(name).outputs[0]] for name in names}
    for name, shape in shapes.items():
        if len(shape) not in (2, 4) or shape[-1] is None:
            raise ValueError(
                f"The output of layer {name!r} has the shape {shape}, but (batch, rows, columns, "
                "feature maps) or (batch, units) was expected: choose another layer. "
                f"Received: layer={name!r}"
            )
    return {name: shape[-1] for name, shape in shapes.items()}
