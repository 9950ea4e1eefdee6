"""Which tensors of a graph depend on a given one."""

from kerasvis.layers.fixed_value import FixedValue


def tensors_that_depend_on(tensor, nodes):
    """Numbers of the tensors that depend on `tensor`, including itself.

    Args:
        tensor: number of the tensor.
        nodes: nodes in order.
    """
    found = {tensor}
    for node in nodes:
        if found.intersection(node.inputs) and not isinstance(node.layer, FixedValue):
            found.update(node.outputs)
    return found
