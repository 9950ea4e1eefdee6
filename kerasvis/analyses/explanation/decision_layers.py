"""The layers at which a decision is explained: the last one of each feature map size."""

from kerasvis.graph.convolution_nodes import CONVOLUTIONS
from kerasvis.graph.dependence import tensors_that_depend_on
from kerasvis.graph.identities import IDENTITIES

AT_MOST = 4


def decision_layers(graph, nodes, shapes):
    """Name of the last layer of each feature map size, in forward order; the last `AT_MOST` names.

    Layers through which everything passes take precedence, such as the sum of a residual block: the
    feature maps of other layers lack what another branch carries past them. The last layer with
    weights is left out, as its feature maps are the classes themselves.

    Args:
        graph: the model's `Graph`.
        nodes: the nodes that the score depends on, in order.
        shapes: `{tensor: shape}`.
    """
    dependent = tensors_that_depend_on(graph.inputs[0], nodes)
    sizes = [shapes[node.outputs[0]][1:3] for node in nodes if isinstance(node.layer, CONVOLUTIONS)]
    weighted = [place for place, node in enumerate(nodes) if getattr(node.layer, "weights", ())]
    found = {}
    for node in nodes[: weighted[-1] if weighted else 0]:
        number = node.outputs[0]
        size = tuple(shapes[number][1:3])
        is_map = number in dependent and len(shapes[number]) == 4 and size != (1, 1)
        if is_map and size in sizes and not isinstance(node.layer, IDENTITIES):
            found.setdefault(size, []).append(node)
    passed = _bottlenecks(nodes, dependent)
    names = []
    for candidates in found.values():
        through_all = [node for node in candidates if node.outputs[0] in passed]
        names.append((through_all or candidates)[-1].name)
    return tuple(names[-AT_MOST:])


def _bottlenecks(nodes, dependent):
    """Numbers of the tensors through which everything passes that depends on the image."""
    last_use = {number: place for place, node in enumerate(nodes) for number in node.inputs}
    found, live = set(), set()
    for place, node in enumerate(nodes):
        live = {number for number in live if last_use.get(number, -1) > place}
        live |= {n for n in node.outputs if n in dependent and last_use.get(n, place + 1) > place}
        if len(live) == 1:
            found |= live
    return found
