"""Mirrors that use a layer's own derivative, whatever it computes and however it stores its kernel.

The derivative of a layer that is affine in its inputs is its transpose, the same for every image:
the exact backward projection, without a rule for the layer. The derivative of any other layer is a
linear approximation at the image.
"""

import inspect

import keras
import numpy as np
from keras import ops

from kerasvis.deconvnet.mirror import Mirror, first_output, in_one_row
from kerasvis.graph.activation_functions import FUSED, fused_activation, without_activation
from kerasvis.graph.affinity import are_same, is_affine
from kerasvis.graph.differentiation import has_derivative, vector_jacobian_product
from kerasvis.graph.layer_kinds import kind_of
from kerasvis.graph.nodes import Tensor
from kerasvis.graph.replaying import arguments_on, call_layer


@keras.saving.register_keras_serializable(package="kerasvis")
class Derivative(Mirror):
    """A layer, mirrored by its derivative at its inputs, including its fused activation.

    Raises:
        ValueError: if the layer has no derivative, for example because it counts.
    """

    verb = "derive"
    includes_activation = True
    takes_several = True
    is_tried = True  # whether the layer may have no derivative
    departure: str | None = "layers without a rule are replaced by their derivative at the image"

    def __init__(self, call, layer=None):
        super().__init__(call)
        self.includes_activation = layer is None
        self._of_signals = lambda operands: call.of_signals(operands, layer)
        self._is_signal = call.is_signal
        self._call_name = call.name
        if self.is_tried:  # here, as Keras adds to the messages of errors in a call
            operands = random_operands(call)
            pairs = zip(operands, call.is_signal, strict=True)
            signals = [ops.convert_to_tensor(x, call.dtype) for x, is_signal in pairs if is_signal]
            if not has_derivative(self._of_signals(operands), signals):
                raise ValueError(self._refusal())

    def _refusal(self):
        return (
            f"Layer {self._call_name!r} ({type(self.mirrored).__name__}) has no derivative with "
            "respect to its inputs, as it counts, compares or rounds: give a target below it."
        )

    def call(self, signal, record):
        operands = [
            ops.cast(x, self.compute_dtype) if is_signal else x
            for x, is_signal in zip(record.inputs, self._is_signal, strict=True)
        ]
        signals = [x for x, is_signal in zip(operands, self._is_signal, strict=True) if is_signal]
        if isinstance(signal, list):
            signal = in_one_row(signal, self.compute_dtype)
        found = vector_jacobian_product(self._of_signals(operands), signals, signal)
        if all(part is None for part in found):
            raise ValueError(self._refusal())
        parts = iter(found)
        return [next(parts) if is_signal else None for is_signal in self._is_signal]


class Transpose(Derivative):
    """A layer that is affine in its inputs, mirrored; its fused activation has another mirror."""

    verb = "transpose"
    departure = None
    is_tried = False

    def __init__(self, call):
        super().__init__(call, with_effective_kernel(without_activation(call.layer)))


class Selection(Derivative):
    """A layer that selects or clips values, mirrored: each goes back to where it came from."""

    verb = "select"
    departure = None
    is_tried = False


class ActivationDerivative(Mirror):
    """A fused activation, mirrored by its derivative at the values that it was applied to."""

    verb = "derive"
    departure = Derivative.departure

    def __init__(self, call):
        super().__init__(call)
        self._function = lambda x: fused_activation(call.layer)(x)
        self._before = lambda operands: call.of_signals(operands, without_activation(call.layer))
        self._is_signal = call.is_signal

    def project(self, signal, record):
        pairs = zip(record.inputs, self._is_signal, strict=True)
        before = self._before(record.inputs)(*(x for x, is_signal in pairs if is_signal))
        return vector_jacobian_product(self._function, [before], signal)[0]

    def compute_output_spec(self, signal, record):
        return [keras.KerasTensor(signal.shape, self.compute_dtype)]


@keras.saving.register_keras_serializable(package="kerasvis")
class AttentionAsGate(Derivative):
    """An attention layer, mirrored with its attention weights held constant.

    The signal goes to the values alone.

    Deviation: the attention weights also depend on the image, like a gate.
    """

    takes_several = False
    is_tried = False
    departure = "attention weights are held constant, like gates"

    def __init__(self, call):
        super().__init__(call)
        # The layer's call, with the numbers of the operands as its arguments.
        args, kwargs = arguments_on(call.node, range(len(call.operands)))
        given = inspect.signature(call.layer.call).bind(*args, **kwargs).arguments
        value, has_key = given["value"], given.get("key") is not None
        if not call.is_signal[value]:
            return  # only the attention weights depend on the image: use the derivative
        self._is_signal = tuple(number == value for number in range(len(call.operands)))

        def of_values(operands):
            def function(values):
                given = [values if number == value else x for number, x in enumerate(operands)]
                args, kwargs = arguments_on(call.node, given)
                # The key is the value by default: here, the value that is held constant.
                key = {} if has_key else {"key": operands[value]}
                return first_output(call_layer(call.node, args, kwargs | key), call.dtype)

            return function

        self._of_signals = of_values

    def receives(self, shapes):
        return self._is_signal


def is_affine_call(call):
    """Whether a call, without its fused activation, is affine in the operands that are signals.

    It is tried on random numbers. A layer that applies its `activation` anywhere but at the end, as
    a user's subclass may, does not count as affine.
    """
    operands = random_operands(call)
    pairs = zip(call.shapes, call.is_signal, strict=True)
    shapes = [shape for shape, is_signal in pairs if is_signal]
    before = call.of_signals(operands, without_activation(call.layer))
    activation = fused_activation(call.layer)
    if activation is not None and kind_of(call.layer) not in FUSED:
        whole = call.of_signals(operands)
        if not are_same(lambda *x: activation(before(*x)), whole, shapes, call.dtype):
            return False
    return is_affine(before, shapes, call.dtype)


def random_operands(call):
    """The operands of a call, with random arrays in place of the tensors."""
    rng = np.random.default_rng(2)
    return [
        rng.normal(size=(2, *shape[1:])).astype(call.dtype) if isinstance(x, Tensor) else x
        for x, shape in zip(call.operands, call.shapes, strict=True)
    ]


def with_effective_kernel(layer):
    """A layer quantized to 8-bit floats, as one that computes with its rounded kernel.

    The derivative of the layer itself would also round the signal. Layers with other quantizations
    already have the derivative of the kernel that they represent.
    """
    if getattr(layer, "quantization_mode", None) != "float8":
        return layer
    copy = object.__new__(type(layer))
    vars(copy).update(vars(layer))
    vars(copy)["_kernel"] = keras.quantizers.quantize_and_dequantize(
        layer._kernel, layer.kernel_scale, "float8_e4m3fn", layer.compute_dtype
    )
    vars(copy)["_dtype_policy"] = keras.dtype_policies.DTypePolicy(layer.compute_dtype)
    return copy
