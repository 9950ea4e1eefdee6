"""A mirror: what one layer of the convnet becomes in the deconvnet."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import ops


class Record(NamedTuple):
    """What the forward pass leaves behind at one call of one layer.

    Attributes:
        inputs: the tensors with which the layer was called, constants included, in order.
        outputs: the tensors that it returned.
        switches: `(switches,)` where they were recorded, else `()`.
    """

    inputs: tuple
    outputs: tuple
    switches: tuple = ()


class Call(NamedTuple):
    """One call of one layer, as a rule sees it while planning.

    Attributes:
        name: of the call.
        layer: the layer.
        is_signal: for each of the record's inputs, whether it depends on the image, and so receives
            a signal in the backward projection.
        dtype: the deconvnet's compute dtype.
    """

    name: str
    layer: Any
    is_signal: tuple[bool, ...]
    dtype: str

    def mirror_name(self, verb):
        """A Keras name for a mirror of this call, as `conv1_filter`."""
        return "_".join([self.name.replace("/", "_").replace(":", "_call"), verb])


class Mirror(keras.layers.Layer):
    """Projects the signal back through one layer.

    It shares the weights of the layer it mirrors, has none of its own and is never trained.

    Args:
        call: the `Call` that is mirrored.

    Call arguments:
        signal: tensor of the shape of the layer's output.
        record: the `Record` of the call.

    Returns:
        A list: for each of the record's inputs the projected signal, a tensor of that input's
        shape, or None where the input receives none.
    """

    verb = "pass"  # what the plan prints
    includes_activation = False  # whether it mirrors the layer's fused activation, too

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
        """How the plan prints it."""
        return self.verb


@keras.saving.register_keras_serializable(package="kerasvis")
class PassUnchanged(Mirror):
    """The signal passes unchanged: dropout, noise, augmentation; contrast normalisation.

    Reference:
        Zeiler & Fergus 2013, Section 2.1: contrast normalisation is not inverted.
    """

    includes_activation = True


class RuleMirror(Mirror):
    """A user's function in place of a mirror: `rule(layer, signal, record)`."""

    verb = "rule"
    includes_activation = True

    def __init__(self, call, rule):
        super().__init__(call)
        self.rule = rule

    def call(self, signal, record):
        below = self.rule(self.mirrored, signal, record)
        return list(below) if isinstance(below, (list, tuple)) else [below]

    def describe(self):
        return getattr(self.rule, "__name__", self.verb)
