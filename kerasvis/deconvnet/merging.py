"""Layers that merge branches, mirrored: the signal splits there.

Its parts are summed where the branches began.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from kerasvis.deconvnet.mirror import Mirror
from kerasvis.graph.activation_functions import (
    function_of,
    fused_activation,
    makes_probabilities,
)
from kerasvis.graph.dependence import tensors_that_depend_on

if TYPE_CHECKING:
    from kerasvis.deconvnet.mirror import Call, Record


class Merging(Mirror):
    """A layer that merges several inputs, mirrored."""

    verb = "split"

    def call(self, signal, record):
        return [
            summed_to_shape(self.share(signal, number, record), operand)
            for number, operand in enumerate(record.inputs)
        ]

    def share(self, signal, number, record):
        """The part of the signal that input `number` receives."""
        return signal


class Sum(Merging):
    """Add, mirrored: every input receives the whole signal."""


class Difference(Merging):
    """Subtract, mirrored: the second input receives the negative signal."""

    def share(self, signal, number, record):
        return signal if number == 0 else -signal


class Mean(Merging):
    """Average, mirrored: every input receives an equal share."""

    def share(self, signal, number, record):
        return signal / len(record.inputs)


class Product(Merging):
    """Multiply, mirrored: every input receives the signal times all other inputs.

    This is exact if only one input depends on the image. If several do, it is the derivative.
    """

    verb = "scale"

    def share(self, signal, number, record):
        for other, factor in enumerate(record.inputs):
            if other != number:
                signal = signal * ops.cast(factor, signal.dtype)
        return signal


@keras.saving.register_keras_serializable(package="kerasvis")
class GateAsConstant(Product):
    """Multiply, mirrored with its gates held constant: they receive no signal; for `rules=`.

    A gate is an input with fewer positions, as in squeeze and excitation; or one that is computed
    from the other; or else one that ends in a sigmoid. If neither input is a gate, both receive
    their share, as from the derivative.

    Deviation: a gate also depends on the image.
    """

    verb = "gate"
    includes_activation = True

    def __init__(self, call):
        super().__init__(call)
        self._receives = factors_without_gates(call)
        if sum(call.is_signal) > 1:
            self.departure = "gates are held constant, and receive no signal"

    def receives(self, shapes: Sequence[tuple]) -> tuple[bool, ...]:
        return self._receives

    def call(self, signal: Any, record: "Record") -> list:
        pairs = zip(super().call(signal, record), self._receives, strict=True)
        return [share if receives else None for share, receives in pairs]


def factors_without_gates(call: "Call") -> tuple[bool, ...]:
    """For each operand of a product, whether it depends on the image and is not a gate."""
    num_axes = [sum(size != 1 for size in shape[1:]) for shape in call.shapes]  # not of length 1
    signals = [number for number, is_signal in enumerate(call.is_signal) if is_signal]
    most = max(num_axes[number] for number in signals)
    factors = [number for number in signals if num_axes[number] == most]
    for is_gate in (_is_computed_from_another, _ends_in_sigmoid):
        factors = [x for x in factors if not is_gate(x, factors, call)] or factors
    return tuple(number in factors for number in range(len(call.operands)))


def _is_computed_from_another(number, factors, call):
    tensor = call.operands[number].number
    others = {call.operands[other].number for other in factors} - {tensor}
    return any(tensor in tensors_that_depend_on(other, call.nodes) for other in others)


def _ends_in_sigmoid(number, factors, call):
    tensor = call.operands[number].number
    nodes = [node for node in call.nodes if tensor in node.outputs]
    return any(makes_probabilities(fused_activation(x.layer) or function_of(x)) for x in nodes)


class Switched(Mirror):
    """Maximum or Minimum, mirrored: the first input that equals the output receives the signal."""

    verb = "unpool"

    def call(self, signal, record):
        output = record.outputs[0]
        is_open, shares = ops.ones_like(output, dtype="bool"), []  # where no input received it yet
        for operand in record.inputs:
            is_equal = ops.equal(ops.cast(operand, output.dtype), output)
            receives = ops.logical_and(is_open, is_equal)
            is_open = ops.logical_and(is_open, ops.logical_not(receives))
            share = ops.where(receives, signal, ops.zeros_like(signal))
            shares.append(summed_to_shape(share, operand))
        return shares


class Pieces(Mirror):
    """Concatenate, mirrored: each input receives its piece."""

    verb = "split"

    def call(self, signal, record):
        axis = self.mirrored.axis % len(signal.shape)
        pieces, begin = [], 0
        for operand in record.inputs:
            end = begin + ops.shape(operand)[axis]
            pieces.append(signal[(slice(None),) * axis + (slice(begin, end),)])
            begin = end
        return pieces


def summed_to_shape(signal, operand):
    """Sums the signal over the axes along which `operand` was broadcast."""
    num_added = len(signal.shape) - len(operand.shape)
    if num_added > 0:
        signal = ops.sum(signal, axis=tuple(range(num_added)))
    sizes = zip(operand.shape, signal.shape, strict=True)
    axes = tuple(axis for axis, (own, full) in enumerate(sizes) if own == 1 and full != 1)
    return ops.sum(signal, axis=axes, keepdims=True) if axes else signal
