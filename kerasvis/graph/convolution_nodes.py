"""The convolutions of a graph, and the nodes where their feature maps are rectified."""

from keras import layers

from kerasvis.graph.activation_functions import function_of, fused_activation, is_relu
from kerasvis.graph.identities import IDENTITIES
from kerasvis.layers import LocalResponseNormalization

CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
_BETWEEN = (layers.BatchNormalization, LocalResponseNormalization, *IDENTITIES)


def convolution_nodes(graph):
    """The first call of every convolution layer, in the order of the forward pass."""
    by_layer = {}
    for node in graph.nodes:
        if isinstance(node.layer, CONVOLUTIONS):
            by_layer.setdefault(id(node.layer), node)
    return tuple(by_layer.values())


def rectified_node(graph, node):
    """The node that returns the rectified feature maps of a convolution.

    This is the convolution itself, or an activation that follows it directly or after a
    normalisation. None if the feature maps are not rectified, or are merged with others before, as
    in a residual sum.
    """
    while not is_relu(_activation_of(node)):
        users = [user for user in graph.nodes if node.outputs[0] in user.inputs]
        if _activation_of(node) is not None or len(users) != 1:
            return None
        (node,) = users
        if not isinstance(node.layer, _BETWEEN) and function_of(node) is None:
            return None  # another layer, which has feature maps of its own
    return node


def _activation_of(node):
    """The activation function that a call applies last, or None."""
    if isinstance(node.layer, _BETWEEN):
        return None
    return fused_activation(node.layer) or function_of(node)


def first_and_second(model, graph, nodes, first_layer, second_layer):
    """The two layers that the paper diagnoses: one that filters the image, and one above it.

    Args:
        model: the `keras.Model`.
        graph: its `Graph`.
        nodes: from `convolution_nodes`.
        first_layer: name of the first, or None for the first convolution.
        second_layer: name of the second, or None for the next convolution above the first.

    Returns:
        Two nodes; None for the second if no convolution lies above the first.

    Raises:
        ValueError: if there is no convolution, or a name does not belong to such a layer.
    """
    if not nodes:
        raise ValueError(
            f"The model {model.name!r} has no convolution layer whose filters could be diagnosed: "
            "give a convnet."
        )
    first = nodes[0]
    if first_layer is not None:
        first = _convolution(graph, nodes, first_layer, "first_layer")
    if below := _convolutions_below(graph, nodes, first):
        raise ValueError(
            f"The input of layer {first.name!r} is not the image, as {below[0].name!r} lies below "
            f"it: give {below[0].name!r} as the first layer. Received: first_layer={first.name!r}"
        )
    above = [node for node in nodes if first in _convolutions_below(graph, nodes, node)]
    if second_layer is None:
        return first, above[0] if above else None
    second = _convolution(graph, nodes, second_layer, "second_layer")
    if second not in above:
        raise ValueError(
            f"Layer {second.name!r} does not lie above the first layer {first.name!r}: give a "
            f"second layer that does. Received: second_layer={second.name!r}"
        )
    return first, second


def _convolution(graph, nodes, name, argument):
    node = graph.node(name, argument)
    if node not in nodes:
        names = ", ".join(node.name for node in nodes)
        raise ValueError(
            f"Layer {name!r} ({node.type_name}) is not a convolution with filters of its own: give "
            f"one of {names}. Received: {argument}={name!r}"
        )
    return node


def _convolutions_below(graph, nodes, node):
    below = graph.ancestors(node.outputs)
    return [other for other in nodes if other in below and other is not node]
