"""The feature maps of named layers, in one forward pass."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from kerasvis.graph.built_model import readable_model
from kerasvis.graph.reading import read_graph
from kerasvis.graph.replaying import replay
from kerasvis.graph.shapes import check_channels_last


class FeatureExtractor(keras.Model):
    """Maps a model's input to the outputs of some of its layers; see `feature_extractor`.

    Args:
        model: a functional or Sequential `keras.Model`.
        layers: names of layers.
        **kwargs: `name`, as in `keras.Model`.

    Call arguments:
        inputs: what `model` takes.

    Returns:
        A list of tensors, one for each name.
    """

    def __init__(self, model: keras.Model, layers: Sequence[str], **kwargs: Any):
        super().__init__(autocast=False, **kwargs)  # inputs are cast below, as the model does
        graph = read_graph(model)
        check_channels_last(model)
        targets = [graph.node(name).outputs[0] for name in layers]
        nodes = graph.ancestors(targets)

        def extract(inputs):
            pairs = zip(inputs, model.inputs, strict=True)
            inputs = [ops.convert_to_tensor(x, given.dtype) for x, given in pairs]
            tensors = replay(nodes, dict(zip(graph.inputs, inputs, strict=True)))
            return [tensors[number] for number in targets]

        self.convnet = model
        self.layer_names = tuple(layers)
        self._extract = extract
        self.built = True

    def call(self, inputs: Any) -> list:
        return self._extract(keras.tree.flatten(inputs))


def feature_extractor(model: keras.Model, layers: Sequence[str]) -> FeatureExtractor:
    """A model that returns the outputs of the named layers of `model`.

    It runs only what these layers need and shares the weights; `model` does not change.

    Args:
        model: a functional or Sequential `keras.Model`. A subclassed one must be built, and only
            its outputs are available, see `kerasvis.graph.one_node_model`.
        layers: names of layers; `"outer/inner"` inside a nested model, `"name:2"` for the second
            call of a shared layer.

    Returns:
        A `keras.Model` from the input of `model` to a list of tensors, one per name; if a layer
        returns several tensors, the first.

    Raises:
        ValueError: if a name is unknown (similar names are suggested), the model has no graph, or
            it is channels-first.

    Example:
        >>> import keras, numpy as np
        >>> import kerasvis as kv
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="a")])
        >>> (features,) = kv.feature_extractor(model, ["a"])(np.zeros((1, 8, 8, 3), "float32"))
        >>> features.shape
        TensorShape([1, 6, 6, 4])
    """
    return FeatureExtractor(readable_model(model, needs_graph=False), layers)
