"""Where branches merge in the forward pass, the projection splits.

The parts are summed again where the branches began.
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
    """Add, mirrored: every input takes the whole signal."""


class Difference(Merging):
    """Subtract, mirrored: the second input takes the negative signal."""

    def share(self, signal, number, record):
        return signal if number == 0 else -signal


class Mean(Merging):
    """Average, mirrored."""

    def share(self, signal, number, record):
        return signal / len(record.inputs)


class Product(Merging):
    """Multiply, mirrored: every input takes the signal times all others.

    Of one input that depends on the image that is exact. Of several it is the derivative.
    """

    verb = "scale"

    def share(self, signal, number, record):
        for other, factor in enumerate(record.inputs):
            if other != number:
                signal = signal * ops.cast(factor, signal.dtype)
        return signal


@keras.saving.register_keras_serializable(package="kerasvis")
class GateAsConstant(Product):
    """Multiply, mirrored with its gates held constant: no signal goes into them; for `rules=`.

    A gate is an input with fewer positions, as in squeeze and excitation; or one that is computed
    from the other; or else one that ends in a sigmoid. If neither input is a gate, both take their
    share, as by the derivative.

    Deviation: a gate depends on the image, too.
    """

    verb = "gate"
    includes_activation = True

    def __init__(self, call):
        super().__init__(call)
        self._is_kept = are_kept(call)
        if sum(call.is_signal) > 1:
            self.departure = "gates are held constant, and receive no signal"

    def receives(self, shapes: Sequence[tuple]) -> tuple[bool, ...]:
        return self._is_kept

    def call(self, signal: Any, record: "Record") -> list:
        shares = super().call(signal, record)
        return [x if kept else None for x, kept in zip(shares, self._is_kept, strict=True)]


def are_kept(call: "Call") -> tuple[bool, ...]:
    """For each operand of a product, whether it receives a signal, and is not a gate."""
    num_sizes = [sum(size != 1 for size in shape[1:]) for shape in call.shapes]
    signals = [number for number, is_signal in enumerate(call.is_signal) if is_signal]
    largest = max(num_sizes[number] for number in signals)
    kept = [number for number in signals if num_sizes[number] == largest]
    for is_gate in (_is_computed_from_another, _ends_in_sigmoid):
        kept = [number for number in kept if not is_gate(number, kept, call)] or kept
    return tuple(number in kept for number in range(len(call.operands)))


def _is_computed_from_another(number, kept, call):
    tensor = call.operands[number].number
    others = {call.operands[other].number for other in kept} - {tensor}
    return any(tensor in tensors_that_depend_on(other, call.nodes) for other in others)


def _ends_in_sigmoid(number, kept, call):
    tensor = call.operands[number].number
    nodes = [node for node in call.nodes if tensor in node.outputs]
    return any(makes_probabilities(fused_activation(x.layer) or function_of(x)) for x in nodes)


class Switched(Mirror):
    """Maximum or Minimum, mirrored: the first input that holds the value takes the signal."""

    verb = "unpool"

    def call(self, signal, record):
        output = record.outputs[0]
        is_left, shares = ops.ones_like(output, dtype="bool"), []
        for operand in record.inputs:
            holds = ops.logical_and(is_left, ops.equal(ops.cast(operand, output.dtype), output))
            is_left = ops.logical_and(is_left, ops.logical_not(holds))
            share = ops.where(holds, signal, ops.zeros_like(signal))
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
    shape, full = operand.shape, signal.shape
    if len(shape) < len(full):
        signal = ops.sum(signal, axis=tuple(range(len(full) - len(shape))))
        full = signal.shape
    axes = tuple(i for i, (a, b) in enumerate(zip(shape, full, strict=True)) if a == 1 and b != 1)
    return ops.sum(signal, axis=axes, keepdims=True) if axes else signal
