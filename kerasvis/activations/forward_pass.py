"""One forward pass of a batch, and what is measured of the layers on the way."""

import itertools
from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

from kerasvis.graph import FeatureExtractor, read_graph
from kerasvis.graph.reading import nodes_up_to
from kerasvis.graph.replicas import num_replicas, predict_on_replicas
from kerasvis.graph.shapes import infer_shapes


class ForwardPass(keras.Model):
    """From images to what is measured of some layers' outputs.

    What several readers measure alike is computed once. All measured values leave the device in one
    piece for each dtype.

    Args:
        model: a functional or Sequential `keras.Model`; left as it is.
        measurements: pairs of a layer's name and a function `measure(outputs, layer)` as of
            `Reducer.measure`. The layers have outputs `(images, rows, columns, feature maps)` or
            `(images, units)`.

    Call arguments:
        images: `(images, rows, columns, channels)`.

    Returns:
        Tuple of tensors `(images, values)`, one for each dtype; `measure_batches` tells them apart.

    Raises:
        ValueError: if a layer is unknown, or has other outputs.
    """

    def __init__(self, model: keras.Model, measurements: Sequence[tuple[str, Callable]]):
        super().__init__(autocast=False)  # the layers cast as they do inside `model`
        self.measurements = tuple(dict.fromkeys(measurements))
        names = list(dict.fromkeys(name for name, _ in self.measurements))
        self.num_maps = _num_maps(model, names)
        self.extractor = FeatureExtractor(model, names)
        graph = read_graph(model)
        self._layers_by_name = _Plain({name: graph.node(name).layer for name in names})
        self._layout = _Plain(None)
        self.built = True

    def call(self, images):
        outputs = dict(zip(self.num_maps, self.extractor(images), strict=True))
        measured = [
            measure(outputs[name], self._layers_by_name.value[name])
            for name, measure in self.measurements
        ]
        layout, earlier = Layout(measured), self._layout.value
        if earlier is not None and layout != earlier:
            raise ValueError(
                "What is measured of a layer has another shape for images of another size: reduce "
                "over rows and columns, or bring the images to one size. "
                f"Received: shapes {earlier.shapes} and {layout.shapes}"
            )
        self._layout.value = layout
        return layout.joined(measured)

    def measure_batches(self, batches: Sequence[np.ndarray]) -> list[dict]:
        """What is measured of each batch; where there are replicas, each takes a whole one.

        A batch is never divided: its values can depend, in the last bit, on how large it is.

        Args:
            batches: list of `(images, rows, columns, channels)`, at most `num_replicas` of them.

        Returns:
            For each batch `{(layer, measure): what the function returned, in NumPy}`.
        """
        outputs = predict_on_replicas(self, batches, [len(batch) for batch in batches])
        layout = self._layout.value
        return [
            dict(zip(self.measurements, layout.split(joined), strict=True)) for joined in outputs
        ]

    @property
    def num_replicas(self):
        """Devices that compute at the same time: more than one within a strategy's scope."""
        return num_replicas(self)


class Layout:
    """Where the tensors of a structure are among those joined by dtype.

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
                "What is measured of a layer has a shape that depends on the size of the images: "
                f"reduce over rows and columns. Received: shapes {self.shapes}"
            )

    def __eq__(self, other):  # which leaves it without a hash
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
        """The structure again, of the arrays that were joined."""
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


class _Plain:
    """Hides a value from Keras, which tracks what a model holds."""

    def __init__(self, value):
        self.value = value


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
