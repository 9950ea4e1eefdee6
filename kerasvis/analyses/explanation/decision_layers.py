"""The layers at which a decision is looked at: the last of each size of feature maps."""

from kerasvis.graph.convolution_nodes import CONVOLUTIONS
from kerasvis.graph.dependence import tensors_that_depend_on
from kerasvis.graph.identities import IDENTITIES

AT_MOST = 4


def decision_layers(graph, nodes, shapes):
    """Names of the last layers of each size, from the image up; the last `AT_MOST` of them.

    Of feature maps of one size those through which everything passes come first, as the sum of a
    residual block: what another branch carries past a layer is not in its feature maps. The last
    layer with weights, whose feature maps are the classes themselves, is left out.

    Args:
        graph: the model's `Graph`.
        nodes: those that the score depends on, in order.
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
    """Numbers of the tensors through which all that depends on the image passes."""
    last_use = {number: place for place, node in enumerate(nodes) for number in node.inputs}
    found, live = set(), set()
    for place, node in enumerate(nodes):
        live = {number for number in live if last_use.get(number, -1) > place}
        live |= {n for n in node.outputs if n in dependent and last_use.get(n, place + 1) > place}
        if len(live) == 1:
            found |= live
    return found
