"""A mirror: what one layer of the convnet becomes in the deconvnet."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from kerasvis.graph.nodes import Node
from kerasvis.graph.replaying import call_on


class Record(NamedTuple):
    """What the forward pass records at one call of one layer.

    Attributes:
        inputs: the tensors with which the layer was called, constants included, in order.
        outputs: the tensors that it returned.
        switches: `(switches,)` if the layer is a max pooling, otherwise `()`.
    """

    inputs: tuple
    outputs: tuple
    switches: tuple = ()


class Call(NamedTuple):
    """One call of one layer, as a rule receives it during planning.

    Attributes:
        node: the `kerasvis.graph.Node`.
        operands: its operands, constants included, in order.
        is_signal: for each operand, whether it depends on the image, and so receives a signal in
            the backward projection.
        shapes: the shapes of the operands, in which only the size of the batch is unknown.
        nodes: all nodes up to the target, in order.
        dtype: the deconvnet's compute dtype.
    """

    node: Node
    operands: tuple
    is_signal: tuple[bool, ...]
    shapes: tuple[tuple, ...]
    nodes: tuple[Node, ...]
    dtype: str

    @property
    def name(self) -> str:
        """Name of the call."""
        return self.node.name

    @property
    def layer(self) -> Any:
        """The called layer."""
        return self.node.layer

    def mirror_name(self, verb: str) -> str:
        """A Keras name for a mirror of this call, as `conv1_filter`."""
        return "_".join([self.name.replace("/", "_").replace(":", "_call"), verb])

    def of_signals(self, operands: Sequence[Any], layer: Any = None) -> Callable:
        """The call as a function from the operands that receive a signal to one tensor.

        The values of several outputs are returned in one row, see `in_one_row`.

        Args:
            operands: a tensor for each operand; those that receive no signal are held constant.
            layer: a layer to call in place of the call's own.
        """

        def function(*signals):
            remaining = iter(signals)
            pairs = zip(operands, self.is_signal, strict=True)
            given = [next(remaining) if is_signal else x for x, is_signal in pairs]
            outputs = call_on(self.node, given, layer)
            if len(self.node.outputs) > 1:
                return in_one_row(keras.tree.flatten(outputs), self.dtype)
            return first_output(outputs, self.dtype)

        return function


class Mirror(keras.layers.Layer):
    """Projects the signal back through one layer.

    It shares the weights of the layer it mirrors, has none of its own and is never trained.

    Args:
        call: the `Call` that is mirrored.

    Call arguments:
        signal: tensor of the shape of the layer's output. If the layer has several outputs: a list
            with a tensor for each if the mirror `takes_several`, otherwise that for the first.
        record: the `Record` of the call.

    Returns:
        A list: for each of the record's inputs the projected signal, a tensor of that input's
        shape, or None where the input receives none.
    """

    verb = "pass"  # what the plan prints
    includes_activation = False  # whether it also mirrors the layer's fused activation
    takes_several = False  # whether it takes the signals of several outputs
    departure: str | None = None  # how it departs from the paper, for the plan

    def __init__(self, call: Call):
        super().__init__(name=call.mirror_name(self.verb), dtype=call.dtype, trainable=False)
        # Held in a function, so that Keras does not track the trained layer as part of this one.
        self._mirrored = lambda: call.layer
        self.built = True

    @property
    def mirrored(self) -> keras.layers.Layer:
        """The convnet's layer."""
        return self._mirrored()

    def weight(self, variable: Any) -> Any:
        """A weight of the mirrored layer in the dtype of the signal."""
        return ops.cast(variable, self.compute_dtype)

    def call(self, signal: Any, record: Record) -> list:
        return [self.project(signal, record)]

    def project(self, signal: Any, record: Record) -> Any:
        """The signal projected through a layer with one input."""
        return signal

    def receives(self, shapes: Sequence[tuple]) -> tuple[bool, ...]:
        """For each of the record's inputs, given their shapes, whether it receives a signal."""
        return (True,) * len(shapes)

    def compute_output_spec(self, signal: Any, record: Record) -> list:
        return [keras.KerasTensor(x.shape, self.compute_dtype) for x in record.inputs]

    def describe(self) -> str:
        """How the plan prints the mirror."""
        return self.verb


@keras.saving.register_keras_serializable(package="kerasvis")
class PassUnchanged(Mirror):
    """The signal passes unchanged: dropout, noise, augmentation; contrast normalisation.

    Reference:
        Zeiler & Fergus 2013, Section 2.1: contrast normalisation is not inverted.
    """

    includes_activation = True


@keras.saving.register_keras_serializable(package="kerasvis")
class NormalizationUnchanged(PassUnchanged):
    """A normalisation that depends on the image, treated like the paper's contrast normalisation.

    Deviation: the paper has no other normalisation.
    """

    departure = "layer, group, unit and RMS normalization pass the signal unchanged"


class RuleMirror(Mirror):
    """A mirror that calls a user's function: `rule(layer, signal, record)`.

    Raises:
        ValueError: if the function does not return a signal of the right shape for each input.
    """

    verb = "rule"
    includes_activation = True

    def __init__(self, call, rule):
        super().__init__(call)
        self.rule = rule
        self._call_name = call.name

    def call(self, signal, record):
        below = self.rule(self.mirrored, signal, record)
        below = list(below) if isinstance(below, (list, tuple)) else [below]
        shapes = [None if x is None else tuple(x.shape) for x in below]
        expected = [tuple(x.shape) for x in record.inputs]
        fits = len(shapes) == len(expected) and all(
            shape is None or are_compatible(shape, wanted)
            for shape, wanted in zip(shapes, expected, strict=True)
        )
        if not fits:
            raise ValueError(
                f"The rule {self.describe()!r} for layer {self._call_name!r} must return, for each "
                "input of the layer, a signal of the input's shape, or None. Received: signals of "
                f"shapes {shapes} for inputs of shapes {expected}"
            )
        return below

    def describe(self):
        return getattr(self.rule, "__name__", self.verb)


def are_compatible(shape: Sequence[int | None], other: Sequence[int | None]) -> bool:
    """Whether two shapes may be the same; an unknown size may be any."""
    return len(shape) == len(other) and all(
        a is None or b is None or a == b for a, b in zip(shape, other, strict=True)
    )


def in_one_row(tensors: Sequence[Any], dtype: str) -> Any:
    """All values of some tensors, one after the other, in a dtype: a tensor `(values,)`."""
    return ops.concatenate([ops.reshape(ops.cast(x, dtype), (-1,)) for x in tensors])


def first_output(outputs: Any, dtype: str) -> Any:
    """The first tensor that a layer returned, in a dtype."""
    return ops.cast(keras.tree.flatten(outputs)[0], dtype)
