"""Where branches merge in the forward pass, the projection splits.

The parts are summed again where the branches began.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from kerasvis.deconvnet.mirror import Mirror

if TYPE_CHECKING:
    from kerasvis.deconvnet.mirror import Record


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
    """Multiply, mirrored, where one input alone depends on the image: the others are its factors.

    Raises:
        ValueError: while planning, where several inputs depend on the image. Their product is not
            linear, so that the signal cannot be divided among them.
    """

    verb = "scale"

    def __init__(self, call):
        super().__init__(call)
        if sum(call.is_signal) > 1:
            raise ValueError(
                f"Layer {call.name!r} multiplies {sum(call.is_signal)} tensors that depend on the "
                "image, so the signal cannot be divided among them: pass "
                "rules=[(keras.layers.Multiply, kerasvis.rules.GateAsConstant)] to hold the "
                "smaller one (a gate) constant, or a rule of your own."
            )

    def share(self, signal, number, record):
        for other, factor in enumerate(record.inputs):
            if other != number:
                signal = signal * ops.cast(factor, signal.dtype)
        return signal


@keras.saving.register_keras_serializable(package="kerasvis")
class GateAsConstant(Mirror):
    """Multiply, mirrored with every input but the largest held constant; for `rules=`.

    Deviation: a gate depends on the image, too (squeeze and excitation). It receives no signal.
    """

    verb = "gate"
    includes_activation = True

    def receives(self, shapes: Sequence[tuple]) -> tuple[bool, ...]:
        # Unknown sizes count as larger than 1: a gate has sizes of 1 where it is broadcast.
        num_sizes = [sum(size != 1 for size in shape[1:]) for shape in shapes]
        return tuple(number == num_sizes.index(max(num_sizes)) for number in range(len(shapes)))

    def call(self, signal: Any, record: "Record") -> list:
        is_kept = self.receives([operand.shape for operand in record.inputs])
        for kept, gate in zip(is_kept, record.inputs, strict=True):
            if not kept:
                signal = signal * ops.cast(gate, signal.dtype)
        return [signal if kept else None for kept in is_kept]


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


MERGING_MIRRORS = (
    (keras.layers.Add, Sum),
    (keras.layers.Subtract, Difference),
    (keras.layers.Average, Mean),
    (keras.layers.Multiply, Product),
    (keras.layers.Concatenate, Pieces),
)
