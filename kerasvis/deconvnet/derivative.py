"""Layers projected through by their own derivative, whatever they compute and store.

Of a layer that is affine in its inputs the derivative is its transpose, the same for every image:
the exact backward projection, without a rule of its own. Of any other layer it is a linear
approximation at the image.
"""

import inspect

import keras
import numpy as np
from keras import ops

from kerasvis.deconvnet.mirror import Mirror, first_output, in_one_row
from kerasvis.graph.activation_functions import FUSED, fused_activation, without_activation
from kerasvis.graph.affinity import are_same, is_affine
from kerasvis.graph.differentiation import vector_jacobian_product
from kerasvis.graph.layer_kinds import kind_of
from kerasvis.graph.nodes import Tensor, arguments_on, call_layer


@keras.saving.register_keras_serializable(package="kerasvis")
class Derivative(Mirror):
    """A layer, mirrored by its derivative at its inputs, its fused activation included.

    Raises:
        ValueError: when it is run, if the layer has no derivative, as one that counts or compares.
    """

    verb = "derive"
    includes_activation = True
    takes_several = True
    departure: str | None = "layers without a rule of their own pass their derivative at the image"

    def __init__(self, call, layer=None):
        super().__init__(call)
        self.includes_activation = layer is None
        self._of_signals = lambda operands: call.of_signals(operands, layer)
        self._is_signal = call.is_signal
        self._call_name = call.name

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
            raise ValueError(
                f"Layer {self._call_name!r} ({type(self.mirrored).__name__}) has no derivative by "
                "its inputs, as it counts, compares or rounds: give a target below it."
            )
        parts = iter(found)
        return [next(parts) if is_signal else None for is_signal in self._is_signal]


class Transpose(Derivative):
    """A layer that is affine in its inputs, mirrored; its fused activation has its own mirror."""

    verb = "transpose"
    departure = None

    def __init__(self, call):
        super().__init__(call, with_effective_kernel(without_activation(call.layer)))


class Selection(Derivative):
    """A layer that selects or limits values, mirrored: they go back to where they came from."""

    verb = "select"
    departure = None


class ActivationDerivative(Mirror):
    """A fused activation, mirrored by its derivative at what the layer computed before it."""

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
    """An attention layer, mirrored with its weights held constant: the signal goes into the values.

    Deviation: the attention weights depend on the image, too, like a gate.
    """

    takes_several = False
    departure = "attention weights are held constant, like gates"

    def __init__(self, call):
        super().__init__(call)
        args, kwargs = arguments_on(call.node, range(len(call.operands)))
        given = inspect.signature(call.layer.call).bind(*args, **kwargs).arguments
        value, has_key = given["value"], given.get("key") is not None
        if not call.is_signal[value]:
            return  # nothing but the weights depends on the image
        self._is_signal = tuple(number == value for number in range(len(call.operands)))

        def of_values(operands):
            def function(values):
                held = [values if number == value else x for number, x in enumerate(operands)]
                args, kwargs = arguments_on(call.node, held)
                key = {} if has_key else {"key": operands[value]}
                return first_output(call_layer(call.node, args, kwargs | key), call.dtype)

            return function

        self._of_signals = of_values

    def receives(self, shapes):
        return self._is_signal


def is_affine_call(call):
    """Whether a call, without its fused activation, is affine in what depends on the image.

    An activation that is not what the layer does last makes it something else.
    """
    rng = np.random.default_rng(2)
    held = [
        rng.normal(size=(2, *shape[1:])).astype(call.dtype) if isinstance(x, Tensor) else x
        for x, shape in zip(call.operands, call.shapes, strict=True)
    ]
    pairs = zip(call.shapes, call.is_signal, strict=True)
    shapes = [shape for shape, is_signal in pairs if is_signal]
    before = call.of_signals(held, without_activation(call.layer))
    activation = fused_activation(call.layer)
    if activation is not None and kind_of(call.layer) not in FUSED:
        whole = call.of_signals(held)
        if not are_same(lambda *x: activation(before(*x)), whole, shapes, call.dtype):
            return False
    return is_affine(before, shapes, call.dtype)


def with_effective_kernel(layer):
    """A layer of 8-bit floats as one that computes with its kernel as it is rounded.

    Its own derivative would round the signal, too. Other quantized layers derive by the kernel that
    they stand for.
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
