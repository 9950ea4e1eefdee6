"""Which tensors of a graph change with another one."""

from kerasvis.layers.fixed_value import FixedValue


def tensors_that_depend_on(tensor, nodes):
    """Numbers of the tensors that change with `tensor`, itself included.

    Args:
        tensor: number of the tensor.
        nodes: nodes in order.
    """
    found = {tensor}
    for node in nodes:
        if found.intersection(node.inputs) and not isinstance(node.layer, FixedValue):
            found.update(node.outputs)
    return found
