"""Which activation function a call applies: either the call is one, or it is fused into a layer."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from kerasvis.graph.function_families import Family, family_of
from kerasvis.graph.keras_calls import keeps_shape
from kerasvis.graph.layer_kinds import kind_of
from kerasvis.graph.nodes import Node, Tensor, operands_of
from kerasvis.graph.replaying import call_layer, call_on

# Layers that apply an `activation` to what they have computed.
FUSED = (
    layers.Conv2D,
    layers.Conv2DTranspose,
    layers.Dense,
    layers.DepthwiseConv2D,
    layers.EinsumDense,
    layers.SeparableConv2D,
)

# Functions of Keras or TensorFlow that turn scores into probabilities, or logarithms of them.
_OF_SCORES = """
    hard_sigmoid log_sigmoid log_softmax log_softmax_v2 sigmoid softmax softmax_v2 sparse_sigmoid
    sparsemax
    """.split()


def fused_activation(layer: Any) -> Callable | None:
    """The activation that a layer applies to its outputs; None if there is none or it is linear."""
    if type(layer) is layers.TimeDistributed:
        return fused_activation(layer.layer)
    activation = layer.activation if isinstance(layer, FUSED) else None
    return None if activation is keras.activations.linear else activation


def without_activation(layer: Any) -> Any:
    """The layer without its fused activation: another object with the same weights."""
    copy = object.__new__(type(layer))  # a copy made by Keras would have weights of its own
    vars(copy).update(vars(layer))
    if type(layer) is layers.TimeDistributed:
        vars(copy)["layer"] = without_activation(layer.layer)
    elif isinstance(layer, FUSED):
        vars(copy)["activation"] = keras.activations.linear
    return copy


def call_without_activation(node: Node, args: tuple, kwargs: dict) -> Any:
    """Runs a node without its layer's fused activation."""
    return call_layer(dataclasses.replace(node, layer=without_activation(node.layer)), args, kwargs)


def function_of(node: Node) -> Callable | None:
    """A call as a function from one tensor to another of the same shape.

    None if the call takes several tensors, changes their shape, or has a layer with weights.
    """
    layer = node.layer
    if kind_of(layer) is layers.Activation:
        return layer.activation
    has_weights = bool(getattr(layer, "variables", ()))
    if has_weights or len(node.inputs) != 1 or isinstance(layer, keras.Model):
        return None
    if not keeps_shape(layer):
        return None
    operands = operands_of(node)

    def function(tensor):
        return call_on(node, [tensor if isinstance(x, Tensor) else x for x in operands])

    return function


def activation_family(node: Node) -> Family:
    """The `Family` of a call that may be an activation by itself."""
    function = function_of(node)
    return Family() if function is None else family_of(function)


def is_relu(function: Callable | None) -> bool:
    """Whether a function is a ReLU, possibly with an upper limit."""
    return function is not None and family_of(function).function is keras.activations.relu


def keeps_positions(function: Callable | None) -> bool:
    """Whether each value of an activation depends only on values at the same position.

    True for None, no activation.
    """
    return function is None or family_of(function).keeps_positions


def makes_probabilities(function: Callable | None) -> bool:
    """Whether an activation turns scores into probabilities, or logarithms of them."""
    if function is None:
        return False
    library = str(getattr(function, "__module__", "")).partition(".")[0]
    if library in ("keras", "tensorflow") and name_of(function) in _OF_SCORES:
        return True
    return name_of(family_of(function).function) in _OF_SCORES


def name_of(function: Any) -> str:
    """The name of a function, or the type of a callable object."""
    return getattr(function, "__name__", type(function).__name__)
